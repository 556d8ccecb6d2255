#include "hv/insn/emulate.h"
#include "hv/base/fmt.h"
#include "hv/base/string.h"
#include "hv/insn/alu.h"
#include "hv/insn/emulate_insn.h"
#include "hv/x86/msr.h"

static int do_mov(struct emu *e, unsigned arg)
{
	uint64_t value;
	int err = emu_operand_read(e, &e->op[1], &value);

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
static int do_cmov(struct emu *e, unsigned arg)
{
	unsigned cc = e->insn.opcode & 0xf;
	uint64_t old, value;
	int err = emu_operand_read(e, &e->op[0], &old);

	if (!err)
		err = emu_operand_read(e, &e->op[1], &value);
	return err ? err
		   : emu_operand_write(e, &e->op[0], alu_condition(cc, e->rflags) ? value : old);
}

static int do_set(struct emu *e, unsigned arg)
{
	return emu_operand_write(e, &e->op[0], alu_condition(e->insn.opcode & 0xf, e->rflags));
}

static int do_cmpxchg(struct emu *e, unsigned arg)
{
	ZydisRegister acc = emu_accumulator(e->op[0].size / 8u);
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

/* What an operand may be, and which sizes in bytes it may have. */
#define REG  1u /* general register */
#define MEM  2u
#define IMM  4u
#define SREG 8u
#define CREG 16u
#define RM   (REG | MEM)
#define ANY  (1u | 2u | 4u | 8u)
#define WIDE (2u | 4u | 8u)

struct form {
	uint8_t count;
	bool one_size; /* of all operands but immediates */
	struct {
		uint8_t kinds, bytes;
	} op[3];
};

// clang-format off
static const struct form
	no_operands  = {0, false, {{0}}},
	rm           = {1, false, {{RM, ANY}}},
	rm_any       = {2, true,  {{RM, ANY}, {RM | IMM, ANY}}},
	rm_sreg      = {2, false, {{RM, WIDE}, {SREG, 2}}},
	rm_reg       = {2, true,  {{RM, ANY}, {REG, ANY}}},
	rm_rm        = {2, true,  {{RM, ANY}, {RM, ANY}}},
	rm_count     = {2, false, {{RM, ANY}, {REG | IMM, 1}}},
	rm_bit       = {2, true,  {{RM, WIDE}, {REG | IMM, ANY}}},
	reg_rm       = {2, true,  {{REG, WIDE}, {RM, WIDE}}},
	reg_rm_imm   = {3, true,  {{REG, WIDE}, {RM, WIDE}, {IMM, ANY}}},
	reg_narrow   = {2, false, {{REG, WIDE}, {RM, 1 | 2}}},
	reg_half     = {2, false, {{REG, 4 | 8}, {RM, 4}}},
	byte         = {1, false, {{RM, 1}}},
	word         = {1, false, {{RM, 2}}},
	wide         = {1, false, {{RM, WIDE}}},
	address      = {1, false, {{MEM, ANY}}},
	pushed       = {1, false, {{RM | IMM | SREG, ANY}}},
	creg_reg     = {2, true,  {{CREG, 4 | 8}, {REG, 4 | 8}}},
	reg_creg     = {2, true,  {{REG, 4 | 8}, {CREG, 4 | 8}}};

/*
 * An instruction is a mnemonic and a form: IMUL, MOV, MOVSD, CMPSD, PUSH and POP name several. What
 * the table does not have is not run.
 */
struct row {
	ZydisMnemonic mnemonic;
	const struct form *form;
	int (*run)(struct emu *e, unsigned arg);
	unsigned arg;
};

static const struct row table[] = {
	{ZYDIS_MNEMONIC_MOV,     &rm_any,      do_mov,     0},
	{ZYDIS_MNEMONIC_MOV,     &rm_sreg,     do_mov,     0},
	{ZYDIS_MNEMONIC_MOV,     &creg_reg,    emu_mov_cr, 0},
	{ZYDIS_MNEMONIC_MOV,     &reg_creg,    emu_mov_cr, 0},
	{ZYDIS_MNEMONIC_MOVZX,   &reg_narrow,  do_mov,     0},
	{ZYDIS_MNEMONIC_MOVSX,   &reg_narrow,  do_movsx,   0},
	{ZYDIS_MNEMONIC_MOVSXD,  &reg_half,    do_movsx,   0},
	{ZYDIS_MNEMONIC_ADD,     &rm_any,      do_alu,     ALU_ADD},
	{ZYDIS_MNEMONIC_OR,      &rm_any,      do_alu,     ALU_OR},
	{ZYDIS_MNEMONIC_ADC,     &rm_any,      do_alu,     ALU_ADC},
	{ZYDIS_MNEMONIC_SBB,     &rm_any,      do_alu,     ALU_SBB},
	{ZYDIS_MNEMONIC_AND,     &rm_any,      do_alu,     ALU_AND},
	{ZYDIS_MNEMONIC_SUB,     &rm_any,      do_alu,     ALU_SUB},
	{ZYDIS_MNEMONIC_XOR,     &rm_any,      do_alu,     ALU_XOR},
	{ZYDIS_MNEMONIC_CMP,     &rm_any,      do_alu,     ALU_CMP},
	{ZYDIS_MNEMONIC_TEST,    &rm_any,      do_alu,     ALU_TEST},
	{ZYDIS_MNEMONIC_INC,     &rm,          do_alu,     ALU_INC},
	{ZYDIS_MNEMONIC_DEC,     &rm,          do_alu,     ALU_DEC},
	{ZYDIS_MNEMONIC_NEG,     &rm,          do_alu,     ALU_NEG},
	{ZYDIS_MNEMONIC_NOT,     &rm,          do_alu,     ALU_NOT},
	{ZYDIS_MNEMONIC_BT,      &rm_bit,      do_bit,     ALU_BT},
	{ZYDIS_MNEMONIC_BTS,     &rm_bit,      do_bit,     ALU_BTS},
	{ZYDIS_MNEMONIC_BTR,     &rm_bit,      do_bit,     ALU_BTR},
	{ZYDIS_MNEMONIC_BTC,     &rm_bit,      do_bit,     ALU_BTC},
	{ZYDIS_MNEMONIC_SHL,     &rm_count,    do_alu,     ALU_SHL},
	{ZYDIS_MNEMONIC_SHR,     &rm_count,    do_alu,     ALU_SHR},
	{ZYDIS_MNEMONIC_SAR,     &rm_count,    do_alu,     ALU_SAR},
	{ZYDIS_MNEMONIC_IMUL,    &reg_rm,      do_imul,    0},
	{ZYDIS_MNEMONIC_IMUL,    &reg_rm_imm,  do_imul,    0},
	{ZYDIS_MNEMONIC_XCHG,    &rm_rm,       do_xchg,    0},
	{ZYDIS_MNEMONIC_XADD,    &rm_reg,      do_xadd,    0},
	{ZYDIS_MNEMONIC_CMPXCHG, &rm_reg,      do_cmpxchg, 0},
	{ZYDIS_MNEMONIC_PUSH,    &pushed,      do_push,    0},
	{ZYDIS_MNEMONIC_POP,     &wide,        do_pop,     0},
	{ZYDIS_MNEMONIC_MOVSB,   &no_operands, emu_string, STRING_MOVS},
	{ZYDIS_MNEMONIC_MOVSW,   &no_operands, emu_string, STRING_MOVS},
	{ZYDIS_MNEMONIC_MOVSD,   &no_operands, emu_string, STRING_MOVS},
	{ZYDIS_MNEMONIC_MOVSQ,   &no_operands, emu_string, STRING_MOVS},
	{ZYDIS_MNEMONIC_STOSB,   &no_operands, emu_string, STRING_STOS},
	{ZYDIS_MNEMONIC_STOSW,   &no_operands, emu_string, STRING_STOS},
	{ZYDIS_MNEMONIC_STOSD,   &no_operands, emu_string, STRING_STOS},
	{ZYDIS_MNEMONIC_STOSQ,   &no_operands, emu_string, STRING_STOS},
	{ZYDIS_MNEMONIC_LODSB,   &no_operands, emu_string, STRING_LODS},
	{ZYDIS_MNEMONIC_LODSW,   &no_operands, emu_string, STRING_LODS},
	{ZYDIS_MNEMONIC_LODSD,   &no_operands, emu_string, STRING_LODS},
	{ZYDIS_MNEMONIC_LODSQ,   &no_operands, emu_string, STRING_LODS},
	{ZYDIS_MNEMONIC_INSB,    &no_operands, emu_string, STRING_INS},
	{ZYDIS_MNEMONIC_INSW,    &no_operands, emu_string, STRING_INS},
	{ZYDIS_MNEMONIC_INSD,    &no_operands, emu_string, STRING_INS},
	{ZYDIS_MNEMONIC_OUTSB,   &no_operands, emu_string, STRING_OUTS},
	{ZYDIS_MNEMONIC_OUTSW,   &no_operands, emu_string, STRING_OUTS},
	{ZYDIS_MNEMONIC_OUTSD,   &no_operands, emu_string, STRING_OUTS},
	{ZYDIS_MNEMONIC_CMPSB,   &no_operands, emu_string, STRING_CMPS},
	{ZYDIS_MNEMONIC_CMPSW,   &no_operands, emu_string, STRING_CMPS},
	{ZYDIS_MNEMONIC_CMPSD,   &no_operands, emu_string, STRING_CMPS},
	{ZYDIS_MNEMONIC_CMPSQ,   &no_operands, emu_string, STRING_CMPS},
	{ZYDIS_MNEMONIC_SCASB,   &no_operands, emu_string, STRING_SCAS},
	{ZYDIS_MNEMONIC_SCASW,   &no_operands, emu_string, STRING_SCAS},
	{ZYDIS_MNEMONIC_SCASD,   &no_operands, emu_string, STRING_SCAS},
	{ZYDIS_MNEMONIC_SCASQ,   &no_operands, emu_string, STRING_SCAS},
	{ZYDIS_MNEMONIC_CLTS,    &no_operands, emu_clts,   0},
	{ZYDIS_MNEMONIC_LMSW,    &word,        emu_lmsw,   0},
	{ZYDIS_MNEMONIC_SMSW,    &wide,        emu_smsw,   0},
	{ZYDIS_MNEMONIC_INVLPG,  &address,     emu_invlpg, 0},
};
// clang-format on

/* 0F 40 to 4F are CMOVcc, 0F 90 to 9F SETcc: the opcode names the condition. */
static const struct row cmov_row = {ZYDIS_MNEMONIC_INVALID, &reg_rm, do_cmov, 0};
static const struct row set_row = {ZYDIS_MNEMONIC_INVALID, &byte, do_set, 0};

static unsigned kind_of(const ZydisDecodedOperand *op)
{
	if (op->type == ZYDIS_OPERAND_TYPE_MEMORY)
		return MEM;
	if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return IMM;
	if (op->type != ZYDIS_OPERAND_TYPE_REGISTER)
		return 0;
	switch (ZydisRegisterGetClass(op->reg.value)) {
	case ZYDIS_REGCLASS_GPR8:
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
		return REG;
	case ZYDIS_REGCLASS_SEGMENT:
		return SREG;
	case ZYDIS_REGCLASS_CONTROL:
		return CREG;
	default:
		return 0;
	}
}

static bool size_fits(const ZydisDecodedOperand *op, unsigned bytes)
{
	unsigned n = op->size / 8u;

	return op->size % 8 == 0 && (n == 1 || n == 2 || n == 4 || n == 8) && n & bytes;
}

static bool form_fits(const struct emu *e, const struct form *f)
{
	if (e->insn.operand_count_visible != f->count)
		return false;
	for (unsigned i = 0; i < f->count; i++) {
		unsigned kind = kind_of(&e->op[i]);

		if (!(kind & f->op[i].kinds) || !size_fits(&e->op[i], f->op[i].bytes))
			return false;
		if (f->one_size && kind != IMM && e->op[i].size != e->op[0].size)
			return false;
	}
	/* Hidden ones: what string instructions and the stack use. */
	for (unsigned i = f->count; i < e->insn.operand_count; i++)
		if (kind_of(&e->op[i]) == MEM && !size_fits(&e->op[i], ANY))
			return false;
	return true;
}

/* The row of what was decoded, or NULL. VEX has other instructions under the same opcodes. */
static const struct row *row_of(const struct emu *e)
{
	if (e->insn.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return NULL;
	if (e->insn.opcode_map == ZYDIS_OPCODE_MAP_0F && (e->insn.opcode & 0xf0) == 0x40)
		return form_fits(e, cmov_row.form) ? &cmov_row : NULL;
	if (e->insn.opcode_map == ZYDIS_OPCODE_MAP_0F && (e->insn.opcode & 0xf0) == 0x90)
		return form_fits(e, set_row.form) ? &set_row : NULL;
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (table[i].mnemonic == e->insn.mnemonic && form_fits(e, table[i].form))
			return &table[i];
	return NULL;
}

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

void emulate(struct vcpu *v)
{
	const struct virt_ops *ops = v->vm->ops;
	struct emu e = {.v = v};
	const struct row *row;
	uint64_t flags;
	int err;

	if (!begin(&e, v))
		return;
	flags = e.rflags;
	row = row_of(&e);
	if (!row) {
		fail_unknown(&e, "is not emulated");
		return;
	}
	err = row->run(&e, row->arg);
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
