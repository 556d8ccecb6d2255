/*
 * Code fetched where nothing is. The bus gives ones, and FF FF is no instruction: a PC raises #UD.
 * A hypervisor may also end with a sentence; it must not hang.
 */
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/trap.h"

static void jump(uint32_t target)
{
	int vector;

	if (!machine.amalgam)
		test_skip("emulators give up instead");
	print("LAST a jump to %#x\n", target);
	vector = TRY("jmp *%0", : "r"(target));
	CHECK(vector == VEC_UD, "vector %d", vector);
	CHECK_EQ(trap_last.eip, target);
}

static void test_hole(void)
{
	jump(0xd0000000);
}

/* The local APIC's page is no memory either. */
static void test_device(void)
{
	jump(0xfee00400);
}

static void test_ram_end(void)
{
	uint32_t at = machine.ram_top - 1;

	if (!machine.amalgam)
		test_skip("firmware's own RAM follows");
	*(volatile uint8_t *)at = 0x90;
	print("LAST a walk beyond %#x\n", machine.ram_top);
	CHECK_EQ(TRY("jmp *%0", : "r"(at)), VEC_UD);
	CHECK_EQ(trap_last.eip, machine.ram_top);
}

const struct test guest_tests[] = {
	{"hole", test_hole},
	{"device", test_device},
	{"ram-end", test_ram_end},
	{NULL, NULL},
};
