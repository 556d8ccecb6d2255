/*
 * Which instructions are emulated. An instruction is a mnemonic and a form: IMUL, MOV, MOVSD, CMPSD, PUSH and
 * POP name several. What the tables do not have is not run.
 */
#include "hv/insn/alu.h"
#include "hv/insn/emulate_insn.h"

/* What an operand may be, and which sizes in bytes it may have. */
#define REG  1u /* general register */
#define MEM  2u
#define IMM  4u
#define SREG 8u
#define CREG 16u
#define RM   (REG | MEM)
#define ANY  (1u | 2u | 4u | 8u)
#define WIDE (2u | 4u | 8u)

struct emu_form {
	uint8_t count;
	bool one_size; /* of all operands but immediates */
	struct {
		uint8_t kinds, bytes;
	} op[3];
};

// clang-format off
static const struct emu_form
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

/* What a nested page fault or an APIC access can come from. */
static const struct emu_row memory_table[] = {
	{ZYDIS_MNEMONIC_MOV,     &rm_any,      emu_mov,     0},
	{ZYDIS_MNEMONIC_MOV,     &rm_sreg,     emu_mov,     0},
	{ZYDIS_MNEMONIC_MOVZX,   &reg_narrow,  emu_mov,     0},
	{ZYDIS_MNEMONIC_MOVSX,   &reg_narrow,  emu_movsx,   0},
	{ZYDIS_MNEMONIC_MOVSXD,  &reg_half,    emu_movsx,   0},
	{ZYDIS_MNEMONIC_ADD,     &rm_any,      emu_alu,     ALU_ADD},
	{ZYDIS_MNEMONIC_OR,      &rm_any,      emu_alu,     ALU_OR},
	{ZYDIS_MNEMONIC_ADC,     &rm_any,      emu_alu,     ALU_ADC},
	{ZYDIS_MNEMONIC_SBB,     &rm_any,      emu_alu,     ALU_SBB},
	{ZYDIS_MNEMONIC_AND,     &rm_any,      emu_alu,     ALU_AND},
	{ZYDIS_MNEMONIC_SUB,     &rm_any,      emu_alu,     ALU_SUB},
	{ZYDIS_MNEMONIC_XOR,     &rm_any,      emu_alu,     ALU_XOR},
	{ZYDIS_MNEMONIC_CMP,     &rm_any,      emu_alu,     ALU_CMP},
	{ZYDIS_MNEMONIC_TEST,    &rm_any,      emu_alu,     ALU_TEST},
	{ZYDIS_MNEMONIC_INC,     &rm,          emu_alu,     ALU_INC},
	{ZYDIS_MNEMONIC_DEC,     &rm,          emu_alu,     ALU_DEC},
	{ZYDIS_MNEMONIC_NEG,     &rm,          emu_alu,     ALU_NEG},
	{ZYDIS_MNEMONIC_NOT,     &rm,          emu_alu,     ALU_NOT},
	{ZYDIS_MNEMONIC_BT,      &rm_bit,      emu_bit,     ALU_BT},
	{ZYDIS_MNEMONIC_BTS,     &rm_bit,      emu_bit,     ALU_BTS},
	{ZYDIS_MNEMONIC_BTR,     &rm_bit,      emu_bit,     ALU_BTR},
	{ZYDIS_MNEMONIC_BTC,     &rm_bit,      emu_bit,     ALU_BTC},
	{ZYDIS_MNEMONIC_SHL,     &rm_count,    emu_alu,     ALU_SHL},
	{ZYDIS_MNEMONIC_SHR,     &rm_count,    emu_alu,     ALU_SHR},
	{ZYDIS_MNEMONIC_SAR,     &rm_count,    emu_alu,     ALU_SAR},
	{ZYDIS_MNEMONIC_IMUL,    &reg_rm,      emu_imul,    0},
	{ZYDIS_MNEMONIC_IMUL,    &reg_rm_imm,  emu_imul,    0},
	{ZYDIS_MNEMONIC_XCHG,    &rm_rm,       emu_xchg,    0},
	{ZYDIS_MNEMONIC_XADD,    &rm_reg,      emu_xadd,    0},
	{ZYDIS_MNEMONIC_CMPXCHG, &rm_reg,      emu_cmpxchg, 0},
	{ZYDIS_MNEMONIC_PUSH,    &pushed,      emu_push,    0},
	{ZYDIS_MNEMONIC_POP,     &wide,        emu_pop,     0},
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
	{ZYDIS_MNEMONIC_CMPSB,   &no_operands, emu_string, STRING_CMPS},
	{ZYDIS_MNEMONIC_CMPSW,   &no_operands, emu_string, STRING_CMPS},
	{ZYDIS_MNEMONIC_CMPSD,   &no_operands, emu_string, STRING_CMPS},
	{ZYDIS_MNEMONIC_CMPSQ,   &no_operands, emu_string, STRING_CMPS},
	{ZYDIS_MNEMONIC_SCASB,   &no_operands, emu_string, STRING_SCAS},
	{ZYDIS_MNEMONIC_SCASW,   &no_operands, emu_string, STRING_SCAS},
	{ZYDIS_MNEMONIC_SCASD,   &no_operands, emu_string, STRING_SCAS},
	{ZYDIS_MNEMONIC_SCASQ,   &no_operands, emu_string, STRING_SCAS},
	{ZYDIS_MNEMONIC_LMSW,    &word,        emu_lmsw,   0},
	{ZYDIS_MNEMONIC_SMSW,    &wide,        emu_smsw,   0},
};

static const struct emu_row port_table[] = {
	{ZYDIS_MNEMONIC_INSB,    &no_operands, emu_string, STRING_INS},
	{ZYDIS_MNEMONIC_INSW,    &no_operands, emu_string, STRING_INS},
	{ZYDIS_MNEMONIC_INSD,    &no_operands, emu_string, STRING_INS},
	{ZYDIS_MNEMONIC_OUTSB,   &no_operands, emu_string, STRING_OUTS},
	{ZYDIS_MNEMONIC_OUTSW,   &no_operands, emu_string, STRING_OUTS},
	{ZYDIS_MNEMONIC_OUTSD,   &no_operands, emu_string, STRING_OUTS},
};

/* VM_EXIT_EMULATE's. */
static const struct emu_row control_table[] = {
	{ZYDIS_MNEMONIC_MOV,     &creg_reg,    emu_mov_cr, 0},
	{ZYDIS_MNEMONIC_MOV,     &reg_creg,    emu_mov_cr, 0},
	{ZYDIS_MNEMONIC_CLTS,    &no_operands, emu_clts,   0},
	{ZYDIS_MNEMONIC_INVLPG,  &address,     emu_invlpg, 0},
	{ZYDIS_MNEMONIC_LMSW,    &word,        emu_lmsw,   0},
	{ZYDIS_MNEMONIC_SMSW,    &wide,        emu_smsw,   0},
};
// clang-format on

/* 0F 40 to 4F are CMOVcc, 0F 90 to 9F SETcc: the opcode names the condition. */
static const struct emu_row cmov_row = {ZYDIS_MNEMONIC_INVALID, &reg_rm, emu_cmov, 0};
static const struct emu_row set_row = {ZYDIS_MNEMONIC_INVALID, &byte, emu_set, 0};

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

static bool form_fits(const struct emu *e, const struct emu_form *f)
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

static const struct emu_row *find(const struct emu *e, const struct emu_row *rows, size_t count)
{
	if (e->insn.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return NULL; /* VEX has others under the same opcodes */
	for (size_t i = 0; i < count; i++)
		if (rows[i].mnemonic == e->insn.mnemonic && form_fits(e, rows[i].form))
			return &rows[i];
	return NULL;
}

/* Does it read or write memory? LEA and the long NOP only name an address. */
static bool touches_memory(const struct emu *e)
{
	if (e->insn.mnemonic == ZYDIS_MNEMONIC_NOP)
		return false;
	for (unsigned i = 0; i < e->insn.operand_count; i++)
		if (e->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    e->op[i].mem.type == ZYDIS_MEMOP_TYPE_MEM && e->op[i].actions)
			return true;
	return false;
}

static const struct emu_row *memory_row(const struct emu *e)
{
	const struct emu_row *conditional = (e->insn.opcode & 0xf0) == 0x40   ? &cmov_row
					    : (e->insn.opcode & 0xf0) == 0x90 ? &set_row
									      : NULL;

	if (!touches_memory(e))
		return NULL;
	if (e->insn.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
	    e->insn.opcode_map == ZYDIS_OPCODE_MAP_0F && conditional)
		return form_fits(e, conditional->form) ? conditional : NULL;
	return find(e, memory_table, ARRAY_LEN(memory_table));
}

/* The port is DX in any case; the CPU checked it for this direction and size. */
static const struct emu_row *port_row(const struct emu *e, const struct vm_exit *exit)
{
	const struct emu_row *row = find(e, port_table, ARRAY_LEN(port_table));

	if (row && exit &&
	    ((row->arg == STRING_INS) != exit->io.in || emu_string_bytes(e) != exit->io.size))
		return NULL;
	return row;
}

const struct emu_row *emu_row_for(const struct emu *e, const struct vm_exit *exit)
{
	switch (exit->kind) {
	case VM_EXIT_NPF:
	case VM_EXIT_APIC_ACCESS:
		return memory_row(e);
	case VM_EXIT_IO:
		return port_row(e, exit);
	case VM_EXIT_EMULATE:
		return find(e, control_table, ARRAY_LEN(control_table));
	default:
		return NULL;
	}
}

bool emu_may_cause(const struct emu *e, const struct vm_exit *exit)
{
	if (exit->kind != VM_EXIT_NPF && exit->kind != VM_EXIT_APIC_ACCESS)
		return false;
	return touches_memory(e) && !find(e, port_table, ARRAY_LEN(port_table)) &&
	       !find(e, control_table, ARRAY_LEN(control_table));
}
