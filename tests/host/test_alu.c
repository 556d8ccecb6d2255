/* hv/insn/alu.c against the CPU this test runs on: same results, same flags. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hv/insn/alu.h"

#define DEFINED_FLAGS 0x8d5u /* OF SF ZF AF PF CF */
#define AF            0x10u

#define TWO_OPERANDS(name, insn)                                                            \
	static uint64_t cpu_##name(uint64_t a, uint64_t b, unsigned bytes, uint64_t *flags) \
	{                                                                                   \
		uint64_t f = *flags;                                                        \
                                                                                            \
		switch (bytes) {                                                            \
		case 1:                                                                     \
			__asm__("push %1; popf; " insn "b %b2, %b0; pushf; pop %1"          \
				: "+q"(a), "+r"(f)                                          \
				: "q"(b)                                                    \
				: "cc");                                                    \
			break;                                                              \
		case 2:                                                                     \
			__asm__("push %1; popf; " insn "w %w2, %w0; pushf; pop %1"          \
				: "+r"(a), "+r"(f)                                          \
				: "r"(b)                                                    \
				: "cc");                                                    \
			break;                                                              \
		case 4:                                                                     \
			__asm__("push %1; popf; " insn "l %k2, %k0; pushf; pop %1"          \
				: "+r"(a), "+r"(f)                                          \
				: "r"(b)                                                    \
				: "cc");                                                    \
			break;                                                              \
		default:                                                                    \
			__asm__("push %1; popf; " insn "q %2, %0; pushf; pop %1"            \
				: "+r"(a), "+r"(f)                                          \
				: "r"(b)                                                    \
				: "cc");                                                    \
			break;                                                              \
		}                                                                           \
		*flags = f;                                                                 \
		return a;                                                                   \
	}

#define ONE_OPERAND(name, insn)                                                             \
	static uint64_t cpu_##name(uint64_t a, uint64_t b, unsigned bytes, uint64_t *flags) \
	{                                                                                   \
		uint64_t f = *flags;                                                        \
                                                                                            \
		switch (bytes) {                                                            \
		case 1:                                                                     \
			__asm__("push %1; popf; " insn "b %b0; pushf; pop %1"               \
				: "+q"(a), "+r"(f)                                          \
				:                                                           \
				: "cc");                                                    \
			break;                                                              \
		case 2:                                                                     \
			__asm__("push %1; popf; " insn "w %w0; pushf; pop %1"               \
				: "+r"(a), "+r"(f)                                          \
				:                                                           \
				: "cc");                                                    \
			break;                                                              \
		case 4:                                                                     \
			__asm__("push %1; popf; " insn "l %k0; pushf; pop %1"               \
				: "+r"(a), "+r"(f)                                          \
				:                                                           \
				: "cc");                                                    \
			break;                                                              \
		default:                                                                    \
			__asm__("push %1; popf; " insn "q %0; pushf; pop %1"                \
				: "+r"(a), "+r"(f)                                          \
				:                                                           \
				: "cc");                                                    \
			break;                                                              \
		}                                                                           \
		*flags = f;                                                                 \
		return a;                                                                   \
	}

TWO_OPERANDS(add, "add")
TWO_OPERANDS(or, "or")
TWO_OPERANDS(adc, "adc")
TWO_OPERANDS(sbb, "sbb")
TWO_OPERANDS(and, "and")
TWO_OPERANDS(sub, "sub")
TWO_OPERANDS(xor, "xor")
TWO_OPERANDS(cmp, "cmp")
TWO_OPERANDS(test, "test")
ONE_OPERAND(inc, "inc")
ONE_OPERAND(dec, "dec")
ONE_OPERAND(neg, "neg")
ONE_OPERAND(not, "not")

/* The count is in CL. */
#define SHIFT(name, insn)                                                                   \
	static uint64_t cpu_##name(uint64_t a, uint64_t b, unsigned bytes, uint64_t *flags) \
	{                                                                                   \
		uint64_t f = *flags;                                                        \
                                                                                            \
		switch (bytes) {                                                            \
		case 1:                                                                     \
			__asm__("push %1; popf; " insn "b %%cl, %b0; pushf; pop %1"         \
				: "+q"(a), "+r"(f)                                          \
				: "c"(b)                                                    \
				: "cc");                                                    \
			break;                                                              \
		case 2:                                                                     \
			__asm__("push %1; popf; " insn "w %%cl, %w0; pushf; pop %1"         \
				: "+r"(a), "+r"(f)                                          \
				: "c"(b)                                                    \
				: "cc");                                                    \
			break;                                                              \
		case 4:                                                                     \
			__asm__("push %1; popf; " insn "l %%cl, %k0; pushf; pop %1"         \
				: "+r"(a), "+r"(f)                                          \
				: "c"(b)                                                    \
				: "cc");                                                    \
			break;                                                              \
		default:                                                                    \
			__asm__("push %1; popf; " insn "q %%cl, %0; pushf; pop %1"          \
				: "+r"(a), "+r"(f)                                          \
				: "c"(b)                                                    \
				: "cc");                                                    \
			break;                                                              \
		}                                                                           \
		*flags = f;                                                                 \
		return a;                                                                   \
	}

SHIFT(shl, "shl")
SHIFT(shr, "shr")
SHIFT(sar, "sar")

static const struct {
	enum alu_op op;
	uint64_t (*cpu)(uint64_t a, uint64_t b, unsigned bytes, uint64_t *flags);
	uint32_t undefined; /* flags the manual leaves undefined */
} ops[] = {
	{ALU_ADD, cpu_add, 0},  {ALU_OR, cpu_or, AF},   {ALU_ADC, cpu_adc, 0},
	{ALU_SBB, cpu_sbb, 0},  {ALU_AND, cpu_and, AF}, {ALU_SUB, cpu_sub, 0},
	{ALU_XOR, cpu_xor, AF}, {ALU_CMP, cpu_cmp, 0},  {ALU_TEST, cpu_test, AF},
	{ALU_INC, cpu_inc, 0},  {ALU_DEC, cpu_dec, 0},  {ALU_NEG, cpu_neg, 0},
	{ALU_NOT, cpu_not, 0},
};

static void check(size_t i, uint64_t a, uint64_t b, unsigned bytes, bool carry)
{
	uint64_t mask = BITS(bytes * 8 - 1, 0), start = 0x202 | carry;
	uint64_t ours = start, theirs = start;
	uint64_t r = alu(ops[i].op, a, b, bytes, &ours);
	uint64_t e = ops[i].cpu(a, b, bytes, &theirs);
	uint32_t compare = DEFINED_FLAGS & ~ops[i].undefined;

	if (r != (e & mask) || (ours & compare) != (theirs & compare))
		fail_msg("op %u, %u bytes, %#llx and %#llx, carry %d: %#llx flags %#llx, "
			 "the CPU says %#llx flags %#llx",
			 ops[i].op, bytes, (unsigned long long)a, (unsigned long long)b, carry,
			 (unsigned long long)r, (unsigned long long)(ours & compare),
			 (unsigned long long)(e & mask), (unsigned long long)(theirs & compare));
}

static void equals_the_cpu(void **state)
{
	static const uint64_t edges[] = {0,          1,          2,          0xf,        0x10,
					 0x7f,       0x80,       0xff,       0x7fff,     0x8000,
					 0xffff,     0x7fffffff, 0x80000000, 0xffffffff, INT64_MAX,
					 1ull << 63, UINT64_MAX};
	static const unsigned sizes[] = {1, 2, 4, 8};

	srand(1);
	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
			for (size_t x = 0; x < ARRAY_LEN(edges); x++)
				for (size_t y = 0; y < ARRAY_LEN(edges); y++)
					for (int carry = 0; carry < 2; carry++)
						check(i, edges[x], edges[y], sizes[s], carry);
			for (int n = 0; n < 2000; n++)
				check(i,
				      (uint64_t)rand() << 33 ^ (uint64_t)rand() << 11 ^
					      (uint64_t)rand(),
				      (uint64_t)rand() << 33 ^ (uint64_t)rand(), sizes[s],
				      rand() & 1);
		}
}

static void bits(void **state)
{
	uint64_t f = 0x202;

	assert_int_equal(alu(ALU_BT, 0x80, 7, 1, &f), 0x80);
	assert_int_equal(f, 0x203);
	assert_int_equal(alu(ALU_BTR, 0x80, 15, 1, &f), 0); /* the index wraps at the width */
	assert_int_equal(f, 0x203);
	assert_int_equal(alu(ALU_BTS, 0, 31, 4, &f), 0x80000000);
	assert_int_equal(f, 0x202);
	assert_int_equal(alu(ALU_BTC, 1, 0, 4, &f), 0);
	assert_int_equal(f, 0x203);
}

static const struct {
	enum alu_op op;
	uint64_t (*cpu)(uint64_t a, uint64_t b, unsigned bytes, uint64_t *flags);
} shift_ops[] = {{ALU_SHL, cpu_shl}, {ALU_SHR, cpu_shr}, {ALU_SAR, cpu_sar}};

/* AF is undefined, OF but for a count of 1, CF of SHL and SHR beyond the width; none by a count of 0. */
static void check_shift(size_t i, uint64_t a, unsigned count, unsigned bytes)
{
	uint64_t mask = BITS(bytes * 8 - 1, 0), ours = 0x202 | (a & 1), theirs = ours;
	uint64_t r = alu(shift_ops[i].op, a, count, bytes, &ours);
	uint64_t e = shift_ops[i].cpu(a, count, bytes, &theirs);
	unsigned n = count & (bytes == 8 ? 63 : 31);
	uint32_t compare = DEFINED_FLAGS & ~AF;

	if (n > 1)
		compare &= ~0x800u;
	if (n >= bytes * 8 && shift_ops[i].op != ALU_SAR)
		compare &= ~1u;
	if (r != (e & mask) || (ours & compare) != (theirs & compare))
		fail_msg("op %u, %u bytes, %#llx by %u: %#llx flags %#llx, "
			 "the CPU says %#llx flags %#llx",
			 shift_ops[i].op, bytes, (unsigned long long)a, count,
			 (unsigned long long)r, (unsigned long long)(ours & compare),
			 (unsigned long long)(e & mask), (unsigned long long)(theirs & compare));
}

static void shifts(void **state)
{
	static const uint64_t values[] = {0,
					  1,
					  0x55,
					  0x80,
					  0xff,
					  0x8000,
					  0x80000000,
					  0xdeadbeef,
					  1ull << 63,
					  UINT64_MAX,
					  0x0123456789abcdefull};

	for (size_t i = 0; i < ARRAY_LEN(shift_ops); i++)
		for (unsigned bytes = 1; bytes <= 8; bytes *= 2)
			for (size_t x = 0; x < ARRAY_LEN(values); x++)
				for (unsigned count = 0; count < 70; count++)
					check_shift(i, values[x] & BITS(bytes * 8 - 1, 0), count,
						    bytes);
}

static void multiplies(void **state)
{
	for (int n = 0; n < 20000; n++) {
		uint64_t a = ((uint64_t)rand() << 32 ^ (uint64_t)rand()) >> rand() % 64;
		uint64_t b = ((uint64_t)rand() << 32 ^ (uint64_t)rand()) >> rand() % 64;
		uint64_t f = 0, r = a;
		uint32_t r32 = (uint32_t)a;
		uint16_t r16 = (uint16_t)a;
		bool carry;

		__asm__("imulq %2, %0" : "+r"(r), "=@ccc"(carry) : "r"(b));
		assert_int_equal(alu(ALU_IMUL, a, b, 8, &f), r);
		assert_int_equal(f, carry ? 0x801 : 0);
		__asm__("imull %k2, %0" : "+r"(r32), "=@ccc"(carry) : "r"(b));
		assert_int_equal(alu(ALU_IMUL, a, b, 4, &f), r32);
		assert_int_equal(f, carry ? 0x801 : 0);
		__asm__("imulw %w2, %0" : "+r"(r16), "=@ccc"(carry) : "r"(b));
		assert_int_equal(alu(ALU_IMUL, a, b, 2, &f), r16);
		assert_int_equal(f, carry ? 0x801 : 0);
	}
}

#define HOLDS(cc, flags)                                                                    \
	({                                                                                  \
		bool holds_;                                                                \
		__asm__("push %1; popf; set" cc " %0" : "=qm"(holds_) : "r"(flags) : "cc"); \
		holds_;                                                                     \
	})

static void conditions(void **state)
{
	for (uint64_t n = 0; n < 32; n++) {
		uint64_t f = 0x202 | (n & 1) | (n & 2) << 1 | (n & 4) << 4 | (n & 8) << 4 |
			     (n & 16) << 7;
		const bool cpu[16] = {
			HOLDS("o", f), HOLDS("no", f), HOLDS("c", f),  HOLDS("nc", f),
			HOLDS("z", f), HOLDS("nz", f), HOLDS("be", f), HOLDS("nbe", f),
			HOLDS("s", f), HOLDS("ns", f), HOLDS("p", f),  HOLDS("np", f),
			HOLDS("l", f), HOLDS("nl", f), HOLDS("le", f), HOLDS("nle", f),
		};

		for (unsigned cc = 0; cc < 16; cc++)
			assert_int_equal(alu_condition(cc, f), cpu[cc]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(equals_the_cpu), cmocka_unit_test(bits),
					   cmocka_unit_test(shifts), cmocka_unit_test(multiplies),
					   cmocka_unit_test(conditions)};

	return cmocka_run_group_tests_name("alu", tests, NULL, NULL);
}
