/* A fault with no usable IDT: the machine resets. SDM vol. 3, 6.15, double fault */
#include "tests/guest/lib/last.h"
#include "tests/guest/lib/trap.h"

static void test_triple(void)
{
	static const struct {
		uint16_t limit;
		uint32_t base;
	} PACKED none = {0, 0};

	LAST("a triple fault", asm volatile("lidt %0; ud2" : : "m"(none)));
}

const struct test guest_tests[] = {
	{"triple", test_triple},
	{NULL, NULL},
};
