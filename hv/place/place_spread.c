/* Who sleeps goes where that costs least; who waits for a pCPU goes to an idle one, on its own node first. */
#include "hv/place/place_state.h"

static bool may_move(const struct place_seat *s)
{
	return s->cpu != PLACE_NOWHERE && !s->moved;
}

/* Where most pages are asked for, by whoever wakes up. It stays until another is asked for twice as many. */
static unsigned choose_den(const struct place *p)
{
	unsigned best = p->den < p->node_count ? p->den : 0;
	uint64_t most = p->answered[best] * 2ull;

	for (unsigned n = 0; n < p->node_count; n++) {
		if (p->answered[n] > most) {
			best = n;
			most = p->answered[n];
		}
	}
	return best;
}

void place_sleepers(struct place *p)
{
	p->den = choose_den(p);
	for (unsigned v = 0; v < p->vcpu_count; v++) {
		struct place_seat *s = &p->seat[v];
		unsigned cpu;

		if (!may_move(s) || !place_may_gather(p, s) || s->node == p->den ||
		    s->asleep_for < ASLEEP_AFTER || s->asleep_pulls < 2)
			continue;
		cpu = place_least_loaded(p, p->den);
		if (cpu != PLACE_NOWHERE && p->load[cpu] + s->load <= p->cost.window_us)
			place_send(p, v, cpu, PLACE_SLEEP);
	}
}

/* Has it to wait for its pCPU? */
static bool is_crowded(const struct place *p, const struct place_seat *s)
{
	return p->lodgers[s->cpu] > 1 && s->ready > p->cost.window_us / 8;
}

/* Time of a pCPU that nobody uses, nor will by what is decided already. */
static uint32_t free_of(const struct place *p, unsigned cpu)
{
	uint32_t left = p->cost.window_us - MIN(p->cost.window_us, p->load[cpu]);

	return p->cpu[cpu].weight ? MIN(left, p->idle[cpu]) : 0;
}

/* A pCPU that one of two or more leaves is the others' at once: they need not go, too. */
static void ease(struct place *p, unsigned cpu)
{
	for (unsigned v = 0; v < p->vcpu_count; v++) {
		struct place_seat *s = &p->seat[v];
		uint32_t more;

		if (s->cpu != cpu || !p->lodgers[cpu])
			continue;
		more = p->load[cpu] >= p->cost.window_us
			       ? 0
			       : (p->cost.window_us - p->load[cpu]) / p->lodgers[cpu];
		more = MIN(more, s->ready);
		s->run += more;
		s->ready -= more;
	}
}

/* Within a node, to the pCPU with most room, when a vCPU can have an eighth more there. */
void place_apart(struct place *p)
{
	for (unsigned v = 0; v < p->vcpu_count; v++) {
		struct place_seat *s = &p->seat[v];
		uint64_t room, now;
		unsigned cpu, from = s->cpu;

		if (!may_move(s) || !is_crowded(p, s))
			continue;
		cpu = place_least_loaded(p, s->node);
		if (cpu == PLACE_NOWHERE || cpu == s->cpu)
			continue;
		room = place_weighed(free_of(p, cpu), p->cpu[cpu].weight);
		now = place_weighed(s->run, p->cpu[s->cpu].weight);
		if (room < now + now / 8 + p->cost.window_us / 16)
			continue;
		s->load = MIN(s->run + s->ready, free_of(p, cpu));
		if (place_send(p, v, cpu, PLACE_APART))
			ease(p, from);
	}
}

/* Work that it would gain there. One that waits for pages is not spread, and nobody is made slower. */
static uint64_t gain(const struct place *p, const struct place_seat *s, unsigned cpu)
{
	uint64_t now = place_weighed(s->run, p->cpu[s->cpu].weight);
	uint64_t then = place_weighed(MIN(s->run + s->ready, free_of(p, cpu)), p->cpu[cpu].weight);

	if (s->stall > s->run || then <= now + now / 8 + p->cost.window_us / 16 + place_price(p, s))
		return 0;
	return then - now;
}

/* Who has failed least gains there, and of those who gains most. */
static unsigned choose_for(const struct place *p, unsigned cpu)
{
	unsigned best = PLACE_NOWHERE;
	uint64_t most = 0;

	for (unsigned v = 0; v < p->vcpu_count; v++) {
		const struct place_seat *s = &p->seat[v];
		uint64_t g;

		if (!may_move(s) || (int32_t)(p->now - s->quiet_until) < 0 ||
		    s->node == p->cpu[cpu].node ||
		    (s->tries && p->now - p->doubted_at < SETTLED_AFTER))
			continue;
		g = gain(p, s, cpu);
		if (!g || (best != PLACE_NOWHERE && s->tries > p->seat[best].tries))
			continue;
		if (best == PLACE_NOWHERE || s->tries < p->seat[best].tries || g > most) {
			best = v;
			most = g;
		}
	}
	return best;
}

void place_spread(struct place *p)
{
	unsigned sent = 0;
	uint64_t nobody = 0; /* nodes that nobody gains by, nor by a slower one's pCPU */

	for (unsigned weight = 16 * PLACE_ONE + 1; weight && sent < p->budget;) {
		unsigned next = 0;

		for (unsigned c = 0; c < p->cpu_count && sent < p->budget; c++) {
			unsigned v, from;

			if (p->cpu[c].weight < weight)
				next = MAX(next, p->cpu[c].weight);
			if (p->cpu[c].weight != weight || free_of(p, c) < p->cost.window_us / 2 ||
			    nobody & BIT(p->cpu[c].node))
				continue;
			v = choose_for(p, c);
			if (v == PLACE_NOWHERE) {
				nobody |= BIT(p->cpu[c].node);
				continue;
			}
			from = p->seat[v].cpu;
			p->seat[v].load = MIN(p->seat[v].run + p->seat[v].ready, p->cost.window_us);
			if (p->seat[v].tries)
				p->doubted_at = p->now;
			sent += place_send(p, v, c, PLACE_SPREAD);
			ease(p, from);
		}
		weight = next;
	}
	p->spread_lately = sent != 0;
}
