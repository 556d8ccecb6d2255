/* What the nodes do: access patterns. */
#include <string.h>

#include "tests/sim/sim_priv.h"

#define LOCKS 4

const char *sim_pattern_name(enum sim_pattern p)
{
	static const char *const names[SIM_PATTERNS] = {
		"private",       "read-mostly", "migratory", "producer-consumer",
		"false sharing", "lock",        "random",    "trace"};

	return names[p];
}

static void access_one(struct sim_agent *a, gfn_t gfn, bool write)
{
	a->gfn[0] = gfn;
	a->write[0] = write;
	a->count = 1;
}

static void next_random(struct sim *s, struct sim_agent *a)
{
	access_one(a, sim_random(s, s->cfg.gfns), sim_random(s, 2));
	if (sim_random(s, 4))
		return;
	a->gfn[1] = sim_random(s, s->cfg.gfns);
	a->write[1] = sim_random(s, 2);
	a->count = 2;
}

/* Phases: 0 looks at the lock, 1 tries to take it, 2 writes the data, 3 gives the lock back. */
static void next_lock(struct sim *s, uint16_t node, struct sim_agent *a)
{
	gfn_t lock = node % LOCKS;

	access_one(a, a->phase == 2 ? LOCKS + lock : lock, a->phase != 0);
}

static bool next_trace(struct sim *s, uint16_t node, struct sim_agent *a)
{
	size_t *at = &s->trace_at[node];

	while (*at < s->cfg.trace_len && s->cfg.trace[*at].node != node)
		++*at;
	if (*at == s->cfg.trace_len)
		return false;
	access_one(a, s->cfg.trace[*at].gfn, s->cfg.trace[*at].write);
	++*at;
	return true;
}

bool sim_next(struct sim *s, uint16_t node, struct sim_agent *a)
{
	uint64_t step = a->step++, objects = s->cfg.nodes / 2u + 1u;

	if (s->cfg.pattern == SIM_TRACE)
		return next_trace(s, node, a);
	if (a->done == s->cfg.ops)
		return false;
	switch (s->cfg.pattern) {
	case SIM_PRIVATE:
		access_one(a, node * 4u + sim_random(s, 4), sim_random(s, 2));
		break;
	case SIM_READ_MOSTLY:
		access_one(a, sim_random(s, 16), sim_random(s, 50) == 0);
		break;
	case SIM_MIGRATORY:
		access_one(a, (step / 2 * 7 + node) % objects, step % 2);
		break;
	case SIM_PRODUCER:
		access_one(a, node / 2u * 3u, node % 2 == 0);
		break;
	case SIM_FALSE:
		access_one(a, 0, true);
		break;
	case SIM_LOCK:
		next_lock(s, node, a);
		break;
	default:
		next_random(s, a);
		break;
	}
	return true;
}

/* The access has happened; true when it completes a unit of work. */
bool sim_accessed(struct sim *s, uint16_t node, struct sim_agent *a)
{
	uint16_t *lock = &s->lock[node % LOCKS];

	if (s->cfg.pattern != SIM_LOCK)
		return true;
	switch (a->phase) {
	case 0:
		a->phase = *lock == 0;
		return false;
	case 1:
		a->phase = *lock == 0 ? 2 : 0;
		if (*lock == 0)
			*lock = (uint16_t)(node + 1);
		return false;
	case 2:
		if (*lock != node + 1)
			sim_wrong(s, "two nodes were in one critical section");
		a->phase = 3;
		return false;
	default:
		*lock = 0;
		a->phase = 0;
		return true;
	}
}
