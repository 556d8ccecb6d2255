#include "hv/insn/alu.h"
#include "hv/x86/msr.h"

#define CF BIT(0)
#define PF BIT(2)
#define AF BIT(4)
#define ZF BIT(6)
#define SF BIT(7)
#define OF BIT(11)

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

static int64_t sign_extended(uint64_t v, unsigned bytes)
{
	unsigned shift = 64 - bytes * 8;

	return (int64_t)(v << shift) >> shift;
}

/*
 * OF is defined for a count of 1 only, AF never; a count of 0 changes nothing. SDM vol. 2B, SAL/SAR/SHL/SHR
 */
static uint64_t shift(enum alu_op op, uint64_t a, uint64_t b, unsigned bytes, uint64_t *rflags)
{
	unsigned width = bytes * 8, n = b & (bytes == 8 ? 63 : 31), top = width - 1;
	uint64_t r, f;
	bool out, overflow;

	if (!n)
		return a;
	if (op == ALU_SHL) {
		out = n <= width && a >> (width - n) & 1;
		r = n < width ? a << n & mask_of(bytes) : 0;
		overflow = (r >> top & 1) != out;
	} else {
		/* beyond the width, copies of the sign follow or zeros */
		int64_t from = op == ALU_SAR ? sign_extended(a, bytes) : (int64_t)a;

		out = op == ALU_SAR || n <= width ? from >> (n - 1) & 1 : false;
		r = op == ALU_SAR ? (uint64_t)(from >> n) & mask_of(bytes) : a >> n;
		overflow = op == ALU_SHR && a >> top & 1;
	}
	f = result_flags(r, bytes) | (out ? CF : 0) | (overflow ? OF : 0);
	*rflags = (*rflags & ~RFLAGS_STATUS) | f;
	return r;
}

static uint64_t imul(uint64_t a, uint64_t b, unsigned bytes, uint64_t *rflags)
{
	int64_t product;
	bool lost =
		__builtin_mul_overflow(sign_extended(a, bytes), sign_extended(b, bytes), &product);

	lost |= sign_extended((uint64_t)product, bytes) != product;
	*rflags = (*rflags & ~(CF | OF)) | (lost ? CF | OF : 0);
	return (uint64_t)product & mask_of(bytes);
}

bool alu_condition(unsigned cc, uint64_t rflags)
{
	bool less = !(rflags & SF) != !(rflags & OF), holds = false;

	switch (cc >> 1 & 7) {
	case 0:
		holds = rflags & OF;
		break;
	case 1:
		holds = rflags & CF;
		break;
	case 2:
		holds = rflags & ZF;
		break;
	case 3:
		holds = rflags & (CF | ZF);
		break;
	case 4:
		holds = rflags & SF;
		break;
	case 5:
		holds = rflags & PF;
		break;
	case 6:
		holds = less;
		break;
	case 7:
		holds = less || rflags & ZF;
		break;
	}
	return holds != (cc & 1);
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
	case ALU_SHL:
	case ALU_SHR:
	case ALU_SAR:
		return shift(op, a, b, bytes, rflags);
	case ALU_IMUL:
		return imul(a, b, bytes, rflags);
	default:
		return bit_op(op, a, b, bytes, rflags);
	}
	*rflags = (*rflags & ~(RFLAGS_STATUS & ~keep)) | (f & ~keep);
	return r;
}
