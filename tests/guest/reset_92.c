/* System control port A: bit 0 pulses the CPU's reset. */
#include "tests/guest/lib/last.h"

static void test_reset(void)
{
	outb(0x92, (uint8_t)(inb(0x92) & ~1u));
	LAST("reset by port 0x92", outb(0x92, (uint8_t)(inb(0x92) | 1)));
}

const struct test guest_tests[] = {
	{"reset-92", test_reset},
	{NULL, NULL},
};
