/*
 *     sim runs COUNT [FIRST]     that many seeded runs with faults in the network, over the transport
 *     sim report                 cost by pattern and number of nodes, as CSV
 *     sim one PATTERN NODES [SEED [KEPT [AGENTS]]]
 *     sim trace FILE NODES       lines "node r|w gfn"
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

static struct sim_config defaults(enum sim_pattern p, uint16_t nodes)
{
	uint32_t ops = nodes <= 64 ? 200 : nodes <= 256 ? 60 : 24;

	return (struct sim_config){.pattern = p,
				   .nodes = nodes,
				   .agents = 1,
				   .ops = ops,
				   .seed = 1,
				   .gfns = 4ull * nodes + 16,
				   .guesses = 256,
				   .ahead_max = 8,
				   .one_way_ns = 4000,
				   .byte_ps = 800, /* 10 Gbit/s */
				   .kick_ns = 1500,
				   .step_ns = 500,
				   .think_ns = 2000};
}

/* A small cluster, everything random: sizes, loss, frames, sometimes a node that goes silent. */
static struct sim_config faulty(uint64_t seed)
{
	struct sim_config c = defaults(SIM_RANDOM, (uint16_t)(2 + seed % 3));
	static const enum sim_pattern patterns[] = {SIM_RANDOM, SIM_LOCK, SIM_FALSE, SIM_MIGRATORY,
						    SIM_RANDOM};

	c.seed = seed;
	c.pattern = patterns[seed / 3 % ARRAY_LEN(patterns)];
	c.agents = (uint16_t)(1 + seed / 2 % 2);
	c.ops = 40;
	c.gfns = 8 + seed % 40;
	c.ahead_max = (uint16_t)(seed % 4);
	c.kept_max = (uint16_t)(seed / 5 % 3 * 2);
	c.cache_frames = (4u + c.kept_max) * c.agents + c.ahead_max + 1 + (uint32_t)(seed % 3);
	/* Every other time homes take frames from the cache: it holds many pages as long as they don't. */
	if (seed / 4 % 2) {
		c.spare_frames = c.cache_frames - 1;
		c.cache_frames += (uint32_t)c.gfns;
	}
	c.transport = true;
	c.lose = seed % 7 * 20;
	c.twice = seed % 5 * 20;
	c.late = seed % 11 * 30;
	c.think_ns = seed % 4 * 1000;
	if (seed % 13 == 12)
		c.step_ns = 8000; /* longer than a hold lasts at first */
	if (seed % 10 == 9)
		c.lose_node_at = 1000000 + seed % 97 * 3000;
	return c;
}

static int runs(uint64_t count, uint64_t first)
{
	struct sim_result sum = {0};

	for (uint64_t seed = first; seed < first + count; seed++) {
		struct sim_config c = faulty(seed);
		struct sim_result r = sim_run(&c);

		if (r.wrong) {
			printf("sim: seed %llu: %s\n", (unsigned long long)seed, r.wrong);
			return 1;
		}
		sum.ops += r.ops;
		sum.faults += r.faults;
		sum.messages += r.messages;
		sum.frames += r.frames;
		sum.evictions += r.evictions;
		sum.home_waits += r.home_waits;
		sum.deferred += r.deferred;
		sum.expired += r.expired;
	}
	printf("sim: %llu runs: %llu accesses, %llu remote faults, %llu messages in %llu frames, "
	       "%llu evictions, %llu writes waited for a frame, %llu requests deferred, "
	       "%llu holds expired: every read was right\n",
	       (unsigned long long)count, (unsigned long long)sum.ops,
	       (unsigned long long)sum.faults, (unsigned long long)sum.messages,
	       (unsigned long long)sum.frames, (unsigned long long)sum.evictions,
	       (unsigned long long)sum.home_waits, (unsigned long long)sum.deferred,
	       (unsigned long long)sum.expired);
	return 0;
}

static int print_run(const struct sim_config *c)
{
	struct sim_result r = sim_run(c);
	double faults = r.faults ? (double)r.faults : 1;

	printf("%s,%u,%llu,%llu,%.3f,%.0f,%.2f,%llu,%.2f,%llu,%.3f,%zu,%zu,%llu,%llu,%s\n",
	       sim_pattern_name(c->pattern), c->nodes, (unsigned long long)r.ops,
	       (unsigned long long)r.faults, (double)r.messages / faults, (double)r.bytes / faults,
	       r.read_ns.count ? (double)r.read_ns.sum / (double)r.read_ns.count / 1000 : 0,
	       (unsigned long long)hist_quantile(&r.read_ns, 990) / 1000,
	       r.write_ns.count ? (double)r.write_ns.sum / (double)r.write_ns.count / 1000 : 0,
	       (unsigned long long)hist_quantile(&r.write_ns, 990) / 1000, r.fairness, r.node_bytes,
	       r.directory_bytes, (unsigned long long)r.time_ns / 1000,
	       (unsigned long long)r.waited_ns / 1000, r.wrong ? r.wrong : "right");
	fflush(stdout);
	return r.wrong != NULL;
}

static int report(void)
{
	int bad = 0;

	puts("pattern,nodes,accesses,remote faults,messages per fault,bytes per fault,read us,read "
	     "p99 us,write us,write p99 us,fairness,engine bytes per node,directory bytes per "
	     "page,us in all,us that requests waited,result");
	for (unsigned p = 0; p < SIM_RANDOM; p++) {
		for (uint16_t n = 2; n <= 1024; n = (uint16_t)(2 * n)) {
			struct sim_config c = defaults((enum sim_pattern)p, n);

			/* Test-and-set among more spins for too long to be worth the while. */
			if (p == SIM_LOCK && n > 128)
				break;
			bad |= print_run(&c);
		}
	}
	return bad;
}

static int trace(const char *path, uint16_t nodes)
{
	static struct sim_access list[1 << 20];
	struct sim_config c = defaults(SIM_TRACE, nodes);
	FILE *f = fopen(path, "r");
	unsigned node, line = 0;
	unsigned long long gfn;
	char kind;

	if (!f) {
		perror(path);
		return 2;
	}
	while (c.trace_len < ARRAY_LEN(list) && fscanf(f, "%u %c %llu", &node, &kind, &gfn) == 3) {
		line++;
		if (node >= nodes || (kind != 'r' && kind != 'w') || gfn > 1000000) {
			fprintf(stderr,
				"%s:%u: \"node r|w gfn\" with a node below %u is expected\n", path,
				line, nodes);
			fclose(f);
			return 2;
		}
		list[c.trace_len++] = (struct sim_access){(uint16_t)node, kind == 'w', gfn};
		c.gfns = MAX(c.gfns, gfn + 1);
	}
	fclose(f);
	c.trace = list;
	return print_run(&c);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "runs") && argc > 2)
		return runs(strtoull(argv[2], NULL, 0), argc > 3 ? strtoull(argv[3], NULL, 0) : 1);
	if (!strcmp(what, "report"))
		return report();
	if (!strcmp(what, "trace") && argc > 3)
		return trace(argv[2], (uint16_t)atoi(argv[3]));
	if (!strcmp(what, "one") && argc > 3) {
		struct sim_config c = defaults((enum sim_pattern)(atoi(argv[2]) % SIM_TRACE),
					       (uint16_t)atoi(argv[3]));

		c.seed = argc > 4 ? strtoull(argv[4], NULL, 0) : 1;
		c.kept_max = (uint16_t)(argc > 5 ? strtoul(argv[5], NULL, 0) : 0);
		c.agents = (uint16_t)(argc > 6 ? strtoul(argv[6], NULL, 0) : 1);
		return print_run(&c);
	}
	fprintf(stderr, "usage: sim runs COUNT [FIRST] | report | one PATTERN NODES [SEED [KEPT "
			"[AGENTS]]] | trace FILE NODES\n");
	return 2;
}
