#pragma once
/*
 * The in-guest suite: Linux programs that find out whether several CPUs behave as one machine.
 * Each test runs in a process of its own under a time limit; see main.c.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_CPUS  32
#define PAGE_SIZE 4096u

/* What the command line asks for; constant once the tests run. */
struct settings {
	unsigned iters;
	unsigned timeout; /* seconds for each test */
	unsigned fill;    /* MiB for the memory tests */
	unsigned cpus;
	int cpu[MAX_CPUS]; /* their Linux numbers, in the order in which tests take them */
	bool crowded;      /* a CPU is named more than once: who waits gives way */
	bool broken;       /* every test does the thing it checks wrong and has to notice */
};
extern struct settings suite;

struct test {
	const char *name;
	unsigned cpus; /* fewer than these: skipped */
	/* `iters` is for cheap tests; a dear one does iters / divide, at least 1 */
	unsigned divide;
	void (*run)(unsigned iters, const void *arg);
	const void *arg;
};

/* Tables end with an entry without a name. */
extern const struct test litmus_tests[], atomic_tests[], sync_tests[], process_tests[], tlb_tests[],
	code_tests[], clock_tests[], memory_tests[], hotplug_tests[], bench_tests[];

/* Adds to what is printed behind the test's verdict. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* End the test, from any of its threads and processes; the first sentence counts. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Fails with the text and errno's meaning unless `true_`. */
void need(bool true_, const char *what);

/* CLOCK_MONOTONIC. */
uint64_t now_ns(void);

/* Zeroed whole pages, shared with processes forked later; the test's end frees them. */
void *shared_memory(size_t bytes);

/* One unit of a build, in a process of its own: writes the new file `object`. Its exit code, 0 when done. */
int bench_unit(const char *object);

/* A small step of a pseudo-random sequence (Marsaglia's xorshift32); state must not be 0. */
static inline uint32_t random_next(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}
