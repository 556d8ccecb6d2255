/*
 * One CPU changes the page tables, and from then on no CPU may use what its TLB still holds
 * (SDM volume 3A, 4.10.5).
 */

#define _GNU_SOURCE
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include "tests/suite/suite.h"
#include "tests/suite/team.h"
#include "tests/suite/x86.h"

struct shared {
	unsigned iters;
	struct barrier barrier;
	volatile uint32_t *volatile page;
	volatile bool over;
	volatile uint32_t faults[MAX_CPUS];
};

static __thread sigjmp_buf rescue;
static __thread volatile void *faulted_at;

static void on_fault(int number, siginfo_t *info, void *context)
{
	faulted_at = info->si_addr;
	siglongjmp(rescue, 1);
}

static void catch_faults(void)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};

	need(sigaction(SIGSEGV, &action, NULL) == 0, "sigaction");
}

/* Does the access raise SIGSEGV, with the right address? */
static bool faults(volatile uint32_t *p, bool write)
{
	if (sigsetjmp(rescue, 0)) {
		if (faulted_at != p)
			fail("an access to %p faulted with address %p", p, faulted_at);
		return true;
	}
	if (write)
		*p = 0xbad;
	else
		(void)*p;
	return false;
}

static void *map_page(void *at)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0);
	void *page = mmap(at, PAGE_SIZE, PROT_READ | PROT_WRITE, flags, -1, 0);

	need(page != MAP_FAILED, "mmap");
	return page;
}

static void expect(uint32_t found, uint32_t expected, const char *when)
{
	if (found != expected)
		fail("CPU %d read %#x instead of %#x %s", sched_getcpu(), found, expected, when);
}

static void unmap_member(unsigned me, void *arg)
{
	struct shared *s = arg;

	for (unsigned i = 1; i <= s->iters; i++) {
		bool mine = i % suite.cpus == me;

		if (mine) {
			s->page = map_page(NULL);
			*s->page = i;
		}
		barrier_wait(&s->barrier, suite.cpus);
		expect(*s->page, i, "from a new page");
		barrier_wait(&s->barrier, suite.cpus);
		if (mine && !suite.broken)
			munmap((void *)s->page, PAGE_SIZE);
		barrier_wait(&s->barrier, suite.cpus);
		if (!faults(s->page, i & 2))
			fail("an access after munmap went through in iteration %u", i);
		barrier_wait(&s->barrier, suite.cpus);
	}
}

static void protect(const struct shared *s, int how)
{
	need(mprotect((void *)s->page, PAGE_SIZE, how) == 0, "mprotect");
}

static void protect_member(unsigned me, void *arg)
{
	struct shared *s = arg;

	for (unsigned i = 1; i <= s->iters; i++) {
		bool mine = i % suite.cpus == me;

		s->page[me] = i;
		barrier_wait(&s->barrier, suite.cpus);
		if (mine && !suite.broken)
			protect(s, PROT_READ);
		barrier_wait(&s->barrier, suite.cpus);
		if (!faults(&s->page[me], true))
			fail("a store after mprotect went through in iteration %u", i);
		for (unsigned k = 0; k < suite.cpus; k++)
			expect(s->page[k], i, "from a page without write permission");
		barrier_wait(&s->barrier, suite.cpus);
		if (mine)
			protect(s, PROT_READ | PROT_WRITE);
		barrier_wait(&s->barrier, suite.cpus);
	}
}

/* A new page at the same address: the old one's contents are not seen again. */
static void remap_member(unsigned me, void *arg)
{
	struct shared *s = arg;

	for (unsigned i = 1; i <= s->iters; i++) {
		if (i % suite.cpus == me && !(suite.broken && i > 1)) {
			map_page((void *)s->page);
			*s->page = i;
		}
		barrier_wait(&s->barrier, suite.cpus);
		expect(*s->page, i, "from a page put in place of another");
		barrier_wait(&s->barrier, suite.cpus);
	}
}

/* Stores as often as it can; a fault means waiting until the page is open again. */
static void store_on(unsigned me, struct shared *s)
{
	volatile uint32_t *slot = &s->page[me * 16];

	if (sigsetjmp(rescue, 0))
		s->faults[me]++;
	while (!s->over)
		*slot = *slot + 1;
}

static void hold_still(const struct shared *s, unsigned i)
{
	uint32_t before[MAX_CPUS];

	for (unsigned k = 1; k < suite.cpus; k++)
		before[k] = s->page[k * 16];
	for (unsigned wait = 0; wait < 200; wait++) {
		for (unsigned k = 1; k < suite.cpus; k++)
			if (s->page[k * 16] != before[k])
				fail("a store from CPU %d came after mprotect in iteration %u",
				     suite.cpu[k], i);
		cpu_relax();
	}
}

static void let_all_store(const struct shared *s)
{
	for (unsigned k = 1; k < suite.cpus; k++) {
		uint32_t before = s->page[k * 16];

		while (s->page[k * 16] == before)
			cpu_relax();
	}
}

/* The page is closed while the others store: once mprotect has returned, nothing changes. */
static void close_member(unsigned me, void *arg)
{
	struct shared *s = arg;

	if (me) {
		store_on(me, s);
		return;
	}
	for (unsigned i = 0; i < s->iters; i++) {
		let_all_store(s);
		if (!suite.broken)
			protect(s, PROT_READ);
		hold_still(s, i);
		protect(s, PROT_READ | PROT_WRITE);
	}
	s->over = true;
}

static void test(unsigned iters, const void *arg)
{
	struct shared *s = shared_memory(sizeof(*s));
	uint32_t caught = 0;

	catch_faults();
	s->iters = iters;
	s->page = map_page(NULL);
	team_run(suite.cpus, 0, (team_fn *)arg, s);
	say("%u iterations", iters);
	for (unsigned k = 0; k < suite.cpus; k++)
		caught += s->faults[k];
	if (caught)
		say(", %u faults", caught);
}

const struct test tlb_tests[] = {
	{"tlb.munmap", 2, 100, test, unmap_member},
	{"tlb.mprotect", 2, 100, test, protect_member},
	{"tlb.remap", 2, 100, test, remap_member},
	{"tlb.close", 2, 100, test, close_member},
	{0},
};
