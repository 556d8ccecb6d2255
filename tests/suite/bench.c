/* Workloads whose time is compared between machines: the work is the same for any number of CPUs. */

#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/suite/suite.h"
#include "tests/suite/team.h"
#include "tests/suite/x86.h"

#define EP_BLOCKS 240u /* divides evenly by up to 6 CPUs, and by 8, 10, 12 */
#define PASSES    4

struct work {
	unsigned amount;
	volatile uint32_t next, token;
	uint32_t hits[MAX_CPUS];
	uint32_t *words;
	uint32_t count;
	uint64_t ns;
};

static uint64_t timed_team(unsigned members, team_fn *fn, struct work *work)
{
	uint64_t start = now_ns();

	team_run(members, 0, fn, work);
	return now_ns() - start;
}

/* Random points in a square; those inside the circle are counted. Nothing is shared but the block. */
static uint32_t ep_block(uint32_t block, unsigned points)
{
	uint32_t random = 0x9e3779b9 * (block + 1), hits = 0;

	for (unsigned i = 0; i < points; i++) {
		uint64_t x = random_next(&random) >> 1, y = random_next(&random) >> 1;

		hits += x * x + y * y < 1ull << 62;
	}
	return hits;
}

static void ep_member(unsigned me, void *arg)
{
	struct work *work = arg;
	uint32_t block, hits = 0;

	while ((block = lock_xadd(&work->next, 1)) < EP_BLOCKS)
		hits += ep_block(block, work->amount);
	work->hits[me] = hits;
}

static void bench_ep(unsigned iters, const void *arg)
{
	struct work *work = shared_memory(sizeof(*work));
	uint64_t ns, hits = 0, points;

	work->amount = iters * 10;
	if (suite.broken)
		work->next = 24;
	ns = timed_team(suite.cpus, ep_member, work);
	for (unsigned i = 0; i < suite.cpus; i++)
		hits += work->hits[i];
	points = (uint64_t)EP_BLOCKS * work->amount;
	/* pi / 4 = 0.7854; the tolerance is for a few thousand points */
	if (hits * 100 < points * 73 || hits * 100 > points * 84)
		fail("%llu of %llu points are in the circle", (unsigned long long)hits,
		     (unsigned long long)points);
	say("parallel %llu ms, %llu of %llu points", (unsigned long long)ns / 1000000,
	    (unsigned long long)hits, (unsigned long long)points);
}

/* Short processes, as a build has them: each CPU starts one after the other until the sum is done. */
static void processes_member(unsigned me, void *arg)
{
	struct work *work = arg;

	while (lock_xadd(&work->next, 1) < work->amount) {
		int status = 0;
		pid_t pid = vfork();

		need(pid >= 0, "vfork");
		if (pid == 0) {
			execl("/proc/self/exe", "suite", "exit", suite.broken ? "0" : "7",
			      (char *)NULL);
			_exit(127);
		}
		need(waitpid(pid, &status, 0) == pid, "waitpid");
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 7)
			fail("a process ended with status %#x", status);
	}
}

static void bench_processes(unsigned iters, const void *arg)
{
	struct work *work = shared_memory(sizeof(*work));
	uint64_t start = now_ns();

	work->amount = iters;
	crew_run(suite.cpus, processes_member, work);
	say("parallel %llu ms, %u processes", (unsigned long long)(now_ns() - start) / 1000000,
	    iters);
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
	uint64_t ns;

	work->amount = iters;
	ns = timed_team(suite.cpus, pingpong_member, work);
	if (work->count != iters * 2 || work->token != iters * 2)
		fail("%u hand-overs were counted, not %u", work->token, iters * 2);
	say("%llu ms, %llu ns for each of %u hand-overs", (unsigned long long)ns / 1000000,
	    (unsigned long long)ns / (iters * 2), iters * 2);
}

/* The last CPU goes through memory that the first one wrote: once to fetch it, then again. */
static void stream_member(unsigned me, void *arg)
{
	struct work *work = arg;

	if (me != suite.cpus - 1)
		return;
	for (unsigned pass = 0; pass < PASSES; pass++) {
		uint64_t start = now_ns();

		for (uint32_t i = 0; i < work->count; i++)
			work->words[i] += i;
		say("%s%llu", pass ? " " : "passes of ",
		    (unsigned long long)(now_ns() - start) / 1000000);
	}
}

static void bench_stream(unsigned iters, const void *arg)
{
	struct work *work = shared_memory(sizeof(*work));
	size_t bytes = (size_t)suite.fill << 20;

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
	say(" ms over %u MiB by CPU %d", suite.fill, suite.cpu[suite.cpus - 1]);
}

const struct test bench_tests[] = {
	{"bench.ep", 1, 1, bench_ep, NULL},
	{"bench.processes", 1, 100, bench_processes, NULL},
	{"bench.pingpong", 2, 1, bench_pingpong, NULL},
	{"bench.stream", 1, 1, bench_stream, NULL},
	{0},
};
