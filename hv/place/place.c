/* Placement's step: reads the window, asks each rule in turn, and keeps what a move was followed by. */
#include "hv/place/place_state.h"
#include "hv/base/string.h"

static const char *const why_names[PLACE_WHYS] = {
	[PLACE_SPREAD] = "spread",
	[PLACE_APART] = "apart",
	[PLACE_GATHER] = "gather",
	[PLACE_SLEEP] = "sleep",
};

const char *place_why_name(enum place_why why)
{
	return (unsigned)why < PLACE_WHYS ? why_names[why] : "unknown";
}

size_t place_bytes(void)
{
	return sizeof(struct place);
}

struct place *place_init(void *memory, const struct place_cost *cost)
{
	struct place *p = memory;

	memset(p, 0, sizeof(*p));
	p->cost = *cost;
	p->cost.window_us = MIN(MAX(cost->window_us, 1000u), 1000000u);
	p->cost.wait_us = MIN(cost->wait_us, 1000000u);
	p->cost.move_us = MIN(cost->move_us, 1000000u);
	p->budget = BUDGET_FIRST;
	for (unsigned v = 0; v < PLACE_VCPUS; v++)
		p->seat[v].sent_to = PLACE_NOWHERE;
	return p;
}

/* Time on a pCPU of that weight, as time on an ordinary one. */
uint64_t place_weighed(uint64_t time, unsigned weight)
{
	return time * weight / PLACE_ONE;
}

/* How long it would run in a window that had `stall` less of waiting, with as many beside it as now. */
uint32_t place_relieved(const struct place *p, const struct place_seat *s, uint32_t stall)
{
	uint32_t window = p->cost.window_us;
	uint32_t run = MAX(s->run, window / 1024);
	uint32_t less = MIN(stall, s->stall), left = MAX(run, window - less);

	if (s->ready > window / 8 && !p->cost.stall_yields)
		return s->run + less;
	return (uint32_t)((uint64_t)run * window / left);
}

/* Work that a move of this vCPU costs each window of the time in which it has to pay. */
uint64_t place_price(const struct place *p, const struct place_seat *s)
{
	uint64_t lost = p->cost.move_us + s->set_us;

	return lost * s->run / p->cost.window_us / AMORTIZED_OVER;
}

unsigned place_least_loaded(const struct place *p, unsigned node)
{
	unsigned best = PLACE_NOWHERE;

	for (unsigned c = 0; c < p->cpu_count; c++) {
		if (p->cpu[c].node != node || !p->cpu[c].weight)
			continue;
		if (best == PLACE_NOWHERE || (uint64_t)p->load[c] * p->cpu[best].weight <
						     (uint64_t)p->load[best] * p->cpu[c].weight)
			best = c;
	}
	return best;
}

/* Was it spread so lately that it may have been wrong? */
bool place_on_trial(const struct place *p, const struct place_seat *s)
{
	return s->travelled && s->last == PLACE_SPREAD && p->now - s->moved_at < PAID_AFTER;
}

/*
 * Who was spread is taken back as soon as it is seen to wait for others. Who was gathered, and is drawn to
 * yet others, waits twice as long each time.
 */
bool place_may_gather(const struct place *p, const struct place_seat *s)
{
	if (s->cpu == PLACE_NOWHERE || s->moved)
		return false;
	return !s->travelled || place_on_trial(p, s) ||
	       p->now - s->moved_at >= QUIET_FIRST << MIN(s->tries, DRAWN_MAX);
}

/* Did the last move to another node pay? Looked at when the next one is decided. */
static void judge(struct place *p, struct place_seat *s, enum place_why why)
{
	uint32_t stay = p->now - s->moved_at;
	bool gathers = why == PLACE_GATHER || why == PLACE_SLEEP;

	if (!s->travelled)
		return;
	if (s->last == PLACE_SPREAD) {
		bool paid = stay >= PAID_AFTER;

		s->tries = paid ? 0 : (uint8_t)MIN(s->tries + 1u, TRIES_MAX);
		s->forgot = paid ? 0 : s->forgot;
		p->failed_lately |= !paid;
	} else if (gathers) {
		bool paid = stay >= 4 * (QUIET_FIRST << s->tries);

		if (!paid)
			s->tries = (uint8_t)MIN(s->tries + 1u, TRIES_MAX);
		else if (s->tries)
			s->tries--;
	}
}

static void leave(struct place *p, struct place_seat *s)
{
	p->load[s->cpu] -= MIN(p->load[s->cpu], s->load);
	p->lodgers[s->cpu]--;
}

static void enter(struct place *p, struct place_seat *s, unsigned cpu)
{
	s->cpu = (uint16_t)cpu;
	s->node = p->cpu[cpu].node;
	p->load[cpu] += s->load;
	p->lodgers[cpu]++;
}

/* Decides a move. The loads become what they will be; false when it is none, or there is no room for it. */
bool place_send(struct place *p, unsigned v, unsigned cpu, enum place_why why)
{
	struct place_seat *s = &p->seat[v];

	if (s->cpu == cpu || s->moved || p->move_count == p->move_max)
		return false;
	p->moves[p->move_count++] = (struct place_move){(uint16_t)v, (uint16_t)cpu, why};
	if (p->cpu[cpu].node != s->node) {
		judge(p, s, why);
		s->last = why;
		s->travelled = true;
		s->moved_at = p->now;
		s->came_from = s->node;
		s->debt = s->set_us;
		s->quiet_until = p->now + (QUIET_FIRST << s->tries);
		s->asks = s->steadily = 0;
	}
	if (why == PLACE_GATHER)
		p->touching |= BIT(s->node) | BIT(p->cpu[cpu].node);
	leave(p, s);
	enter(p, s, cpu);
	s->moved = true;
	s->sent_to = (uint16_t)cpu;
	return true;
}

/* Pages that follow a vCPU to another node are waited for once: they say nothing of sharing. */
static uint32_t less_debt(struct place *p, struct place_seat *s, uint32_t stalled)
{
	uint64_t paid = MIN(stalled, s->debt);

	if (p->now - s->moved_at > SETTLED_AFTER)
		paid = 0;
	s->debt -= paid;
	return stalled - (uint32_t)paid;
}

/* Shares out the time it waited among those who answered. */
static void read_asked(struct place *p, struct place_seat *s, const struct place_vcpu *v)
{
	uint64_t total = 0, nodes = 0, mask = 0;

	for (unsigned n = 0; n < p->node_count; n++) {
		uint32_t count = n == s->node ? 0 : MIN(v->asked[n], (uint32_t)MIB(16));

		s->asked[n] = count;
		total += count;
		nodes += count != 0;
	}
	s->pulls = (uint32_t)MIN(total, UINT32_MAX);
	for (unsigned n = 0; total && n < p->node_count; n++) {
		uint64_t count = s->asked[n];

		p->answered[n] += (uint32_t)MIN(count, (uint64_t)MIB(1));
		s->asked[n] = (uint32_t)(count * s->stall / total);
		p->flow[s->node][n] += s->asked[n];
		if (count > 1 && count * nodes * 2 >= total)
			mask |= BIT(n);
	}
	/* What was seen before others came or went is of no use. */
	for (unsigned i = 0; i < 2; i++)
		s->asked_of[i] &= p->touched & BIT(s->node) ? 0 : ~p->touched;
	s->asks = mask;
	s->steadily = mask & s->asked_of[0] & (place_on_trial(p, s) ? ~0ull : s->asked_of[1]);
	s->asked_of[1] = s->asked_of[0];
	s->asked_of[0] = mask;
}

/*
 * What a vCPU does shows in how often it wakes while it runs. A change that stays ends what its past moves
 * taught, but ever more rarely while nothing comes of it. */
static void read_habit(struct place *p, struct place_seat *s, const struct place_vcpu *v)
{
	uint64_t rate = (uint64_t)MIN(v->wakeups, (uint32_t)MIB(1)) * 1000000 / MAX(s->run, 1u);
	unsigned habit = bit_highest(rate + 1);
	unsigned far = habit > s->habit ? habit - s->habit : s->habit - habit;

	if (s->run < p->cost.window_us / 256 || p->now - s->moved_at < 3)
		return;
	if (s->settled && far < 4) {
		s->habit_new = s->habit;
		return;
	}
	if (habit != s->habit_new) {
		s->habit_new = (uint8_t)habit;
		return;
	}
	s->habit = s->habit_new = (uint8_t)habit;
	if (s->settled && p->now - s->forgot_at >= FORGET_AFTER << s->forgot) {
		s->forgot = (uint8_t)MIN(s->forgot + 1u, TRIES_MAX);
		s->tries = 0;
		s->quiet_until = p->now;
		s->forgot_at = p->now;
	}
	s->settled = true;
}

/* Do they seem to do the same? */
bool place_alike(const struct place_seat *a, const struct place_seat *b)
{
	unsigned far = a->habit > b->habit ? a->habit - b->habit : b->habit - a->habit;

	return a->settled && b->settled && far < 3;
}

/* One that was spread and stayed: those of its kind that it left behind may follow. */
static void learn(struct place *p)
{
	for (unsigned v = 0; v < p->vcpu_count; v++) {
		struct place_seat *s = &p->seat[v];

		if (s->cpu == PLACE_NOWHERE || !place_on_trial(p, s) ||
		    p->now - s->moved_at != SETTLED_AFTER || s->stall > s->run)
			continue;
		for (unsigned i = 0; i < p->vcpu_count; i++) {
			struct place_seat *o = &p->seat[i];

			if (o->node != s->came_from || !o->tries || !place_alike(o, s))
				continue;
			o->tries = 0;
			o->quiet_until = p->now;
		}
	}
}

static void read_sleep(struct place *p, struct place_seat *s)
{
	uint32_t window = p->cost.window_us;

	if (s->halted < window / 4 * 3 || s->run > window / 8) {
		s->asleep_for = s->asleep_pulls = 0;
		return;
	}
	s->asleep_for = MIN(s->asleep_for + 1, 1u << 20);
	s->asleep_pulls = MIN(s->asleep_pulls + s->pulls, 1u << 20);
}

static void read_vcpu(struct place *p, struct place_seat *s, const struct place_vcpu *v)
{
	uint32_t left = p->cost.window_us;
	uint32_t stalled;

	s->moved = false;
	s->cpu = s->node = PLACE_NOWHERE;
	if (v->cpu >= p->cpu_count || p->cpu[v->cpu].node == PLACE_NOWHERE)
		return;
	s->cpu = v->cpu;
	s->node = p->cpu[v->cpu].node;
	left -= s->run = MIN(v->run_us, left);
	left -= stalled = MIN(v->stalled_us, left);
	left -= s->halted = MIN(v->halted_us, left);
	s->ready = MIN(left, s->ready_now);
	s->ready_now = left;
	s->stall = less_debt(p, s, stalled);
	s->set_us = (uint64_t)MIN(v->set_pages, (uint32_t)MIB(1)) * p->cost.wait_us;
	if (s->sent_to != PLACE_NOWHERE && s->sent_to != s->cpu) {
		s->travelled = false;
		s->tries = (uint8_t)MIN(s->tries + 1u, TRIES_MAX);
		s->quiet_until = p->now + (QUIET_FIRST << s->tries);
	}
	s->sent_to = PLACE_NOWHERE;
	s->load = s->run + (p->cost.stall_yields ? 0 : stalled);
	p->load[s->cpu] += s->load;
	p->lodgers[s->cpu]++;
	read_asked(p, s, v);
	read_habit(p, s, v);
	read_sleep(p, s);
	/* Its counters are of two places. */
	s->moved = p->now - v->since < 2 && v->since;
}

static void read_window(struct place *p, const struct place_window *w)
{
	p->now = w->now;
	p->cpu_count = MIN(w->cpu_count, PLACE_CPUS);
	p->vcpu_count = MIN(w->vcpu_count, PLACE_VCPUS);
	p->node_count = 0;
	memset(p->load, 0, sizeof(p->load));
	memset(p->lodgers, 0, sizeof(p->lodgers));
	p->touched = p->touching;
	p->touching = 0;
	memset(p->flow, 0, sizeof(p->flow));
	for (unsigned c = 0; c < p->cpu_count; c++) {
		struct place_cpu *cpu = &p->cpu[c];

		p->idle[c] = MIN(p->idle_now[c], w->cpus[c].idle_us);
		p->idle_now[c] = w->cpus[c].idle_us;
		*cpu = w->cpus[c];
		cpu->weight = (uint16_t)MIN(cpu->weight, 16 * PLACE_ONE);
		if (cpu->node >= PLACE_NODES)
			*cpu = (struct place_cpu){.node = PLACE_NOWHERE};
		else
			p->node_count = MAX(p->node_count, cpu->node + 1u);
	}
	for (unsigned n = 0; n < PLACE_NODES; n++)
		p->answered[n] -= p->answered[n] / 8;
	for (unsigned v = 0; v < p->vcpu_count; v++)
		read_vcpu(p, &p->seat[v], &w->vcpus[v]);
}

/*
 * How many may be spread in one window: twice as many after each that went well, few again after one that
 * did not.
 */
static void keep_budget(struct place *p)
{
	if (p->failed_lately)
		p->budget = 1;
	else if (p->spread_lately)
		p->budget = MIN(p->budget * 2, BUDGET_MAX);
	p->failed_lately = p->spread_lately = false;
}

unsigned place_step(struct place *p, const struct place_window *w, struct place_move *moves,
		    unsigned max)
{
	p->moves = moves;
	p->move_count = 0;
	p->move_max = max;
	read_window(p, w);
	keep_budget(p);
	learn(p);
	place_gather(p);
	place_floor(p);
	place_sleepers(p);
	place_apart(p);
	place_spread(p);
	return p->move_count;
}
