#include "hv/core/alu.h"

#define CF BIT(0)
#define PF BIT(2)
#define AF BIT(4)
#define ZF BIT(6)
#define SF BIT(7)
#define OF BIT(11)

#define ARITHMETIC (CF | PF | AF | ZF | SF | OF)

static uint64_t mask_of(unsigned bytes)
{
	return BITS(bytes * 8 - 1, 0);
}

static uint64_t result_flags(uint64_t r, unsigned bytes)
{
	uint64_t f = 0;

	if (!(__builtin_popcountll(r & 0xff) & 1))
		f |= PF;
	if (!r)
		f |= ZF;
	if (r >> (bytes * 8 - 1) & 1)
		f |= SF;
	return f;
}

static uint64_t add(uint64_t a, uint64_t b, uint64_t carry, unsigned bytes, uint64_t *f)
{
	uint64_t mask = mask_of(bytes), r = (a + b + carry) & mask;
	uint64_t sign = BIT(bytes * 8 - 1);

	*f = result_flags(r, bytes);
	if (r < a || (carry && r == a))
		*f |= CF;
	if ((a ^ b ^ r) & 0x10)
		*f |= AF;
	if (~(a ^ b) & (a ^ r) & sign)
		*f |= OF;
	return r;
}

static uint64_t sub(uint64_t a, uint64_t b, uint64_t borrow, unsigned bytes, uint64_t *f)
{
	uint64_t mask = mask_of(bytes), r = (a - b - borrow) & mask;
	uint64_t sign = BIT(bytes * 8 - 1);

	*f = result_flags(r, bytes);
	if (a < b || (borrow && a == b))
		*f |= CF;
	if ((a ^ b ^ r) & 0x10)
		*f |= AF;
	if ((a ^ b) & (a ^ r) & sign)
		*f |= OF;
	return r;
}

static uint64_t bit_op(enum alu_op op, uint64_t a, uint64_t b, unsigned bytes, uint64_t *rflags)
{
	uint64_t bit = BIT(b & (bytes * 8 - 1));

	*rflags = (*rflags & ~CF) | (a & bit ? CF : 0);
	if (op == ALU_BTS)
		return a | bit;
	if (op == ALU_BTR)
		return a & ~bit;
	return op == ALU_BTC ? a ^ bit : a;
}

uint64_t alu(enum alu_op op, uint64_t a, uint64_t b, unsigned bytes, uint64_t *rflags)
{
	uint64_t mask = mask_of(bytes), carry = *rflags & CF, f = 0, r, keep = 0;

	a &= mask;
	b &= mask;
	switch (op) {
	case ALU_ADD:
		r = add(a, b, 0, bytes, &f);
		break;
	case ALU_ADC:
		r = add(a, b, carry, bytes, &f);
		break;
	case ALU_SUB:
		r = sub(a, b, 0, bytes, &f);
		break;
	case ALU_SBB:
		r = sub(a, b, carry, bytes, &f);
		break;
	case ALU_CMP:
		sub(a, b, 0, bytes, &f);
		r = a;
		break;
	case ALU_NEG:
		r = sub(0, a, 0, bytes, &f);
		break;
	case ALU_INC: /* INC and DEC leave CF alone */
		r = add(a, 1, 0, bytes, &f);
		keep = CF;
		break;
	case ALU_DEC:
		r = sub(a, 1, 0, bytes, &f);
		keep = CF;
		break;
	case ALU_AND:
		r = a & b;
		f = result_flags(r, bytes);
		break;
	case ALU_TEST:
		r = a;
		f = result_flags(a & b, bytes);
		break;
	case ALU_OR:
		r = a | b;
		f = result_flags(r, bytes);
		break;
	case ALU_XOR:
		r = a ^ b;
		f = result_flags(r, bytes);
		break;
	case ALU_NOT:
		return ~a & mask;
	default:
		return bit_op(op, a, b, bytes, rflags);
	}
	*rflags = (*rflags & ~(ARITHMETIC & ~keep)) | (f & ~keep);
	return r;
}
