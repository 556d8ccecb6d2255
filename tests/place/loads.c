/* Loads that stand for what guests do; docs/placement.md says where their figures come from. */
#include "tests/place/loads.h"

static void idle(struct doing *d, unsigned v, unsigned vcpus, unsigned window)
{
	*d = (struct doing){.duty = 0.005, .wakeups = 50, .group = 1, .waits = 60, .set = 20};
}

static void compute(struct doing *d, unsigned v, unsigned vcpus, unsigned window)
{
	*d = (struct doing){.duty = 1, .set = 400};
}

/* A tick's pages are all that they share. */
static void ticking(struct doing *d, unsigned v, unsigned vcpus, unsigned window)
{
	*d = (struct doing){.duty = 1, .group = 1, .waits = 0.5, .set = 400};
}

static void half_busy(struct doing *d, unsigned v, unsigned vcpus, unsigned window)
{
	*d = (struct doing){.duty = 0.3, .wakeups = 1, .set = 200};
}

/* A lock that goes to and fro; the partner is on another node at first. */
static void pairs(struct doing *d, unsigned v, unsigned vcpus, unsigned window)
{
	unsigned half = vcpus / 2;

	*d = (struct doing){.duty = 1,
			    .wakeups = 100,
			    .group = 1 + v % half,
			    .waits = 3000,
			    .in_turns = true,
			    .set = 30};
}

static void build(struct doing *d, unsigned v, unsigned vcpus, unsigned window)
{
	*d = (struct doing){.duty = 0.85, .wakeups = 2, .group = 1, .waits = 190, .set = 600};
}

/* Four, far apart, share; all others compute. */
static void hot_group(struct doing *d, unsigned v, unsigned vcpus, unsigned window)
{
	unsigned apart = vcpus < 4 ? 1 : vcpus / 4;

	compute(d, v, vcpus, window);
	if (v % apart == 0)
		*d = (struct doing){.duty = 1, .wakeups = 5, .group = 1, .waits = 100, .set = 200};
}

/* One process with a thread for each four vCPUs, that hands data on; the others sleep. */
static void quarter_busy(struct doing *d, unsigned v, unsigned vcpus, unsigned window)
{
	idle(d, v, vcpus, window);
	if (v % 4 == 0)
		*d = (struct doing){.duty = 0.9, .wakeups = 1, .group = 2, .waits = 5, .set = 400};
}

static void mixed(struct doing *d, unsigned v, unsigned vcpus, unsigned window)
{
	switch (v % 4) {
	case 0:
		compute(d, v, vcpus, window);
		break;
	case 1:
		build(d, v, vcpus, window);
		d->group = 2;
		break;
	default:
		idle(d, v, vcpus, window);
	}
}

static void phases(struct doing *d, unsigned v, unsigned vcpus, unsigned window, unsigned length)
{
	void (*const all[])(struct doing *, unsigned, unsigned, unsigned) = {compute, build, idle,
									     pairs};

	all[window / length % 4](d, v, vcpus, window);
}

static void long_phases(struct doing *d, unsigned v, unsigned vcpus, unsigned window)
{
	phases(d, v, vcpus, window, 100);
}

static void short_phases(struct doing *d, unsigned v, unsigned vcpus, unsigned window)
{
	phases(d, v, vcpus, window, 8);
}

const struct load loads[] = {
	{.name = "idle", .doing = idle},
	{.name = "all compute", .doing = compute},
	{.name = "compute with ticks", .doing = ticking},
	{.name = "half busy", .doing = half_busy},
	{.name = "pairs in turns", .doing = pairs},
	{.name = "build", .doing = build},
	{.name = "hot group of 4", .doing = hot_group},
	{.name = "quarter busy", .doing = quarter_busy},
	{.name = "mixed", .doing = mixed},
	{.name = "phases of 5 s", .doing = long_phases, .phase = 100},
	{.name = "phases of 0.4 s", .doing = short_phases, .phase = 8},
	{.name = "compute; noisy counters", .doing = compute, .lies = true},
	{.name = "build; noisy counters", .doing = build, .lies = true},
};
const unsigned load_count = sizeof(loads) / sizeof(loads[0]);

const struct machine machines[] = {
	{"2 x 1", 2, 1, {1}},   {"2 x 2", 2, 2, {1}},
	{"4 x 2", 4, 2, {1}},   {"4 x 2 unequal", 4, 2, {1, 0.5, 2, 1}},
	{"32 x 8", 32, 8, {1}},
};
const unsigned machine_count = sizeof(machines) / sizeof(machines[0]);
