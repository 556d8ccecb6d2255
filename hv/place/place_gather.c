/*
 * Those who wait for each other's pages come together: one vCPU with the node it waits for most, if that is
 * enough, else all that wait for one another, on as few nodes as give them most. What is predicted is work:
 * the time a vCPU runs, on a pCPU's weight.
 */
#include "hv/place/place_state.h"

/* vCPUs that wait for each other, and where they are. */
struct group {
	uint64_t nodes;
	unsigned size;
	uint64_t work;
	bool in[PLACE_VCPUS];
};

/* Where a group would go. */
struct target {
	uint64_t nodes;
	uint64_t work;
};

/* A part of the window below which waiting is not worth a move. */
static uint32_t least(const struct place *p)
{
	return p->cost.window_us / 32;
}

static uint64_t work_of(const struct place *p, const struct place_seat *s)
{
	return place_weighed(s->run, p->cpu[s->cpu].weight);
}

/*
 * Time that one saves when what it waits for on node `from` moves to it, `part` of all that this node has
 * for its own.
 */
static uint32_t saved(const struct place_seat *s, unsigned from, uint64_t part)
{
	return s->asks & BIT(from) ? (uint32_t)(s->asked[from] * part / PLACE_ONE) : 0;
}

/* Of what node `to` waits for, the part that moves there with `s`. As it asks, so it is asked. */
static uint64_t part_of(const struct place *p, const struct place_seat *s, unsigned to)
{
	uint64_t all = p->flow[s->node][to];

	return all ? MIN((uint64_t)s->asked[to] * PLACE_ONE / all, PLACE_ONE) : 0;
}

/* Work gained, less work lost, if `s` went to pCPU `cpu`, where others may have to give way. */
static int64_t gain_of_one(const struct place *p, const struct place_seat *s, unsigned cpu)
{
	unsigned to = p->cpu[cpu].node;
	uint64_t part = part_of(p, s, to), run = place_relieved(p, s, s->asked[to]);
	uint64_t load = run, mates = 0, before = work_of(p, s), here = run;
	int64_t elsewhere = 0;

	if (!p->cost.stall_yields)
		load += s->stall - MIN(s->stall, s->asked[to]);
	for (unsigned v = 0; v < p->vcpu_count; v++) {
		const struct place_seat *o = &p->seat[v];
		uint32_t less, then;

		if (o == s || o->cpu == PLACE_NOWHERE || o->node != to)
			continue;
		less = saved(o, s->node, part);
		then = less ? place_relieved(p, o, less) : o->run;
		if (o->cpu == cpu) {
			here += then;
			load += o->load - o->run + then - MIN(less, o->load - o->run);
			mates += o->run;
		} else {
			elsewhere += (int64_t)then - o->run;
		}
	}
	if (load > p->cost.window_us)
		here = here * p->cost.window_us / load;
	return (int64_t)place_weighed(here, p->cpu[cpu].weight) -
	       (int64_t)place_weighed(mates, p->cpu[cpu].weight) - (int64_t)before +
	       elsewhere * p->cpu[cpu].weight / (int64_t)PLACE_ONE;
}

/* All of a group, or a kind, that failed apart wait before one of them is spread again. */
static void share_quiet(struct place *p, struct place_seat *s, unsigned tries)
{
	s->tries = (uint8_t)MIN(MAX(s->tries, tries), TRIES_MAX);
	s->quiet_until = p->now + (QUIET_FIRST << s->tries);
}

/* One that failed apart speaks for its kind, where it comes back to. */
static void tell_kind(struct place *p, const struct place_seat *s)
{
	for (unsigned v = 0; v < p->vcpu_count; v++) {
		struct place_seat *o = &p->seat[v];

		if (o != s && o->cpu != PLACE_NOWHERE && o->node == s->node && place_alike(o, s))
			share_quiet(p, o, s->tries);
	}
}

static void tell_partners(struct place *p, const struct place_seat *s, unsigned from)
{
	for (unsigned v = 0; v < p->vcpu_count; v++) {
		struct place_seat *o = &p->seat[v];

		if (o == s || o->cpu == PLACE_NOWHERE || o->node != s->node ||
		    !(o->asks & BIT(from)))
			continue;
		share_quiet(p, o, s->tries);
		o->stall -= MIN(o->stall, o->asked[from]);
		o->asked[from] = 0;
		o->asks &= ~BIT(from);
		o->steadily &= o->asks;
	}
}

static unsigned favourite(const struct place *p, const struct place_seat *s)
{
	unsigned best = PLACE_NOWHERE;

	for (unsigned n = 0; n < p->node_count; n++) {
		if (s->steadily & BIT(n) && (best == PLACE_NOWHERE || s->asked[n] > s->asked[best]))
			best = n;
	}
	return best;
}

/* Goes to the node it waits for most, if that alone makes much of its waiting good. */
static bool gather_one(struct place *p, unsigned v)
{
	struct place_seat *s = &p->seat[v];
	unsigned to = favourite(p, s), from = s->node, cpu;
	bool failed = place_on_trial(p, s);

	if (to == PLACE_NOWHERE || s->asked[to] < least(p) || s->asked[to] < s->stall / 2)
		return false;
	cpu = place_least_loaded(p, to);
	if (cpu == PLACE_NOWHERE ||
	    gain_of_one(p, s, cpu) < (int64_t)(work_of(p, s) / 4 + least(p) + place_price(p, s)))
		return false;
	if (!place_send(p, v, cpu, PLACE_GATHER))
		return false;
	tell_partners(p, s, from);
	if (failed)
		tell_kind(p, s);
	return true;
}

/* Who is on these nodes and waits for one of them. */
static void find_group(const struct place *p, struct group *g, uint64_t nodes)
{
	*g = (struct group){0};
	for (unsigned v = 0; v < p->vcpu_count; v++) {
		const struct place_seat *s = &p->seat[v];

		if (!place_may_gather(p, s) || !(nodes & BIT(s->node)) || !(s->steadily & nodes) ||
		    s->stall < least(p))
			continue;
		g->in[v] = true;
		g->size++;
		g->nodes |= BIT(s->node);
		g->work += work_of(p, s);
	}
}

/* Work that a node has room for, if the group's own were not there. */
static uint64_t room_on(const struct place *p, const struct group *g, unsigned node)
{
	uint64_t room = 0, load[2] = {0};

	for (unsigned c = 0; c < p->cpu_count; c++) {
		if (p->cpu[c].node == node)
			room += place_weighed(p->cost.window_us, p->cpu[c].weight);
	}
	for (unsigned v = 0; v < p->vcpu_count; v++) {
		const struct place_seat *s = &p->seat[v];

		if (s->cpu != PLACE_NOWHERE && s->node == node)
			load[g->in[v]] += place_weighed(s->load, p->cpu[s->cpu].weight);
	}
	return room - MIN(room, load[0]);
}

/* Work of the group, if what its vCPUs wait for among themselves were `part` of what it is. */
static uint64_t work_with(const struct place *p, const struct group *g, uint64_t part)
{
	uint64_t work = 0;

	for (unsigned v = 0; v < p->vcpu_count; v++) {
		const struct place_seat *s = &p->seat[v];
		uint64_t among = 0;

		if (!g->in[v])
			continue;
		for (uint64_t left = g->nodes; left; left &= left - 1)
			among += s->asked[bit_lowest(left)];
		among = among * (PLACE_ONE - part) / PLACE_ONE;
		work += place_weighed(place_relieved(p, s, (uint32_t)among), p->cpu[s->cpu].weight);
	}
	return work;
}

/* `nodes` is not empty. */
static unsigned most_room(const uint64_t *rooms, uint64_t nodes)
{
	unsigned most = bit_lowest(nodes);

	for (; nodes; nodes &= nodes - 1) {
		if (rooms[bit_lowest(nodes)] > rooms[most])
			most = bit_lowest(nodes);
	}
	return most;
}

/*
 * The group on one, two, four ... of its nodes, those with most room first; fewer are better when they do
 * as much.
 */
static struct target find_target(const struct place *p, const struct group *g)
{
	struct target best = {0};
	uint64_t rooms[PLACE_NODES] = {0}, taken = 0, room = 0,
		 all = (uint64_t)__builtin_popcountll(g->nodes);
	uint64_t count = 0;

	for (uint64_t left = g->nodes; left; left &= left - 1)
		rooms[bit_lowest(left)] = room_on(p, g, bit_lowest(left));
	for (uint64_t next = 1; next < all; next *= 2) {
		uint64_t part, work;

		for (; count < next; count++) {
			unsigned most = most_room(rooms, g->nodes & ~taken);

			taken |= BIT(most);
			room += rooms[most];
		}
		part = PLACE_ONE * (count - 1) * all / (count * (all - 1));
		work = MIN(room, work_with(p, g, part));
		if (work > best.work)
			best = (struct target){.nodes = taken, .work = work};
	}
	return best;
}

/* The pCPU of these nodes that has most room. */
static unsigned roomiest(const struct place *p, uint64_t nodes)
{
	unsigned best = PLACE_NOWHERE;

	for (unsigned c = 0; c < p->cpu_count; c++) {
		if (!p->cpu[c].weight || p->cpu[c].node >= PLACE_NODES ||
		    !(nodes & BIT(p->cpu[c].node)))
			continue;
		if (best == PLACE_NOWHERE || (uint64_t)p->load[c] * p->cpu[best].weight <
						     (uint64_t)p->load[best] * p->cpu[c].weight)
			best = c;
	}
	return best;
}

static void move_group(struct place *p, struct group *g, uint64_t nodes)
{
	unsigned tries = 0;

	for (unsigned v = 0; v < p->vcpu_count; v++) {
		struct place_seat *s = &p->seat[v];
		bool failed = place_on_trial(p, s);
		unsigned cpu;

		if (!g->in[v] || nodes & BIT(s->node))
			continue;
		/* It will take what it can get. */
		s->load = place_relieved(p, s, s->stall);
		cpu = roomiest(p, nodes);
		if (cpu != PLACE_NOWHERE && place_send(p, v, cpu, PLACE_GATHER) && failed)
			tell_kind(p, s);
	}
	for (unsigned v = 0; v < p->vcpu_count; v++) {
		if (g->in[v])
			tries = MAX(tries, p->seat[v].tries);
	}
	for (unsigned v = 0; v < p->vcpu_count; v++) {
		if (!g->in[v])
			continue;
		share_quiet(p, &p->seat[v], tries);
		p->seat[v].moved = true; /* decided for this window, where it stays, too */
	}
}

/* False when it found none to look at. Who was in the group need not be asked once more. */
static bool gather_group(struct place *p, const struct place_seat *s, bool *asked)
{
	struct group g;
	struct target t;
	uint64_t price = 0;

	find_group(p, &g, s->steadily | BIT(s->node));
	if (g.size < 2 || !(g.nodes & (g.nodes - 1)))
		return false;
	t = find_target(p, &g);
	for (unsigned v = 0; v < p->vcpu_count; v++) {
		asked[v] |= g.in[v];
		price += g.in[v] && !(t.nodes & BIT(p->seat[v].node)) ? place_price(p, &p->seat[v])
								      : 0;
	}
	if (t.work > g.work + g.work / 8 + least(p) + price)
		move_group(p, &g, t.nodes);
	return true;
}

/* Who is on trial goes back before others follow it; then who waits longest. */
static bool comes_before(const struct place *p, const struct place_seat *a,
			 const struct place_seat *b)
{
	bool trial[2] = {place_on_trial(p, a), place_on_trial(p, b)};

	return trial[0] == trial[1] ? a->stall > b->stall : trial[0];
}

/* At most so many vCPUs are asked, and so many groups looked at. */
#define SEEDS  64
#define GROUPS 8

void place_gather(struct place *p)
{
	bool asked[PLACE_VCPUS] = {0};
	unsigned groups = 0;

	for (unsigned i = 0; i < SEEDS && groups < GROUPS; i++) {
		unsigned seed = PLACE_NOWHERE;

		for (unsigned v = 0; v < p->vcpu_count; v++) {
			const struct place_seat *s = &p->seat[v];

			if (!place_may_gather(p, s) || !s->steadily || s->stall < least(p) ||
			    asked[v])
				continue;
			if (seed == PLACE_NOWHERE || comes_before(p, s, &p->seat[seed]))
				seed = v;
		}
		if (seed == PLACE_NOWHERE)
			return;
		asked[seed] = true;
		if (!gather_one(p, seed))
			groups += gather_group(p, &p->seat[seed], asked);
	}
}

/* What one node would do alone, of all that is to be done; where that is. */
static uint64_t best_alone(const struct place *p, unsigned *node)
{
	uint64_t work[PLACE_NODES] = {0}, wanted = 0;

	*node = 0;
	for (unsigned v = 0; v < p->vcpu_count; v++) {
		if (p->seat[v].cpu != PLACE_NOWHERE)
			wanted += p->seat[v].run + p->seat[v].stall;
	}
	for (unsigned c = 0; c < p->cpu_count; c++) {
		if (p->cpu[c].node < PLACE_NODES)
			work[p->cpu[c].node] += place_weighed(p->cost.window_us, p->cpu[c].weight);
	}
	for (unsigned n = 1; n < p->node_count; n++) {
		if (work[n] > work[*node])
			*node = n;
	}
	return MIN(work[*node], wanted);
}

/* The last resort, whatever the counters leave out: all vCPUs to one node, where that alone did more. */
void place_floor(struct place *p)
{
	struct group g = {0};
	uint64_t stall = 0, alone;
	unsigned node;

	for (unsigned v = 0; v < p->vcpu_count; v++) {
		const struct place_seat *s = &p->seat[v];

		if (s->cpu == PLACE_NOWHERE)
			continue;
		g.work += work_of(p, s);
		stall += s->stall;
		g.in[v] = !s->moved;
	}
	alone = best_alone(p, &node);
	p->floor_for =
		alone > g.work + g.work / 4 + least(p) && stall > alone / 2 ? p->floor_for + 1 : 0;
	if (p->floor_for < FLOOR_AFTER || (int32_t)(p->now - p->floor_quiet) < 0)
		return;
	p->floor_tries = p->now - p->floor_quiet < PAID_AFTER
				 ? (uint8_t)MIN(p->floor_tries + 1u, TRIES_MAX)
				 : 0;
	p->floor_quiet = p->now + (2 * FLOOR_AFTER << p->floor_tries);
	move_group(p, &g, BIT(node));
}
