/*
 * Simulates placement: each load on each machine, beside the same load on the best node alone and with
 * vCPUs that stay where they began. Prints a row of CSV for each; exit code 1 when one is below the aim.
 */
#include "tests/place/model.h"
#include "hv/place/place.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORST       0.95 /* of the best node's work */
#define RETURNS_MAX 6    /* of one vCPU to the node before the last, a minute */
#define MINUTE      ((unsigned)(60e6 / WINDOW_US))

struct result {
	double work, alone, fixed;
	unsigned windows, moves, returns; /* returns: of the vCPU with most, in the second half */
};

static uint64_t seed;

static uint32_t dice(uint32_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((seed >> 33) % below);
}

static void set_doing(struct model *s, const struct load *l, unsigned window)
{
	for (unsigned v = 0; v < s->vcpus; v++)
		l->doing(&s->doing[v], v, s->vcpus, window);
}

static unsigned best_node(const struct machine *m)
{
	unsigned best = 0;

	for (unsigned n = 1; n < m->nodes; n++)
		best = model_weight(m, n) > model_weight(m, best) ? n : best;
	return best;
}

static struct place_vcpu counters[MAX_VCPUS];
static struct place_cpu cpus[MAX_VCPUS];

/* Each counter is wrong by up to half; one window in 32 is none of what happened. */
static void lie(struct place_vcpu *o, unsigned nodes)
{
	bool all = dice(32) == 0;
	uint32_t left = (uint32_t)WINDOW_US;

	o->run_us = all ? dice(left) : o->run_us * (512 + dice(1024)) / 1024;
	o->stalled_us = all ? dice(left) : o->stalled_us * (512 + dice(1024)) / 1024;
	o->halted_us = all ? dice(left) : o->halted_us * (512 + dice(1024)) / 1024;
	o->wakeups = all ? dice(1000) : o->wakeups * (512 + dice(1024)) / 1024;
	for (unsigned n = 0; n < nodes; n++)
		o->asked[n] = all ? dice(500) : o->asked[n] * (512 + dice(1024)) / 1024;
}

/* What the nodes would tell. */
static void report(const struct model *s, const struct load *l)
{
	unsigned count = s->m->nodes * s->m->cpus;

	for (unsigned c = 0; c < count; c++) {
		unsigned node = c / s->m->cpus;

		cpus[c] =
			(struct place_cpu){.node = (uint16_t)node, .idle_us = (uint32_t)WINDOW_US};
		cpus[c].weight = (uint16_t)(model_weight(s->m, node) * PLACE_ONE);
	}
	for (unsigned v = 0; v < s->vcpus; v++) {
		struct place_vcpu *o = &counters[v];
		double stall = s->stall[v] - s->fetch[v];
		uint32_t busy;

		o->cpu = (uint16_t)s->cpu[v];
		o->run_us = (uint32_t)(s->run[v] * WINDOW_US);
		o->stalled_us = (uint32_t)(s->stall[v] * WINDOW_US);
		o->halted_us = (uint32_t)(s->halted[v] * WINDOW_US + 1);
		o->wakeups = (uint32_t)(s->run[v] * WINDOW_US / 1000 * s->doing[v].wakeups);
		o->set_pages = (uint32_t)s->doing[v].set;
		for (unsigned n = 0; n < s->m->nodes; n++)
			o->asked[n] =
				(uint32_t)(stall * model_shares(s, v, n) * WINDOW_US / WAIT_US +
					   0.5);
		o->asked[s->from[v]] += (uint32_t)(s->fetch[v] * WINDOW_US / WAIT_US);
		if (l->lies)
			lie(o, s->m->nodes);
		busy = o->run_us + (s->yields ? 0 : o->stalled_us);
		cpus[s->cpu[v]].idle_us -=
			busy < cpus[s->cpu[v]].idle_us ? busy : cpus[s->cpu[v]].idle_us;
	}
}

static unsigned before_last[MAX_VCPUS], returns[MAX_VCPUS];

static void carry_out(struct model *s, const struct place_move *moves, unsigned count,
		      unsigned window, bool counts)
{
	for (unsigned i = 0; i < count; i++) {
		unsigned v = moves[i].vcpu, from = s->cpu[v] / s->m->cpus,
			 to = moves[i].cpu / s->m->cpus;

		s->cpu[v] = moves[i].cpu;
		counters[v].since = window + 1;
		if (from == to)
			continue;
		s->debt[v] = MOVE_US + s->doing[v].set * WAIT_US;
		s->from[v] = from;
		returns[v] += counts && before_last[v] == to;
		before_last[v] = from;
	}
}

/* The work of a placement that stays. */
static double stays(const struct machine *m, const struct load *l, bool yields, unsigned window,
		    bool alone)
{
	static struct model s;
	unsigned first = best_node(m) * m->cpus;

	s = (struct model){.m = m, .vcpus = m->nodes * m->cpus, .yields = yields};
	for (unsigned v = 0; v < s.vcpus; v++)
		s.cpu[v] = alone ? first + v % m->cpus : v;
	set_doing(&s, l, window);
	return model_window(&s);
}

static bool trace;

static struct result run(const struct machine *m, const struct load *l, bool yields,
			 unsigned windows)
{
	static struct model s;
	struct place_cost cost = {(uint32_t)WINDOW_US, (uint32_t)WAIT_US, (uint32_t)MOVE_US,
				  yields};
	struct place *p = place_init(aligned_alloc(64, (place_bytes() + 63) & ~63ul), &cost);
	struct place_move moves[MAX_VCPUS];
	struct result r = {.windows = windows};
	double alone = 0, fixed = 0;

	seed = 1;
	memset(counters, 0, sizeof(counters));
	memset(returns, 0, sizeof(returns));
	s = (struct model){.m = m, .vcpus = m->nodes * m->cpus, .yields = yields};
	for (unsigned v = 0; v < s.vcpus; v++) {
		s.cpu[v] = v;
		before_last[v] = MAX_NODES;
	}
	for (unsigned w = 1; w <= windows; w++) {
		struct place_window in = {w, s.vcpus, s.vcpus, cpus, counters};
		unsigned count;

		set_doing(&s, l, w);
		if (w == 1 || (l->phase && w % l->phase == 0)) {
			alone = stays(m, l, yields, w, true);
			fixed = stays(m, l, yields, w, false);
		}
		r.alone += alone;
		r.fixed += fixed;
		r.work += model_window(&s);
		report(&s, l);
		count = place_step(p, &in, moves, MAX_VCPUS);
		for (unsigned i = 0; trace && i < count; i++)
			fprintf(stderr, "%u: vCPU %u from %u to %u: %s\n", w, moves[i].vcpu,
				s.cpu[moves[i].vcpu], moves[i].cpu, place_why_name(moves[i].why));
		carry_out(&s, moves, count, w, w > windows / 2);
		r.moves += count;
	}
	for (unsigned v = 0; v < s.vcpus; v++)
		r.returns = returns[v] > r.returns ? returns[v] : r.returns;
	free(p);
	return r;
}

/* Returns false when the row misses an aim. */
static bool row(const struct machine *m, const struct load *l, bool yields, unsigned windows)
{
	struct result r = run(m, l, yields, windows);
	double minutes = (double)windows / MINUTE,
	       changes = l->phase ? (double)windows / 2 / l->phase : 0;
	double may = RETURNS_MAX * fmax(minutes / 2, 1) + 6 * changes;
	bool ok = r.work >= WORST * r.alone && r.returns <= may;

	printf("%s,%s,%s,%.3f,%.3f,%.1f,%.1f,%u,%s\n", m->name, l->name,
	       yields ? "yields" : "keeps", r.fixed / r.alone, r.work / r.alone, r.moves / minutes,
	       r.moves / minutes / (m->nodes * m->cpus), r.returns, ok ? "ok" : "MISSED");
	return ok;
}

/* sim SECONDS [MACHINE LOAD yields|keeps]: all rows, or one with its moves. */
int main(int argc, char **argv)
{
	unsigned windows = argc > 1 ? (unsigned)(atof(argv[1]) * 1e6 / WINDOW_US) : MINUTE,
		 missed = 0;

	trace = argc > 4;
	printf("machine,load,who waits,fixed,placed,moves a minute,of a vCPU,returns,aim\n");
	for (unsigned m = 0; m < machine_count; m++) {
		for (unsigned l = 0; l < load_count; l++) {
			for (unsigned y = 0; y < 2; y++) {
				if (trace && (strcmp(argv[2], machines[m].name) != 0 ||
					      strcmp(argv[3], loads[l].name) != 0 ||
					      y != (strcmp(argv[4], "yields") == 0)))
					continue;
				missed += !row(&machines[m], &loads[l], y, windows);
			}
		}
	}
	return missed ? 1 : 0;
}
