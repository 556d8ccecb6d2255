/* Integer operations with the flags they leave, as IA-32 defines them. Pure; tested on the host. */
#ifndef HV_INSN_ALU_H
#define HV_INSN_ALU_H

#include "hv/base/bits.h"

enum alu_op {
	ALU_ADD,
	ALU_OR,
	ALU_ADC,
	ALU_SBB,
	ALU_AND,
	ALU_SUB,
	ALU_XOR,
	ALU_CMP,
	ALU_TEST,
	ALU_INC,
	ALU_DEC,
	ALU_NEG,
	ALU_NOT,
	ALU_BT,
	ALU_BTS,
	ALU_BTR,
	ALU_BTC,
	ALU_SHL,
	ALU_SHR,
	ALU_SAR,
	ALU_IMUL, /* the product's low half; its SF, ZF, PF and AF are undefined and stay */
};

/*
 * Applies op to a (the destination) and b, both `bytes` wide (1, 2, 4, 8); returns the new destination
 * and changes the flags in *rflags. SDM vol. 1, 7.3.2 and the instruction pages of vol. 2.
 */
uint64_t alu(enum alu_op op, uint64_t a, uint64_t b, unsigned bytes, uint64_t *rflags);

/*
 * Does the condition hold that the low 4 bits of a Jcc, SETcc or CMOVcc opcode name? SDM vol. 1, appendix B
 */
bool alu_condition(unsigned cc, uint64_t rflags);

#endif
