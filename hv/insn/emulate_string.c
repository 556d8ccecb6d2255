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
	struct emu_place source, place;
	int err = 0;

	if (uses_si)
		err = emu_linear(e, source_segment(e), emu_reg_read(e, si), bytes, false, &from);
	if (!err && uses_di)
		err = emu_linear(e, ZYDIS_REGISTER_ES, emu_reg_read(e, di), bytes, true, &to);
	/* Faults come before the device sees anything. */
	if (!err && uses_si)
		err = emu_locate(e, from, bytes, WALK_READ, &source);
	if (!err && uses_di)
		err = emu_locate(e, to, bytes, WALK_WRITE, &place);
	if (!err && uses_si)
		err = emu_place_read(e, &source, &value);
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
		err = emu_place_write(e, &place, value);
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

unsigned emu_string_bytes(const struct emu *e)
{
	for (unsigned i = 0; i < e->insn.operand_count; i++)
		if (e->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			return e->op[i].size / 8u;
	return 0;
}

/* The TSS holds the offset of its I/O permission bitmap at 0x66. SDM vol. 3, 8.2.1 and 8.7 */
#define TSS_BITMAP_AT 0x66u

/* Two bytes of the TSS, read as the CPU itself does, whoever runs. #GP where the TSS has none. */
static int tss_word(struct emu *e, uint64_t offset, uint64_t *value)
{
	const bool user = e->mode.user, ac = e->mode.ac;
	struct virt_seg tr;
	int err;

	e->v->vm->ops->seg_get(&e->v->virt, SEG_TR, &tr);
	if (tr.unusable || !(tr.type & 8) || offset + 1 > tr.limit)
		return emu_raise(e, VECTOR_GP, 0);
	e->mode.user = e->mode.ac = false;
	err = emu_read_mem(e, e->long_mode ? tr.base + offset : (uint32_t)(tr.base + offset), value,
			   2);
	e->mode.user = user;
	e->mode.ac = ac;
	return err;
}

/*
 * May the program use this many ports from this one on? SDM vol. 1, 19.5; vol. 3, 21.2.8.1.1. The CPU has
 * asked before the exit, but what was fetched since need not be what it asked for.
 */
static int check_ports(struct emu *e, uint16_t port, unsigned count)
{
	const bool v86 = e->rflags & RFLAGS_VM;
	uint64_t base, bits;
	struct virt_seg ss;
	int err;

	e->v->vm->ops->seg_get(&e->v->virt, SEG_SS, &ss);
	if (!(e->mode.cr0 & CR0_PE) || (!v86 && ss.dpl <= (e->rflags & RFLAGS_IOPL) >> 12))
		return 0;
	err = tss_word(e, TSS_BITMAP_AT, &base);
	if (!err)
		err = tss_word(e, base + port / 8, &bits);
	if (err)
		return err;
	return bits >> (port & 7) & BITS(count - 1, 0) ? emu_raise(e, VECTOR_GP, 0) : 0;
}

int emu_string(struct emu *e, unsigned kind)
{
	unsigned bytes = emu_string_bytes(e);
	ZydisRegister cx = index_register(e, GPR_RCX);
	bool compares = kind == STRING_CMPS || kind == STRING_SCAS;
	int (*once)(struct emu *, enum string_kind, unsigned) =
		compares ? compare_once : string_once;
	/* A single step is one iteration (SDM vol. 3, 18.3.1.4). */
	unsigned burst = e->rflags & RFLAGS_TF ? 1 : STRING_BURST;

	if (kind == STRING_INS || kind == STRING_OUTS) {
		int err = check_ports(e, (uint16_t)e->v->virt.gpr[GPR_RDX], bytes);

		if (err)
			return err;
	}
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
