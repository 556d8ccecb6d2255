/*
 * A vCPU that would run all the time runs 1 / (1 / duty + waits) of it, where waits is the time it waits
 * for pages of other nodes for each that it runs: its rate of waits, times what one costs, times the part
 * of its group's work that is done on other nodes. A hot page can be at one node at a time. A pCPU's vCPUs
 * share it evenly. Who takes turns runs as often as the slowest of them.
 */
#include "tests/place/model.h"

#include <math.h>
#include <string.h>

#define ROUNDS 30

double model_weight(const struct machine *m, unsigned node)
{
	unsigned count = 0;

	while (count < 4 && m->weight[count] > 0)
		count++;
	return m->weight[node % count];
}

static unsigned node_of(const struct model *s, unsigned v)
{
	return s->cpu[v] / s->m->cpus;
}

/* Work by group and node, and by group. */
static double by_node[MAX_VCPUS + 1][MAX_NODES], by_group[MAX_VCPUS + 1], slowest[MAX_VCPUS + 1];
static unsigned members[MAX_VCPUS + 1];
/* The part of each pCPU that one may have at most, so that all have it. */
static double used[MAX_VCPUS], waits[MAX_VCPUS], moving[MAX_VCPUS + 1], part[MAX_VCPUS];

static void sum_groups(const struct model *s)
{
	for (unsigned v = 0; v < s->vcpus; v++) {
		unsigned g = s->doing[v].group;

		memset(by_node[g], 0, s->m->nodes * sizeof(by_node[g][0]));
		by_group[g] = moving[g] = 0;
		members[g] = 0;
	}
	for (unsigned v = 0; v < s->vcpus; v++) {
		unsigned g = s->doing[v].group;

		by_node[g][node_of(s, v)] += s->run[v];
		by_group[g] += s->run[v];
		slowest[g] = members[g]++ ? fmin(slowest[g], s->run[v]) : s->run[v];
	}
}

double model_shares(const struct model *s, unsigned v, unsigned node)
{
	unsigned g = s->doing[v].group;
	double remote = by_group[g] - by_node[g][node_of(s, v)];

	return g && node != node_of(s, v) && remote > 0 ? by_node[g][node] / remote : 0;
}

/* Time that v waits for other nodes for each that it runs. */
static double waits_of(const struct model *s, unsigned v)
{
	const struct doing *d = &s->doing[v];
	double others = by_group[d->group] - s->run[v], remote, ratio;

	if (!d->group || others <= 0)
		return 0;
	remote = (by_group[d->group] - by_node[d->group][node_of(s, v)]) / others;
	/* A page that nobody else wrote is still here. */
	ratio = fmin(1, others / fmax(s->run[v], 1e-9));
	return d->waits / 1000 * WAIT_US * remote * ratio;
}

/* Who wants less of its pCPU than an even part leaves the rest to the others. */
static void cap_parts(const struct model *s)
{
	static double less[MAX_VCPUS];
	static unsigned capped[MAX_VCPUS];
	unsigned cpus = s->m->nodes * s->m->cpus;

	for (unsigned c = 0; c < cpus; c++)
		part[c] = 0;
	for (unsigned i = 0; i < 6; i++) {
		for (unsigned c = 0; c < cpus; c++)
			less[c] = capped[c] = 0;
		for (unsigned v = 0; v < s->vcpus; v++) {
			if (used[v] <= part[s->cpu[v]])
				less[s->cpu[v]] += used[v];
			else
				capped[s->cpu[v]]++;
		}
		for (unsigned c = 0; c < cpus; c++)
			part[c] = capped[c] ? (1 - less[c]) / capped[c] : 1;
	}
}

static double weight_of(const struct model *s, unsigned v)
{
	return model_weight(s->m, node_of(s, v));
}

/* Time that it sleeps for each that it runs: less on a slow pCPU, where its work takes longer. */
static double pause_of(const struct model *s, unsigned v)
{
	return (1 / s->doing[v].duty - 1) * weight_of(s, v);
}

static void round_of(struct model *s)
{
	sum_groups(s);
	for (unsigned v = 0; v < s->vcpus; v++) {
		waits[v] = waits_of(s, v);
		moving[s->doing[v].group] += s->run[v] * waits[v];
	}
	for (unsigned v = 0; v < s->vcpus; v++) {
		/* A group's pages move one after the other. */
		waits[v] *= fmax(1, moving[s->doing[v].group] / HOT_PAGES);
		used[v] = (s->yields ? 1 : 1 + waits[v]) / (1 + pause_of(s, v) + waits[v]);
	}
	cap_parts(s);
	for (unsigned v = 0; v < s->vcpus; v++) {
		double got = fmin(used[v], part[s->cpu[v]]) / (s->yields ? 1 : 1 + waits[v]);

		if (s->doing[v].in_turns)
			got = fmin(got, fmin(1.0 / members[s->doing[v].group],
					     2 * slowest[s->doing[v].group]));
		s->run[v] = (s->run[v] + got) / 2;
	}
}

double model_window(struct model *s)
{
	double work = 0;

	for (unsigned v = 0; v < s->vcpus; v++)
		s->run[v] = 0.5;
	for (unsigned i = 0; i < ROUNDS; i++)
		round_of(s);
	sum_groups(s);
	for (unsigned v = 0; v < s->vcpus; v++) {
		double fetch = fmin(s->debt[v] / WINDOW_US, 1), left;

		s->run[v] *= 1 - fetch;
		s->stall[v] = fmin(s->run[v] * waits[v], 1 - s->run[v] - fetch) + fetch;
		s->fetch[v] = fetch;
		s->debt[v] -= fetch * WINDOW_US;
		left = fmax(0, 1 - s->run[v] - s->stall[v]);
		s->halted[v] = fmin(left, s->run[v] * pause_of(s, v));
		if (part[s->cpu[v]] == 1)
			s->halted[v] = left;
		s->ready[v] = left - s->halted[v];
		work += s->run[v] * weight_of(s, v);
	}
	return work;
}
