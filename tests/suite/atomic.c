/* Locked instructions: nothing is lost, and locks made of them exclude. */

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/suite/suite.h"
#include "tests/suite/team.h"
#include "tests/suite/x86.h"

struct shared {
	unsigned iters;
	_Alignas(64) volatile uint32_t word;
	_Alignas(64) volatile uint64_t pair;
	_Alignas(64) volatile uint32_t wants[2], turn;
	_Alignas(64) volatile uint32_t inside;
	uint64_t sum[MAX_CPUS];
	_Alignas(PAGE_SIZE) unsigned char pages[4][PAGE_SIZE];
};

static struct shared *begin(unsigned iters, team_fn *fn, unsigned members)
{
	struct shared *s = shared_memory(sizeof(*s));

	s->iters = iters;
	team_run(members, 0, fn, s);
	return s;
}

static void expect(const char *what, uint64_t found, uint64_t expected)
{
	if (found != expected)
		fail("%s is %llu after %llu additions", what, (unsigned long long)found,
		     (unsigned long long)expected);
}

/* Every ticket is drawn once: their sum says so. */
static void draw_tickets(unsigned me, void *arg)
{
	struct shared *s = arg;
	uint32_t last = 0;

	for (unsigned i = 0; i < s->iters; i++) {
		uint32_t ticket = s->word;

		if (suite.broken)
			slow_add(&s->word, i, s->iters);
		else
			ticket = lock_xadd(&s->word, 1);
		if (i && ticket <= last && !suite.broken)
			fail("ticket %u was drawn after ticket %u", ticket, last);
		last = ticket;
		s->sum[me] += ticket;
	}
}

static void test_xadd(unsigned iters, const void *arg)
{
	struct shared *s = begin(iters, draw_tickets, suite.cpus);
	uint64_t total = (uint64_t)iters * suite.cpus, sum = 0;

	for (unsigned i = 0; i < suite.cpus; i++)
		sum += s->sum[i];
	expect("the counter", s->word, total);
	if (sum != total * (total - 1) / 2)
		fail("a ticket was drawn twice");
	say("%llu additions", (unsigned long long)total);
}

static void compare_and_swap(unsigned me, void *arg)
{
	struct shared *s = arg;

	for (unsigned i = 0; i < s->iters; i++) {
		uint32_t old = s->word;

		for (;;) {
			uint32_t found = suite.broken ? old : cmpxchg(&s->word, old, old + 1);

			if (suite.broken)
				slow_add(&s->word, i, s->iters);
			if (found == old)
				break;
			s->sum[me]++;
			old = found;
		}
	}
}

static void test_cmpxchg(unsigned iters, const void *arg)
{
	struct shared *s = begin(iters, compare_and_swap, suite.cpus);
	uint64_t retries = 0;

	for (unsigned i = 0; i < suite.cpus; i++)
		retries += s->sum[i];
	expect("the counter", s->word, (uint64_t)iters * suite.cpus);
	say("%u additions, %llu retries", iters * suite.cpus, (unsigned long long)retries);
}

/* The high half is three times the low one, in whatever is read in one piece. */
static void count_in_pairs(unsigned me, void *arg)
{
	struct shared *s = arg;

	for (unsigned i = 0; i < s->iters; i++) {
		uint64_t old = cmpxchg8b(&s->pair, 0, 0), found;

		for (;;) {
			uint32_t low = old, high = old >> 32;

			if (high != low * 3)
				fail("half of an 8-byte store was read: %#x %#x", low, high);
			high += suite.broken ? 2 : 3;
			found = cmpxchg8b(&s->pair, old, (uint64_t)high << 32 | (low + 1));
			if (found == old)
				break;
			old = found;
		}
	}
}

static void test_cmpxchg8b(unsigned iters, const void *arg)
{
	struct shared *s = begin(iters, count_in_pairs, suite.cpus);

	expect("the low half", (uint32_t)s->pair, (uint64_t)iters * suite.cpus);
	say("%u additions", iters * suite.cpus);
}

/* XCHG takes the lock, a plain store gives it back: x86-TSO orders what is inside. */
static void lock_with_xchg(unsigned me, void *arg)
{
	struct shared *s = arg;

	for (unsigned i = 0; i < s->iters; i++) {
		while (!suite.broken && xchg(&s->word, 1))
			while (s->word)
				cpu_relax();
		slow_add(&s->inside, i, s->iters);
		s->word = 0;
	}
}

static void test_spinlock(unsigned iters, const void *arg)
{
	struct shared *s = begin(iters, lock_with_xchg, suite.cpus);

	expect("the counter behind a lock", s->inside, (uint64_t)iters * suite.cpus);
	say("%u additions", iters * suite.cpus);
}

/* Peterson's lock has no locked instruction: it needs the fence and nothing else. */
static void lock_with_fence(unsigned me, void *arg)
{
	struct shared *s = arg;

	for (unsigned i = 0; i < s->iters; i++) {
		s->wants[me] = 1;
		s->turn = !me;
		mfence();
		while (s->wants[!me] && s->turn != me && !suite.broken)
			cpu_relax();
		slow_add(&s->inside, i, s->iters);
		s->wants[me] = 0;
	}
}

static void test_peterson(unsigned iters, const void *arg)
{
	struct shared *s = begin(iters, lock_with_fence, 2);

	expect("the counter behind a lock", s->inside, iters * 2ull);
	say("%u additions", iters * 2);
}

/* Operands that begin in one page and end in the next. */
static volatile uint32_t *split_add(struct shared *s)
{
	return (volatile uint32_t *)(s->pages[1] - 2);
}

static volatile uint32_t *split_cmpxchg(struct shared *s)
{
	return (volatile uint32_t *)(s->pages[2] - 1);
}

static volatile uint64_t *split_pair(struct shared *s)
{
	return (volatile uint64_t *)(s->pages[3] - 4);
}

static void lock_across_pages(unsigned me, void *arg)
{
	struct shared *s = arg;

	for (unsigned i = 0; i < s->iters; i++) {
		uint32_t old = 0, found;
		uint64_t pair = 0, read;

		if (!suite.broken || i)
			lock_add(split_add(s), 1);
		while ((found = cmpxchg(split_cmpxchg(s), old, old + 1)) != old)
			old = found;
		while ((read = cmpxchg8b(split_pair(s), pair, pair + 0x100000001)) != pair)
			pair = read;
	}
}

static void no_split_locks(int signal)
{
	skip("the kernel forbids locks on two lines; split_lock_detect=off would allow them");
}

/* Linux makes a program that locks two lines at once wait 10 ms and more each time. */
static bool split_locks_are_slow(void)
{
	FILE *file = fopen("/proc/cpuinfo", "r");
	char line[4096];
	bool found = false;

	while (file && fgets(line, sizeof(line), file))
		found |= strstr(line, " split_lock_detect") != NULL;
	if (file)
		fclose(file);
	return found;
}

static void test_split(unsigned iters, const void *arg)
{
	struct shared *s;
	uint64_t total;

	signal(SIGBUS, no_split_locks);
	if (split_locks_are_slow() && iters > 20)
		iters = 20;
	s = begin(iters, lock_across_pages, suite.cpus);
	total = (uint64_t)iters * suite.cpus;
	expect("LOCK ADD across pages", *split_add(s), total);
	expect("CMPXCHG across pages", *split_cmpxchg(s), total);
	expect("CMPXCHG8B across pages", *split_pair(s), total * 0x100000001);
	say("%llu additions of each kind", (unsigned long long)total);
}

const struct test atomic_tests[] = {
	{"atomic.xadd", 2, 1, test_xadd, NULL},
	{"atomic.cmpxchg", 2, 1, test_cmpxchg, NULL},
	{"atomic.cmpxchg8b", 2, 1, test_cmpxchg8b, NULL},
	{"atomic.spinlock", 2, 1, test_spinlock, NULL},
	{"atomic.peterson", 2, 1, test_peterson, NULL},
	{"atomic.split", 2, 10, test_split, NULL},
	{0},
};
