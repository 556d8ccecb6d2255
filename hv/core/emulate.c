#include "hv/core/emulate.h"
#include "hv/base/fmt.h"
#include "hv/base/string.h"
#include "hv/core/alu.h"
#include "hv/core/devices.h"
#include "hv/core/emulate_insn.h"
#include "hv/x86/msr.h"

/* Iterations of a REP string instruction between two looks at events; RIP stays on it meanwhile. */
#define STRING_BURST 256

/* A handler returns 0 (done: move RIP), AGAIN (more iterations: leave RIP), or ERR_INVALID (e->fault). */
#define AGAIN   1
#define UNKNOWN 2

static int do_mov(struct emu *e, unsigned arg)
{
	uint64_t value;
	int err;

	if (emu_is_mov_cr(e))
		return emu_mov_cr(e, arg);
	err = emu_operand_read(e, &e->op[1], &value);
	return err ? err : emu_operand_write(e, &e->op[0], value);
}

static int do_movsx(struct emu *e, unsigned arg)
{
	uint64_t value;
	unsigned bits = e->op[1].size;
	int err = emu_operand_read(e, &e->op[1], &value);

	if (err)
		return err;
	value = (uint64_t)((int64_t)(value << (64 - bits)) >> (64 - bits));
	return emu_operand_write(e, &e->op[0], value);
}

/* Two operands, the first is the destination; CMP, TEST and BT store nothing. */
static int do_alu(struct emu *e, unsigned op)
{
	unsigned bytes = e->op[0].size / 8u;
	uint64_t a, b = 0, r, flags = e->rflags;
	int err = emu_operand_read(e, &e->op[0], &a);

	if (!err && e->insn.operand_count_visible > 1)
		err = emu_operand_read(e, &e->op[1], &b);
	if (err)
		return err;
	r = alu(op, a, b, bytes, &flags);
	if (op != ALU_CMP && op != ALU_TEST && op != ALU_BT)
		err = emu_operand_write(e, &e->op[0], r);
	if (!err)
		e->rflags = flags;
	return err;
}

/* BTx with a register index addresses memory beyond the operand (SDM vol. 2A, BT). */
static int do_bit(struct emu *e, unsigned op)
{
	unsigned bytes = e->op[0].size / 8u;
	uint64_t index, a, r, flags = e->rflags;
	gva_t gva;
	int err = emu_operand_read(e, &e->op[1], &index);

	if (err)
		return err;
	if (e->op[0].type != ZYDIS_OPERAND_TYPE_MEMORY ||
	    e->op[1].type != ZYDIS_OPERAND_TYPE_REGISTER)
		return do_alu(e, op);

	unsigned shift = 64 - bytes * 8;
	int64_t bit = (int64_t)(index << shift) >> shift;

	err = emu_operand_address(e, &e->op[0], op != ALU_BT, &gva);
	if (err)
		return err;
	gva += (uint64_t)((bit >> (bytes == 2 ? 4 : bytes == 4 ? 5 : 6)) * bytes);
	a = 0;
	err = emu_read_mem(e, gva, &a, bytes);
	if (err)
		return err;
	r = alu(op, a, (uint64_t)bit, bytes, &flags);
	if (op != ALU_BT)
		err = emu_write_mem(e, gva, &r, bytes);
	if (!err)
		e->rflags = flags;
	return err;
}

static int do_xchg(struct emu *e, unsigned arg)
{
	/* The memory operand is written first, so that a fault leaves both as they were. */
	bool first_is_mem = e->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY;
	const ZydisDecodedOperand *mem = &e->op[first_is_mem ? 0 : 1],
				  *reg = &e->op[first_is_mem ? 1 : 0];
	uint64_t m, r;
	int err = emu_operand_read(e, mem, &m);

	if (!err)
		err = emu_operand_read(e, reg, &r);
	if (!err)
		err = emu_operand_write(e, mem, r);
	return err ? err : emu_operand_write(e, reg, m);
}

static int do_xadd(struct emu *e, unsigned arg)
{
	uint64_t a, b, r, flags = e->rflags;
	int err = emu_operand_read(e, &e->op[0], &a);

	if (!err)
		err = emu_operand_read(e, &e->op[1], &b);
	if (err)
		return err;
	r = alu(ALU_ADD, a, b, e->op[0].size / 8u, &flags);
	err = emu_operand_write(e, &e->op[0], r);
	if (err)
		return err;
	e->rflags = flags;
	return emu_operand_write(e, &e->op[1], a);
}

/* Two or three operands; the first is a register. */
static int do_imul(struct emu *e, unsigned arg)
{
	const ZydisDecodedOperand *last = &e->op[e->insn.operand_count_visible - 1];
	uint64_t a, b, r, flags = e->rflags;
	int err = emu_operand_read(e, last - 1, &a);

	if (!err)
		err = emu_operand_read(e, last, &b);
	if (err)
		return err;
	r = alu(ALU_IMUL, a, b, e->op[0].size / 8u, &flags);
	e->rflags = flags;
	return emu_operand_write(e, &e->op[0], r);
}

/* CMOVcc reads its source in either case (SDM vol. 2A). */
static int do_cmov(struct emu *e, unsigned cc)
{
	uint64_t old, value;
	int err = emu_operand_read(e, &e->op[0], &old);

	if (!err)
		err = emu_operand_read(e, &e->op[1], &value);
	return err ? err
		   : emu_operand_write(e, &e->op[0], alu_condition(cc, e->rflags) ? value : old);
}

static int do_set(struct emu *e, unsigned cc)
{
	return emu_operand_write(e, &e->op[0], alu_condition(cc, e->rflags));
}

static ZydisRegister accumulator(unsigned bytes)
{
	return bytes == 1   ? ZYDIS_REGISTER_AL
	       : bytes == 2 ? ZYDIS_REGISTER_AX
	       : bytes == 4 ? ZYDIS_REGISTER_EAX
			    : ZYDIS_REGISTER_RAX;
}

static int do_cmpxchg(struct emu *e, unsigned arg)
{
	ZydisRegister acc = accumulator(e->op[0].size / 8u);
	uint64_t dst, src, flags = e->rflags;
	int err = emu_operand_read(e, &e->op[0], &dst);

	if (!err)
		err = emu_operand_read(e, &e->op[1], &src);
	if (err)
		return err;

	uint64_t old = emu_reg_read(e, acc);

	alu(ALU_CMP, old, dst, e->op[0].size / 8u, &flags);
	/* The destination is written in either case (SDM vol. 2A, CMPXCHG). */
	err = emu_operand_write(e, &e->op[0], old == dst ? src : dst);
	if (err)
		return err;
	if (old != dst)
		emu_reg_write(e, acc, dst);
	e->rflags = flags;
	return 0;
}

static int do_push(struct emu *e, unsigned arg)
{
	unsigned bytes = e->insn.operand_width / 8u;
	const struct virt_ops *ops = e->v->vm->ops;
	uint64_t value, rsp = ops->reg_get(&e->v->virt, REG_RSP);
	uint64_t mask = BITS(e->insn.stack_width - 1u, 0), top = (rsp - bytes) & mask;
	gva_t gva;
	int err = emu_operand_read(e, &e->op[0], &value);

	if (!err)
		err = emu_linear(e, ZYDIS_REGISTER_SS, top, bytes, true, &gva);
	if (!err)
		err = emu_write_mem(e, gva, &value, bytes);
	if (!err)
		ops->reg_set(&e->v->virt, REG_RSP, (rsp & ~mask) | top);
	return err;
}

static int do_pop(struct emu *e, unsigned arg)
{
	unsigned bytes = e->insn.operand_width / 8u;
	const struct virt_ops *ops = e->v->vm->ops;
	uint64_t value = 0, rsp = ops->reg_get(&e->v->virt, REG_RSP);
	uint64_t mask = BITS(e->insn.stack_width - 1u, 0);
	gva_t gva;
	int err = emu_linear(e, ZYDIS_REGISTER_SS, rsp & mask, bytes, false, &gva);

	if (!err)
		err = emu_read_mem(e, gva, &value, bytes);
	if (err)
		return err;
	/* The destination's address is computed with RSP already raised (SDM vol. 2B, POP). */
	ops->reg_set(&e->v->virt, REG_RSP, (rsp & ~mask) | ((rsp + bytes) & mask));
	err = emu_operand_write(e, &e->op[0], value);
	if (err)
		ops->reg_set(&e->v->virt, REG_RSP, rsp);
	return err;
}

/* String instructions: index registers of the instruction's address width. */
enum string_kind {
	STRING_MOVS,
	STRING_STOS,
	STRING_LODS,
	STRING_INS,
	STRING_OUTS,
	STRING_CMPS,
	STRING_SCAS,
};

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
	ZydisRegister acc = accumulator(bytes);
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
		value = devices_io_read(e->v, port, bytes);
	else if (kind == STRING_OUTS)
		devices_io_write(e->v, port, bytes, (uint32_t)value);
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
	uint64_t a = emu_reg_read(e, accumulator(bytes)), b = 0;
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

static int do_string(struct emu *e, unsigned kind)
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
	return emu_reg_read(e, cx) ? AGAIN : 0;
}

// clang-format off
static const struct {
	ZydisMnemonic mnemonic;
	int (*run)(struct emu *e, unsigned arg);
	unsigned arg;
} table[] = {
	{ZYDIS_MNEMONIC_MOV,     do_mov,     0},
	{ZYDIS_MNEMONIC_MOVZX,   do_mov,     0},
	{ZYDIS_MNEMONIC_MOVSX,   do_movsx,   0},
	{ZYDIS_MNEMONIC_MOVSXD,  do_movsx,   0},
	{ZYDIS_MNEMONIC_ADD,     do_alu,     ALU_ADD},
	{ZYDIS_MNEMONIC_OR,      do_alu,     ALU_OR},
	{ZYDIS_MNEMONIC_ADC,     do_alu,     ALU_ADC},
	{ZYDIS_MNEMONIC_SBB,     do_alu,     ALU_SBB},
	{ZYDIS_MNEMONIC_AND,     do_alu,     ALU_AND},
	{ZYDIS_MNEMONIC_SUB,     do_alu,     ALU_SUB},
	{ZYDIS_MNEMONIC_XOR,     do_alu,     ALU_XOR},
	{ZYDIS_MNEMONIC_CMP,     do_alu,     ALU_CMP},
	{ZYDIS_MNEMONIC_TEST,    do_alu,     ALU_TEST},
	{ZYDIS_MNEMONIC_INC,     do_alu,     ALU_INC},
	{ZYDIS_MNEMONIC_DEC,     do_alu,     ALU_DEC},
	{ZYDIS_MNEMONIC_NEG,     do_alu,     ALU_NEG},
	{ZYDIS_MNEMONIC_NOT,     do_alu,     ALU_NOT},
	{ZYDIS_MNEMONIC_BT,      do_bit,     ALU_BT},
	{ZYDIS_MNEMONIC_BTS,     do_bit,     ALU_BTS},
	{ZYDIS_MNEMONIC_BTR,     do_bit,     ALU_BTR},
	{ZYDIS_MNEMONIC_BTC,     do_bit,     ALU_BTC},
	{ZYDIS_MNEMONIC_SHL,     do_alu,     ALU_SHL},
	{ZYDIS_MNEMONIC_SHR,     do_alu,     ALU_SHR},
	{ZYDIS_MNEMONIC_SAR,     do_alu,     ALU_SAR},
	{ZYDIS_MNEMONIC_IMUL,    do_imul,    0},
	{ZYDIS_MNEMONIC_XCHG,    do_xchg,    0},
	{ZYDIS_MNEMONIC_XADD,    do_xadd,    0},
	{ZYDIS_MNEMONIC_CMPXCHG, do_cmpxchg, 0},
	{ZYDIS_MNEMONIC_PUSH,    do_push,    0},
	{ZYDIS_MNEMONIC_POP,     do_pop,     0},
	{ZYDIS_MNEMONIC_MOVSB,   do_string,  STRING_MOVS},
	{ZYDIS_MNEMONIC_MOVSW,   do_string,  STRING_MOVS},
	{ZYDIS_MNEMONIC_MOVSD,   do_string,  STRING_MOVS},
	{ZYDIS_MNEMONIC_MOVSQ,   do_string,  STRING_MOVS},
	{ZYDIS_MNEMONIC_STOSB,   do_string,  STRING_STOS},
	{ZYDIS_MNEMONIC_STOSW,   do_string,  STRING_STOS},
	{ZYDIS_MNEMONIC_STOSD,   do_string,  STRING_STOS},
	{ZYDIS_MNEMONIC_STOSQ,   do_string,  STRING_STOS},
	{ZYDIS_MNEMONIC_LODSB,   do_string,  STRING_LODS},
	{ZYDIS_MNEMONIC_LODSW,   do_string,  STRING_LODS},
	{ZYDIS_MNEMONIC_LODSD,   do_string,  STRING_LODS},
	{ZYDIS_MNEMONIC_LODSQ,   do_string,  STRING_LODS},
	{ZYDIS_MNEMONIC_INSB,    do_string,  STRING_INS},
	{ZYDIS_MNEMONIC_INSW,    do_string,  STRING_INS},
	{ZYDIS_MNEMONIC_INSD,    do_string,  STRING_INS},
	{ZYDIS_MNEMONIC_OUTSB,   do_string,  STRING_OUTS},
	{ZYDIS_MNEMONIC_OUTSW,   do_string,  STRING_OUTS},
	{ZYDIS_MNEMONIC_OUTSD,   do_string,  STRING_OUTS},
	{ZYDIS_MNEMONIC_CMPSB,   do_string,  STRING_CMPS},
	{ZYDIS_MNEMONIC_CMPSW,   do_string,  STRING_CMPS},
	{ZYDIS_MNEMONIC_CMPSD,   do_string,  STRING_CMPS},
	{ZYDIS_MNEMONIC_CMPSQ,   do_string,  STRING_CMPS},
	{ZYDIS_MNEMONIC_SCASB,   do_string,  STRING_SCAS},
	{ZYDIS_MNEMONIC_SCASW,   do_string,  STRING_SCAS},
	{ZYDIS_MNEMONIC_SCASD,   do_string,  STRING_SCAS},
	{ZYDIS_MNEMONIC_SCASQ,   do_string,  STRING_SCAS},
	{ZYDIS_MNEMONIC_CLTS,    emu_clts,   0},
	{ZYDIS_MNEMONIC_LMSW,    emu_lmsw,   0},
	{ZYDIS_MNEMONIC_SMSW,    emu_smsw,   0},
	{ZYDIS_MNEMONIC_INVLPG,  emu_invlpg, 0},
};
// clang-format on

/* The decoder for the vCPU's present mode (SDM vol. 3, 3.4.5: CS.L and CS.D). */
static ZyanStatus decode(struct emu *e, const struct virt_seg *cs)
{
	ZydisDecoder d;
	bool real = !(e->mode.cr0 & CR0_PE) || e->rflags & RFLAGS_VM;
	ZydisMachineMode mode = e->long_mode ? ZYDIS_MACHINE_MODE_LONG_64
				: cs->db     ? ZYDIS_MACHINE_MODE_LEGACY_32
				: real       ? ZYDIS_MACHINE_MODE_REAL_16
					     : ZYDIS_MACHINE_MODE_LEGACY_16;
	struct virt_seg ss;

	e->v->vm->ops->seg_get(&e->v->virt, SEG_SS, &ss);

	ZydisStackWidth stack = e->long_mode ? ZYDIS_STACK_WIDTH_64
				: ss.db      ? ZYDIS_STACK_WIDTH_32
					     : ZYDIS_STACK_WIDTH_16;
	ZydisDecoderContext context;
	ZyanStatus status = ZydisDecoderInit(&d, mode, stack);

	if (ZYAN_SUCCESS(status))
		status = ZydisDecoderDecodeInstruction(&d, &context, e->bytes, sizeof(e->bytes),
						       &e->insn);
	if (!ZYAN_SUCCESS(status))
		return status;
	return ZydisDecoderDecodeOperands(&d, &context, &e->insn, e->op, e->insn.operand_count);
}

static void inject_fault(struct emu *e)
{
	if (e->fault.vector == VECTOR_PF)
		e->v->virt.cr2 = e->fault_address;
	e->v->vm->ops->inject(&e->v->virt, &e->fault);
}

static void fail_unknown(struct emu *e, const char *what)
{
	char hex[48];
	size_t n = 0;

	for (unsigned i = 0; i < 8; i++)
		n += fmt_print(hex + n, sizeof(hex) - n, "%02x ", e->bytes[i]);
	vm_fail(e->v->vm,
		"vCPU %u used an instruction on device memory or ports that %s (at %#llx, bytes "
		"%s); device "
		"memory takes MOV, ALU, shift, bit, exchange, stack and string instructions",
		e->v->index, what, (unsigned long long)e->rip, hex);
}

/* Reads the vCPU's mode and decodes what it is at; false when that came to nothing, and was dealt with. */
static bool begin(struct emu *e, struct vcpu *v)
{
	const struct virt_ops *ops = v->vm->ops;
	struct virt_seg cs;

	e->v = v;
	walk_mode_read(v, &e->mode);
	ops->seg_get(&v->virt, SEG_CS, &cs);
	e->long_mode = e->mode.efer & EFER_LMA && cs.l;
	e->rip = ops->reg_get(&v->virt, REG_RIP);
	e->rflags = ops->reg_get(&v->virt, REG_RFLAGS);
	if (emu_fetch(e)) {
		inject_fault(e);
		return false;
	}
	if (!ZYAN_SUCCESS(decode(e, &cs))) {
		fail_unknown(e, "can't be decoded");
		return false;
	}
	return true;
}

static int execute(struct emu *e)
{
	/* 0F 40 to 4F are CMOVcc, 0F 90 to 9F SETcc: the opcode names the condition. */
	if (e->insn.opcode_map == ZYDIS_OPCODE_MAP_0F && (e->insn.opcode & 0xf0) == 0x40)
		return do_cmov(e, e->insn.opcode & 0xf);
	if (e->insn.opcode_map == ZYDIS_OPCODE_MAP_0F && (e->insn.opcode & 0xf0) == 0x90)
		return do_set(e, e->insn.opcode & 0xf);
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (table[i].mnemonic == e->insn.mnemonic)
			return table[i].run(e, table[i].arg);
	return UNKNOWN;
}

void emulate(struct vcpu *v)
{
	const struct virt_ops *ops = v->vm->ops;
	struct emu e = {.v = v};
	uint64_t flags;
	int err;

	if (!begin(&e, v))
		return;
	flags = e.rflags;
	err = execute(&e);
	if (err == UNKNOWN) {
		fail_unknown(&e, "is not emulated");
		return;
	}
	if (err == ERR_INVALID) {
		inject_fault(&e);
		return;
	}
	if (e.rflags != flags)
		ops->reg_set(&v->virt, REG_RFLAGS, e.rflags);
	if (err == 0)
		ops->skip(&v->virt, e.insn.length);
	else if (flags & RFLAGS_TF)
		ops->skip(&v->virt, 0); /* the step is over, RIP stays */
}

unsigned emulate_insn_length(struct vcpu *v)
{
	struct emu e = {.v = v};

	return begin(&e, v) ? e.insn.length : 0;
}
