/* Fills memory from all CPUs; each verifies what its neighbour wrote. */

#include <sys/mman.h>

#include "tests/suite/suite.h"
#include "tests/suite/team.h"

struct fill {
	unsigned passes;
	uint32_t *words;
	uint32_t each; /* words for each CPU */
	struct barrier barrier;
	uint64_t write_ns, verify_ns;
};

/* Tells addresses and passes apart; the multiplier is odd, so no two words of a pass agree. */
static uint32_t pattern(uint32_t word, unsigned pass)
{
	return (word + 1) * 0x9e3779b1 ^ pass * 0x55555555;
}

static void write_share(const struct fill *f, unsigned me, unsigned pass)
{
	uint32_t first = me * f->each;

	for (uint32_t i = first; i < first + f->each; i++)
		f->words[i] = pattern(i, pass);
	if (suite.broken && me == 0)
		f->words[f->each / 2] ^= 0x100;
}

static void verify_share(const struct fill *f, unsigned me, unsigned pass)
{
	unsigned writer = (me + 1) % suite.cpus;
	uint32_t first = writer * f->each;

	for (uint32_t i = first; i < first + f->each; i++) {
		uint32_t found = f->words[i];

		if (found != pattern(i, pass))
			fail("CPU %d reads %#x at byte %#llx, CPU %d wrote %#x", suite.cpu[me],
			     found, i * 4ull, suite.cpu[writer], pattern(i, pass));
	}
}

static void fill_member(unsigned me, void *arg)
{
	struct fill *f = arg;

	for (unsigned pass = 0; pass < f->passes; pass++) {
		uint64_t start = now_ns(), middle;

		write_share(f, me, pass);
		barrier_wait(&f->barrier, suite.cpus);
		middle = now_ns();
		verify_share(f, me, pass);
		barrier_wait(&f->barrier, suite.cpus);
		if (me == 0) {
			f->write_ns += middle - start;
			f->verify_ns += now_ns() - middle;
		}
	}
}

static void test_fill(unsigned iters, const void *arg)
{
	struct fill *f = shared_memory(sizeof(*f));
	size_t bytes = (size_t)suite.fill << 20;

	f->passes = iters;
	f->words = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	need(f->words != MAP_FAILED, "mmap");
	f->each = bytes / sizeof(uint32_t) / suite.cpus;
	team_run(suite.cpus, 0, fill_member, f);
	say("%u MiB %u times, writing %llu ms, verifying %llu ms", suite.fill, f->passes,
	    (unsigned long long)f->write_ns / 1000000, (unsigned long long)f->verify_ns / 1000000);
}

const struct test memory_tests[] = {
	{"memory.fill", 1, 50000, test_fill, NULL},
	{0},
};
