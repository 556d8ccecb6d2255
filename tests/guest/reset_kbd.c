/* The keyboard controller's pulse of the reset line: command 0xFE. */
#include "tests/guest/lib/last.h"

static void test_reset(void)
{
	(void)WAIT(!(inb(0x64) & 2), 100);
	LAST("reset by the keyboard controller", outb(0x64, 0xfe));
}

const struct test guest_tests[] = {
	{"reset-kbd", test_reset},
	{NULL, NULL},
};
