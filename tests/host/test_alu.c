/* hv/core/alu.c against the CPU this test runs on: same results, same flags. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hv/core/alu.h"

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
		fail_msg("op %u, %u bytes, %#llx and %#llx, carry %d: %#llx flags %#llx, the CPU "
			 "says %#llx "
			 "flags %#llx",
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

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(equals_the_cpu),
					   cmocka_unit_test(bits)};

	return cmocka_run_group_tests_name("alu", tests, NULL, NULL);
}
