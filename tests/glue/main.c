/*
 *     glue runs COUNT [FIRST]      that many schedules, one runner at a time
 *     glue one SEED                one of them, with its log
 *     glue threads SECONDS [SEED]  schedules with runners that are threads
 *     glue mutants                 each deliberate fault has to be caught
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/glue/glue.h"
#include "tests/glue/mutants.h"

/* What each schedule has to have. */
#define FAULTS_MIN  200
#define FAULTS_OPEN 8   /* may turn out to need no other node */
#define WAITS_IN    100 /* so many of them have a write that waits for a frame */

static struct figures {
	uint64_t schedules, faults, evictions, home_waits, devices, ended[GLUE_ENDS];
	uint64_t ipis, accesses, resets, turns, least;
} sum;

static uint64_t mix(uint64_t seed, unsigned what)
{
	uint64_t z = (seed + what * 0x632be59bd9b4e019ull) * 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	return z ^ z >> 27;
}

/* A small cluster; all else by the seed. */
static struct glue_config configure(uint64_t seed, bool threads)
{
	struct glue_config c = {.seed = seed, .threads = threads};

	c.nodes = 2 + mix(seed, 0) % (threads ? 2 : 3);
	for (unsigned i = 0; i < c.nodes; i++) {
		c.cpus[i] = 1 + (unsigned)(mix(seed, 1 + i) % 2);
		c.hosts[i] = 1 + (unsigned)(mix(seed, 24 + i) % c.cpus[i]);
		c.total += c.cpus[i];
	}
	for (unsigned life = 0; life < 2; life++) {
		c.ops[life] = (threads ? 4000 : c.nodes == 2 ? 500 : 320) / c.total;
		c.faults[life] = FAULTS_OPEN + FAULTS_MIN / (2 - life);
	}
	c.pages = 80 + (unsigned)(mix(seed, 5) % 48);
	c.lose = mix(seed, 6) % 3 ? 0 : 15;
	c.twice = mix(seed, 7) % 3 ? 0 : 30;
	c.late = mix(seed, 8) % 2 ? 0 : 50;
	c.busy = mix(seed, 9) % 2 ? 0 : 40;
	c.lost_kicks = mix(seed, 10) % 4 ? 0 : 50;
	c.latency_ns = 1000 + mix(seed, 11) % 8000;
	c.mtu = mix(seed, 12) % 8 ? 1500 : 4400;
	c.wakes = mix(seed, 13) % 2;
	c.sticky = (unsigned)(mix(seed, 14) % 4 * 300);
	c.slow = mix(seed, 23) % 2 ? 0 : 40;
	c.asids = mix(seed, 28) % 2;
	c.end = mix(seed, 15) % 2 ? END_OFF : (enum glue_end)(mix(seed, 16) % GLUE_ENDS);
	c.end_node = (unsigned)(mix(seed, 17) % c.nodes);
	if (threads && c.end == END_SILENT)
		c.end = END_STOP;
	c.share = (struct share_config){.set_max = 4,
					.kept_max = 2,
					.ahead_max = (uint16_t)(mix(seed, 18) % 3),
					.hold_ns = mix(seed, 19) % 2 ? 2000 : 20000,
					.reserve_max = (uint32_t)(mix(seed, 20) % 4)};
	/* Two agents for each CPU; see struct dsm_config. */
	c.share.cache_min = 2 * 2 * 6 + 2 + 2 + (uint32_t)(mix(seed, 21) % 4);
	/* As many copies as there is room for until homed pages need it, or as there is always room for. */
	c.share.cache_max = mix(seed, 22) % 3 ? GLUE_GFNS : c.share.cache_min;
	return c;
}

static void make_runners(void)
{
	glue.runner_count = 0;
	for (unsigned n = 0; n < glue.config.nodes; n++) {
		struct glue_node *node = &glue.nodes[n];

		memset(node, 0, sizeof(*node));
		node->id = n;
		node->free_bytes = MIB(64);
		node->skew_ns = mix(glue.config.seed, 30 + n) % (3 * NS_PER_MS);
		node->fast = mix(glue.config.seed, 40 + n) % 16;
		for (unsigned i = 0; i < glue.config.hosts[n]; i++) {
			struct runner *r = &glue.runners[glue.runner_count];
			struct fiber fiber = r->fiber;

			memset(r, 0, sizeof(*r));
			r->fiber = fiber;
			r->id = glue.runner_count++;
			r->node = node;
			r->index = i;
			atomic_store(&r->timer_at, GLUE_NEVER);
			node->runners[i] = r;
		}
	}
}

static void count(bool strict)
{
	uint64_t faults = machine_faults(), evictions = machine_evictions();

	if (glue.config.threads) {
		sum.faults += faults;
		sum.evictions += evictions;
		return;
	}
	if (strict && !(machine_had(FAULTS_MIN) && oracle_figures.resets))
		glue_wrong("the schedule is too short: %llu faults, %llu evictions, %llu IPIs, "
			   "%llu accesses to devices, %llu resets",
			   (unsigned long long)faults, (unsigned long long)evictions,
			   (unsigned long long)oracle_figures.ipis,
			   (unsigned long long)devices_count(),
			   (unsigned long long)oracle_figures.resets);
	sum.least = sum.least ? MIN(sum.least, faults) : faults;
	sum.faults += faults;
	sum.evictions += evictions;
	sum.home_waits += machine_home_waits();
	sum.ipis += oracle_figures.ipis;
	sum.devices += devices_count();
	sum.accesses += oracle_figures.accesses;
	sum.resets += oracle_figures.resets;
	sum.turns += sched_turns();
}

void schedule(uint64_t seed, bool threads, bool verbose, bool strict)
{
	glue.config = configure(seed, threads);
	glue.config.verbose = verbose;
	net_reset();
	ram_reset();
	devices_reset();
	oracle_reset();
	make_runners();
	sched_run(machine_cpu);
	count(strict);
	sum.schedules++;
	sum.ended[glue.config.end]++;
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double each(uint64_t n)
{
	return (double)n / (double)sum.schedules;
}

static void print_figures(double took)
{
	printf("glue: %llu schedules in %.1f s, %.0f a second\n", (unsigned long long)sum.schedules,
	       took, (double)sum.schedules / took);
	printf("glue: each had %.0f faults for other nodes (%llu at least), %.0f evictions, %.2f "
	       "writes that waited for a frame, %.0f "
	       "IPIs, %.0f accesses to devices, %.1f resets, %.0f accesses to memory, %.0f turns\n",
	       each(sum.faults), (unsigned long long)sum.least, each(sum.evictions),
	       each(sum.home_waits), each(sum.ipis), each(sum.devices), each(sum.resets),
	       each(sum.accesses), each(sum.turns));
	printf("glue: ended: %llu by power off, %llu by a node's silence, %llu by a failure, "
	       "%llu by a node that said it stops\n",
	       (unsigned long long)sum.ended[END_OFF], (unsigned long long)sum.ended[END_SILENT],
	       (unsigned long long)sum.ended[END_FAIL], (unsigned long long)sum.ended[END_STOP]);
}

static int runs(uint64_t count_of, uint64_t first)
{
	double began = seconds();

	for (uint64_t seed = first; seed < first + count_of; seed++)
		schedule(seed, false, false, true);
	print_figures(seconds() - began);
	return count_of >= WAITS_IN && !sum.home_waits;
}

static int threads(double length, uint64_t seed)
{
	double began = seconds();

	while (seconds() - began < length)
		schedule(seed++, true, false, false);
	printf("glue: %llu schedules with threads in %.1f s: %.0f faults for other nodes, "
	       "%.0f evictions each\n",
	       (unsigned long long)sum.schedules, seconds() - began, each(sum.faults),
	       each(sum.evictions));
	return 0;
}

static uint64_t number(const char *text)
{
	return strtoull(text, NULL, 0);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	doubles_init();
	moved_check();
	if (!strcmp(what, "runs") && argc > 2)
		return runs(number(argv[2]), argc > 3 ? number(argv[3]) : 1);
	if (!strcmp(what, "threads") && argc > 2)
		return threads(atof(argv[2]), argc > 3 ? number(argv[3]) : 1);
	if (!strcmp(what, "one") && argc > 2) {
		schedule(number(argv[2]), false, true, true);
		print_figures(1);
		return 0;
	}
	if (!strcmp(what, "mutants"))
		return mutants(argc > 2 ? (unsigned)number(argv[2]) : 0);
	fprintf(stderr,
		"usage: glue runs COUNT [FIRST] | one SEED | threads SECONDS [SEED] | mutants\n");
	return 2;
}
