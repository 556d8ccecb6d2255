/* The chip set's reset control register: hard reset, then its rising edge. 82371SB data sheet, 2.5.5 */
#include "tests/guest/lib/last.h"

static void test_reset(void)
{
	outb(0xcf9, 0x02);
	LAST("reset by port 0xcf9", outb(0xcf9, 0x06));
}

const struct test guest_tests[] = {
	{"reset-cf9", test_reset},
	{NULL, NULL},
};
