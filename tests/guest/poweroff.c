/*
 * Soft off as an operating system does it: \_S5 out of the DSDT, SLP_TYP and SLP_EN to PM1a_CNT. ACPI 6.3,
 * 4.8.3.2
 */
#include "tests/guest/lib/acpi.h"
#include "tests/guest/lib/last.h"

#define SLP_EN 0x2000u

static void test_poweroff(void)
{
	const struct acpi_fadt *fadt = acpi_fadt();
	int type = acpi_s5_type();
	uint16_t port;

	REQUIRE(fadt && fadt->pm1a_cnt, "no FADT, or no PM1a_CNT in it");
	REQUIRE(type >= 0 && type <= 7, "\\_S5 gives %d", type);
	acpi_enable();
	port = (uint16_t)fadt->pm1a_cnt;
	CHECK(inw(port) & 1, "SCI_EN is clear: %#x", inw(port));
	LAST("power off by ACPI",
	     outw(port, (uint16_t)((inw(port) & ~0x3c00u) | (unsigned)type << 10 | SLP_EN)));
}

const struct test guest_tests[] = {
	{"poweroff", test_poweroff},
	{NULL, NULL},
};
