/*
 * Workloads whose time is compared between machines: the work is the same for any number of CPUs. What
 * stands behind the verdict is for programs: NAME=NUMBER, times in us (tools/bench-cluster reads them).
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/suite/suite.h"
#include "tests/suite/team.h"
#include "tests/suite/x86.h"

#define EP_BLOCKS 240u /* divides evenly by up to 6 CPUs, and by 8, 10, 12 */
#define PASSES    4

#define UNIT_WORDS   16384u
#define OBJECT_BYTES 16384

struct work {
	unsigned amount;
	volatile uint32_t next, token;
	uint64_t hits[MAX_CPUS];
	uint32_t *words;
	uint32_t count;
	uint64_t us[MAX_CPUS]; /* of each member, or each pass */
};

static uint64_t now_us(void)
{
	return now_ns() / 1000;
}

static uint64_t timed_team(unsigned members, team_fn *fn, struct work *work)
{
	uint64_t start = now_us();

	team_run(members, 0, fn, work);
	return now_us() - start;
}

/* Random points in a square; those inside the circle are counted. */
static uint32_t ep_block(uint32_t block, unsigned points)
{
	uint32_t random = 0x9e3779b9 * (block + 1), hits = 0;

	for (unsigned i = 0; i < points; i++) {
		uint64_t x = random_next(&random) >> 1, y = random_next(&random) >> 1;

		hits += x * x + y * y < 1ull << 62;
	}
	return hits;
}

/* Every member has its blocks from the start: until all are done, nothing is shared. */
static void ep_member(unsigned me, void *arg)
{
	struct work *work = arg;
	unsigned points = work->amount;
	uint64_t hits = 0, start = now_us();

	for (uint32_t block = me + 24 * suite.broken; block < EP_BLOCKS; block += suite.cpus)
		hits += ep_block(block, points);
	work->us[me] = now_us() - start;
	work->hits[me] = hits;
}

static void bench_ep(unsigned iters, const void *arg)
{
	struct work *work = shared_memory(sizeof(*work));
	uint64_t us, hits = 0, points, shortest = UINT64_MAX, longest = 0;

	work->amount = iters * 10;
	us = timed_team(suite.cpus, ep_member, work);
	for (unsigned i = 0; i < suite.cpus; i++) {
		hits += work->hits[i];
		shortest = work->us[i] < shortest ? work->us[i] : shortest;
		longest = work->us[i] > longest ? work->us[i] : longest;
	}
	points = (uint64_t)EP_BLOCKS * work->amount;
	/* pi / 4 = 0.7854; the tolerance is for a few thousand points */
	if (hits * 100 < points * 73 || hits * 100 > points * 84)
		fail("%llu of %llu points are in the circle", (unsigned long long)hits,
		     (unsigned long long)points);
	say("us=%llu shortest_us=%llu longest_us=%llu points=%llu inside=%llu",
	    (unsigned long long)us, (unsigned long long)shortest, (unsigned long long)longest,
	    (unsigned long long)points, (unsigned long long)hits);
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

int bench_unit(const char *object)
{
	static uint32_t words[UNIT_WORDS];
	int source = open("/proc/self/exe", O_RDONLY);
	int out = open(object, O_WRONLY | O_CREAT | O_EXCL, 0600);

	if (source < 0 || out < 0 || read(source, words, sizeof(words)) != sizeof(words))
		return 1;
	qsort(words, UNIT_WORDS, sizeof(*words), by_value);
	return write(out, words, OBJECT_BYTES) == OBJECT_BYTES ? 0 : 1;
}

static int run_process(char *const words[])
{
	int status = 0;
	pid_t pid = vfork();

	need(pid >= 0, "vfork");
	if (pid == 0) {
		execv("/proc/self/exe", words);
		_exit(127);
	}
	need(waitpid(pid, &status, 0) == pid, "waitpid");
	return status;
}

/* A build: each CPU starts one short process after the other until all units are done. */
static void processes_member(unsigned me, void *arg)
{
	struct work *work = arg;
	char object[40], *unit[] = {"suite", "unit", object, NULL},
			 *idle[] = {"suite", "exit", "0", NULL};

	snprintf(object, sizeof(object), "/tmp/suite-unit.%d", (int)getpid());
	while (lock_xadd(&work->next, 1) < work->amount) {
		struct stat is = {0};
		int status = run_process(suite.broken ? idle : unit);

		if (status)
			fail("a process ended with status %#x", status);
		if (stat(object, &is) != 0 || is.st_size != OBJECT_BYTES)
			fail("a process left %lld bytes in %s", (long long)is.st_size, object);
		need(unlink(object) == 0, object);
	}
}

static void bench_processes(unsigned iters, const void *arg)
{
	struct work *work = shared_memory(sizeof(*work));
	uint64_t start = now_us();

	work->amount = iters;
	crew_run(suite.cpus, processes_member, work);
	say("us=%llu processes=%u", (unsigned long long)(now_us() - start), iters);
}

/* A lock goes to and fro between the first CPU and the last. */
static void pingpong_member(unsigned me, void *arg)
{
	struct work *work = arg;
	uint32_t last = suite.cpus - 1;

	if (me && me != last)
		return;
	for (unsigned i = 0; i < work->amount; i++) {
		while ((work->token & 1) != (me == last))
			wait_turn();
		work->count++;
		lock_add(&work->token, 1 + suite.broken * 2 * (i == 0));
	}
}

static void bench_pingpong(unsigned iters, const void *arg)
{
	struct work *work = shared_memory(sizeof(*work));
	uint64_t us;

	work->amount = iters;
	us = timed_team(suite.cpus, pingpong_member, work);
	if (work->count != iters * 2 || work->token != iters * 2)
		fail("%u hand-overs were counted, not %u", work->token, iters * 2);
	say("us=%llu handovers=%u", (unsigned long long)us, iters * 2);
}

/* The last CPU goes through memory that the first one wrote: once to fetch it, then again. */
static void stream_member(unsigned me, void *arg)
{
	struct work *work = arg;

	if (me != suite.cpus - 1)
		return;
	for (unsigned pass = 0; pass < PASSES; pass++) {
		uint64_t start = now_us();

		for (uint32_t i = 0; i < work->count; i++)
			work->words[i] += i;
		work->us[pass] = now_us() - start;
	}
}

static void bench_stream(unsigned iters, const void *arg)
{
	struct work *work = shared_memory(sizeof(*work));
	size_t bytes = (size_t)suite.fill << 20;
	uint64_t again = 0;

	work->count = bytes / sizeof(uint32_t);
	work->words = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	need(work->words != MAP_FAILED, "mmap");
	pin(suite.cpu[0]);
	for (uint32_t i = 0; i < work->count; i++)
		work->words[i] = ~i;
	team_run(suite.cpus, 0, stream_member, work);
	for (uint32_t i = 0; i < work->count; i++)
		if (work->words[i] != ~i + (PASSES - suite.broken) * i)
			fail("word %u is %#x after the last CPU's additions", i, work->words[i]);
	for (unsigned pass = 1; pass < PASSES; pass++)
		again += work->us[pass];
	say("first_us=%llu again_us=%llu mib=%u cpu=%d", (unsigned long long)work->us[0],
	    (unsigned long long)again / (PASSES - 1), suite.fill, suite.cpu[suite.cpus - 1]);
}

/* How many primes there are, where that is well known; 0: it is not. */
static unsigned primes_below(unsigned millions)
{
	return millions == 1 ? 78498 : millions == 10 ? 664579 : millions == 100 ? 5761455 : 0;
}

/* One CPU and as many million bytes: more than its node caches of other nodes' memory, if need be. */
static void bench_sieve(unsigned iters, const void *arg)
{
	uint32_t bytes = iters * 1000000, primes = 0;
	uint64_t start = now_us(), filled;
	unsigned free_mib = (unsigned)(sysconf(_SC_AVPHYS_PAGES) >> 8);
	uint8_t *composite;

	if (iters > free_mib)
		skip("it needs %u MB, and %u MiB are free", iters, free_mib);
	composite = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	need(composite != MAP_FAILED, "mmap");
	pin(suite.cpu[0]);
	for (uint32_t i = 0; i < bytes; i++)
		composite[i] = i < 2;
	filled = now_us();
	for (uint32_t i = 2; i * i < bytes; i++)
		for (uint32_t k = i * i; !composite[i] && k < bytes; k += i)
			composite[k] = 1;
	for (uint32_t i = 0; i < bytes; i++)
		primes += !composite[i];
	primes += suite.broken;
	if (primes_below(iters) && primes != primes_below(iters))
		fail("there are %u primes below %u, and %u were found", primes_below(iters), bytes,
		     primes);
	say("us=%llu fill_us=%llu primes=%u megabytes=%u", (unsigned long long)(now_us() - start),
	    (unsigned long long)(filled - start), primes, iters);
}

const struct test bench_tests[] = {
	{"bench.ep", 1, 1, bench_ep, NULL},
	{"bench.processes", 1, 100, bench_processes, NULL},
	{"bench.pingpong", 2, 1, bench_pingpong, NULL},
	{"bench.stream", 1, 1, bench_stream, NULL},
	{"bench.sieve", 1, 1, bench_sieve, NULL},
	{0},
};
