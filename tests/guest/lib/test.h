/*
 * The frame every guest runs in. A guest defines guest_tests[]; the library prints
 * `PASS <test>`, `FAIL <test>: <reason>` or `SKIP <test>: <reason>` for each, then
 * `DONE <n> passed, <m> failed`, and writes 0 or 1 to the debug exit port.
 *
 * Words on the command line: `expect=amalgam` turns on what only this hypervisor promises,
 * `rounds=<n>` makes tests that repeat something do so n times: CPUs on different machines are slower.
 * `only=<test>[,<test>...]` runs these only, `native=bochs` says that there is no hypervisor but Bochs.
 */
#ifndef TESTS_GUEST_LIB_TEST_H
#define TESTS_GUEST_LIB_TEST_H

#include "hv/base/compiler.h"

struct test {
	const char *name;
	void (*run)(void);
};

/* Ends with an entry whose name is NULL. */
extern const struct test guest_tests[];

/* Where the guest runs, for the few checks that cannot hold everywhere. */
struct machine {
	bool amalgam; /* expect=amalgam was given */
	bool tcg; /* QEMU itself without hardware virtualization: known to deviate from the manual */
	bool tcg_cpu; /* QEMU's software runs the code, with (cpu=tcg was given) or without Amalgam */
	bool doubles;     /* QEMU's AMD-V: an interrupt that is injected comes twice now and then */
	bool amd;         /* an AMD CPU: its hypercall is VMMCALL, and VMCALL is undefined */
	bool bochs;       /* Bochs itself (native=bochs was given): so is this */
	uint32_t ram_top; /* end of the RAM that starts at 1 MiB; below 4 GiB */
	char cmdline[256];
};

extern struct machine machine;

/* How often to repeat what is repeated `usual` times: that, or what rounds= says. */
uint32_t test_rounds(uint32_t usual);

void print(const char *fmt, ...) PRINTF(1, 2);

/* Notes a failure of the running test; the first one is its reason. Any CPU may call it. */
void test_fail(const char *file, int line, const char *cond, const char *fmt, ...) PRINTF(4, 5);
/* Ends the running test here. Only on the first CPU. */
NORETURN void test_abandon(void);
/* The test does not apply here: ends it, unless it has failed already. Only on the first CPU. */
NORETURN void test_skip(const char *fmt, ...) PRINTF(1, 2);
/* Prints the DONE line, leaves through the debug exit port, halts. */
NORETURN void test_finish(void);

/* The test goes on after a failed CHECK; a failed REQUIRE ends it. The text says the values. */
#define CHECK(cond, ...)                                                   \
	do {                                                               \
		if (!(cond))                                               \
			test_fail(__FILE__, __LINE__, #cond, __VA_ARGS__); \
	} while (0)
#define REQUIRE(cond, ...)                                                 \
	do {                                                               \
		if (!(cond)) {                                             \
			test_fail(__FILE__, __LINE__, #cond, __VA_ARGS__); \
			test_abandon();                                    \
		}                                                          \
	} while (0)
/* Both sides are 32-bit or narrower. */
#define CHECK_EQ(got, want)                                                                       \
	do {                                                                                      \
		uint32_t got_ = (uint32_t)(got), want_ = (uint32_t)(want);                        \
		if (got_ != want_)                                                                \
			test_fail(__FILE__, __LINE__, #got " == " #want, "got %#x, expected %#x", \
				  got_, want_);                                                   \
	} while (0)

#endif
