/* Code that changes: by its own CPU, and by another (SDM volume 3A, 9.1.3). */

#include <string.h>
#include <sys/mman.h>

#include "tests/suite/suite.h"
#include "tests/suite/team.h"
#include "tests/suite/x86.h"

#define CODE_PAGES 2

typedef uint32_t code_fn(void);

struct shared {
	unsigned iters;
	struct barrier barrier;
	unsigned char *code;
};

static unsigned char *code_pages(void)
{
	void *p = mmap(NULL, CODE_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	need(p != MAP_FAILED, "mmap of code");
	return p;
}

static void store(unsigned char *at, uint32_t value)
{
	__asm__ volatile("movl %1, %0" : "=m"(*(uint32_t *)at) : "r"(value) : "memory");
}

static uint32_t call(unsigned char *at)
{
	return ((code_fn *)(uintptr_t)at)();
}

static void expect(uint32_t found, uint32_t expected, const char *what)
{
	if (found != expected)
		fail("%s returned %u instead of %u", what, found, expected);
}

/* "mov $value, %eax; ret", with the value to be patched at the address returned. */
static unsigned char *put_return(unsigned char *at, uint32_t value)
{
	at[0] = 0xb8;
	at[5] = 0xc3;
	store(at + 1, value);
	return at + 1;
}

/* "movl $value, next + 1; jmp next; next: mov $0, %eax; ret"; returns where value is. */
static unsigned char *put_self_patch(unsigned char *at)
{
	unsigned char *next = at + 12;

	at[0] = 0xc7;
	at[1] = 0x05;
	store(at + 2, (uintptr_t)(suite.broken ? at + PAGE_SIZE / 2 : next + 1));
	store(at + 6, 0);
	at[10] = 0xeb;
	at[11] = 0;
	put_return(next, 0);
	return at + 6;
}

/* Each CPU has code of its own, which rewrites itself inside a page and across two. */
static void self_member(unsigned me, void *arg)
{
	const struct shared *s = arg;
	unsigned char *code = code_pages();
	unsigned char *inside = put_self_patch(code + 64);
	unsigned char *across = put_self_patch(code + PAGE_SIZE - 14);

	for (unsigned i = 1; i <= s->iters; i++) {
		store(inside, i * 2);
		expect(call(code + 64), i * 2, "code that patches itself");
		store(across, i * 2 + 1);
		expect(call(code + PAGE_SIZE - 14), i * 2 + 1, "code across pages");
	}
}

/*
 * All CPUs have executed the code; one rewrites it while the others wait; they serialize and execute
 * it. One value lies in a page, the other in two.
 */
static void cross_member(unsigned me, void *arg)
{
	const struct shared *s = arg;
	unsigned char *code[2] = {s->code + 64, s->code + PAGE_SIZE - 3};

	for (unsigned i = 1; i <= s->iters; i++) {
		if (i % suite.cpus == me && !suite.broken) {
			put_return(code[0], i * 2);
			put_return(code[1], i * 2 + 1);
		}
		barrier_wait(&((struct shared *)arg)->barrier, suite.cpus);
		serialize();
		expect(call(code[0]), i * 2, "code that another CPU patched");
		expect(call(code[1]), i * 2 + 1, "code across pages that another CPU patched");
		barrier_wait(&((struct shared *)arg)->barrier, suite.cpus);
	}
}

static void test(unsigned iters, const void *arg)
{
	struct shared *s = shared_memory(sizeof(*s));

	s->iters = iters;
	s->code = code_pages();
	put_return(s->code + 64, 0);
	put_return(s->code + PAGE_SIZE - 3, 0);
	team_run(suite.cpus, 0, (team_fn *)arg, s);
	say("%u iterations", iters);
}

const struct test code_tests[] = {
	{"code.self", 1, 10, test, self_member},
	{"code.cross", 2, 10, test, cross_member},
	{0},
};
