/* For guests whose last test ends the machine: the runners look for the line and for how it ended. */
#ifndef TESTS_GUEST_LIB_LAST_H
#define TESTS_GUEST_LIB_LAST_H

#include "tests/guest/lib/pc.h"
#include "tests/guest/lib/test.h"

/* Prints `LAST <what>`, does it, and fails the test when the machine is still there three seconds later. */
#define LAST(what, act)                                                                     \
	do {                                                                                \
		print("LAST %s\n", what);                                                   \
		act;                                                                        \
		delay_us(3000000);                                                          \
		test_fail(__FILE__, __LINE__, "the machine ends", "%s does nothing", what); \
	} while (0)

#endif
