/* The reset register that the FADT names. ACPI 6.3, 4.8.3.6 */
#include "tests/guest/lib/acpi.h"
#include "tests/guest/lib/last.h"

static void test_reset(void)
{
	const struct acpi_fadt *fadt = acpi_fadt();

	if (!fadt || fadt->h.length <= offsetof(struct acpi_fadt, reset_value) ||
	    !(fadt->flags & FADT_RESET_SUPPORTED)) {
		CHECK(!machine.amalgam, "the FADT names no reset register");
		test_skip("the FADT names no reset register");
	}
	REQUIRE(fadt->reset_reg.space == 1 && fadt->reset_reg.width == 8,
		"space %u, %u bits: not a port of one byte", fadt->reset_reg.space,
		fadt->reset_reg.width);
	LAST("reset by the FADT's register",
	     outb((uint16_t)fadt->reset_reg.address, fadt->reset_value));
}

const struct test guest_tests[] = {
	{"reset-acpi", test_reset},
	{NULL, NULL},
};
