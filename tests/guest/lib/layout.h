/* Numbers shared by C, assembly and the linker script's reader. */
#ifndef TESTS_GUEST_LIB_LAYOUT_H
#define TESTS_GUEST_LIB_LAYOUT_H

#define MAX_CPUS   16
#define STACK_SIZE 16384
#define STUB_SIZE  16

/*
 * Below 1 MiB: 0x1000 a page for tests, 0x7000 the top of the real-mode stack, 0x8000 to 0xffff code
 * that runs in real mode (linked there, copied there at start), 0x10000 to 0x7ffff free for tests.
 */
#define LOW_TEST_PAGE 0x1000
#define LOW_STACK_TOP 0x7000
#define LOW_CODE      0x8000
#define LOW_FREE      0x10000

#endif
