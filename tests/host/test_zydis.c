/* The decoder as we build it: without libc, encoder and AVX-512, in the modes the guest runs in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <Zydis/Zydis.h>

static void decode(ZydisMachineMode mode, ZydisStackWidth width, const uint8_t *code, size_t size,
		   ZydisDecodedInstruction *insn, ZydisDecodedOperand *operands)
{
	ZydisDecoder decoder;

	assert_true(ZYAN_SUCCESS(ZydisDecoderInit(&decoder, mode, width)));
	assert_true(ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, size, insn, operands)));
}

static void mmio_store_in_32_bit_mode(void **state)
{
	static const uint8_t code[] = {0xc7, 0x83, 0x80, 0, 0, 0, 0x78, 0x56, 0x34, 0x12};
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;

	(void)state;
	decode(ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32, code, sizeof(code), &insn,
	       op);
	assert_int_equal(insn.length, 10);
	assert_int_equal(insn.mnemonic, ZYDIS_MNEMONIC_MOV);
	assert_int_equal(op[0].type, ZYDIS_OPERAND_TYPE_MEMORY);
	assert_int_equal(op[0].mem.base, ZYDIS_REGISTER_EBX);
	assert_int_equal(op[0].mem.disp.value, 0x80);
	assert_int_equal(op[1].imm.value.u, 0x12345678);
}

static void string_output_in_real_mode(void **state)
{
	static const uint8_t code[] = {0xf3, 0x6e};
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;

	(void)state;
	decode(ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16, code, sizeof(code), &insn, op);
	assert_int_equal(insn.mnemonic, ZYDIS_MNEMONIC_OUTSB);
	assert_true(insn.attributes & ZYDIS_ATTRIB_HAS_REP);
	assert_int_equal(insn.address_width, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mmio_store_in_32_bit_mode),
		cmocka_unit_test(string_output_in_real_mode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
