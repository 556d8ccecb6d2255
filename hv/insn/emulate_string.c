/* String instructions, with ports and without, and their repetitions. SDM vol. 1, 7.3.9; vol. 2, REP */
#include "hv/insn/alu.h"
#include "hv/insn/emulate_insn.h"
#include "hv/x86/msr.h"

/* Iterations of a REP string instruction between two looks at events; RIP stays on it meanwhile. */
#define STRING_BURST 256

/* Of the instruction's address width. */
static ZydisRegister index_register(const struct emu *e, unsigned gpr)
{
	static const ZydisRegister base[] = {ZYDIS_REGISTER_AX, ZYDIS_REGISTER_EAX,
					     ZYDIS_REGISTER_RAX};
	unsigned width = e->insn.address_width;

	return base[width == 16 ? 0 : width == 32 ? 1 : 2] + gpr;
}

static ZydisRegister source_segment(const struct emu *e)
{
	for (unsigned i = 0; i < e->insn.operand_count; i++)
		if (e->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    e->op[i].mem.segment != ZYDIS_REGISTER_ES)
			return e->op[i].mem.segment;
	/* An ES override on the source looks like the destination's ES. */
	return e->insn.attributes & ZYDIS_ATTRIB_HAS_SEGMENT_ES ? ZYDIS_REGISTER_ES
								: ZYDIS_REGISTER_DS;
}

static int string_once(struct emu *e, enum string_kind kind, unsigned bytes)
{
	ZydisRegister si = index_register(e, GPR_RSI), di = index_register(e, GPR_RDI);
	ZydisRegister acc = emu_accumulator(bytes);
	bool uses_si = kind == STRING_MOVS || kind == STRING_LODS || kind == STRING_OUTS;
	bool uses_di = kind == STRING_MOVS || kind == STRING_STOS || kind == STRING_INS;
	uint64_t step = e->rflags & RFLAGS_DF ? -(uint64_t)bytes : bytes, value = 0;
	uint16_t port = (uint16_t)e->v->virt.gpr[GPR_RDX];
	gva_t from = 0, to = 0;
	int err = 0;

	if (uses_si)
		err = emu_linear(e, source_segment(e), emu_reg_read(e, si), bytes, false, &from);
	if (!err && uses_di)
		err = emu_linear(e, ZYDIS_REGISTER_ES, emu_reg_read(e, di), bytes, true, &to);
	/* Faults come before the device sees anything. */
	if (!err && uses_di)
		err = emu_probe_write(e, to, bytes);
	if (!err && uses_si)
		err = emu_read_mem(e, from, &value, bytes);
	if (err)
		return err;
	if (kind == STRING_INS)
		value = (uint32_t)e->v->vm->io->read(e->v, port, bytes, 0);
	else if (kind == STRING_OUTS)
		e->v->vm->io->write(e->v, port, bytes, 0, (uint32_t)value);
	else if (kind == STRING_STOS)
		value = emu_reg_read(e, acc);
	else if (kind == STRING_LODS)
		emu_reg_write(e, acc, value);
	if (uses_di)
		err = emu_write_mem(e, to, &value, bytes);
	if (uses_si)
		emu_reg_write(e, si, emu_reg_read(e, si) + step);
	if (uses_di)
		emu_reg_write(e, di, emu_reg_read(e, di) + step);
	return err;
}

/* CMPS and SCAS: nothing is stored, the flags say what was found. */
static int compare_once(struct emu *e, enum string_kind kind, unsigned bytes)
{
	ZydisRegister si = index_register(e, GPR_RSI), di = index_register(e, GPR_RDI);
	uint64_t step = e->rflags & RFLAGS_DF ? -(uint64_t)bytes : bytes;
	uint64_t a = emu_reg_read(e, emu_accumulator(bytes)), b = 0;
	gva_t from, to;
	int err = emu_linear(e, ZYDIS_REGISTER_ES, emu_reg_read(e, di), bytes, false, &to);

	if (!err && kind == STRING_CMPS) {
		a = 0;
		err = emu_linear(e, source_segment(e), emu_reg_read(e, si), bytes, false, &from);
		if (!err)
			err = emu_read_mem(e, from, &a, bytes);
	}
	if (!err)
		err = emu_read_mem(e, to, &b, bytes);
	if (err)
		return err;
	alu(ALU_CMP, a, b, bytes, &e->rflags);
	if (kind == STRING_CMPS)
		emu_reg_write(e, si, emu_reg_read(e, si) + step);
	emu_reg_write(e, di, emu_reg_read(e, di) + step);
	return 0;
}

/* A comparison that repeats ends when REPE meets a difference, REPNE an equality. */
static bool found(const struct emu *e)
{
	return !(e->rflags & RFLAGS_ZF) == !!(e->insn.attributes & ZYDIS_ATTRIB_HAS_REPE);
}

int emu_string(struct emu *e, unsigned kind)
{
	unsigned bytes = 0;
	ZydisRegister cx = index_register(e, GPR_RCX);
	bool compares = kind == STRING_CMPS || kind == STRING_SCAS;
	int (*once)(struct emu *, enum string_kind, unsigned) =
		compares ? compare_once : string_once;
	/* A single step is one iteration (SDM vol. 3, 18.3.1.4). */
	unsigned burst = e->rflags & RFLAGS_TF ? 1 : STRING_BURST;

	for (unsigned i = 0; i < e->insn.operand_count && !bytes; i++)
		if (e->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			bytes = e->op[i].size / 8u;
	if (!(e->insn.attributes &
	      (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE)))
		return once(e, kind, bytes);
	for (unsigned n = 0; n < burst; n++) {
		uint64_t count = emu_reg_read(e, cx);
		int err;

		if (!count)
			return 0;
		err = once(e, kind, bytes);
		if (err)
			return err;
		emu_reg_write(e, cx, count - 1);
		if (compares && found(e))
			return 0;
	}
	return emu_reg_read(e, cx) ? EMU_AGAIN : 0;
}
