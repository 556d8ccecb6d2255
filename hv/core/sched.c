#include "hv/core/sched.h"

#include "hv/base/assert.h"
#include "hv/base/bits.h"

void sched_init(struct sched *s, const struct sched_limits *limits)
{
	*s = (struct sched){.limits = *limits,
			    .current = SCHED_NONE,
			    .favoured = SCHED_NONE,
			    .slice = limits->slice_min};
}

void sched_give_way(struct sched *s)
{
	s->gives_way = true;
}

static uint64_t bit(unsigned i)
{
	return i == SCHED_NONE ? 0 : BIT(i);
}

static unsigned count(uint64_t set)
{
	unsigned n = 0;

	for (; set; set &= set - 1)
		n++;
	return n;
}

/* A share of two slices, as long as that is not too short to be worth a switch. */
static uint64_t turn(const struct sched *s, unsigned sharers)
{
	return MAX(s->limits.slice_min, 2 * s->slice / MAX(sharers, 2u));
}

/* Of the set, who has run least. */
static unsigned behind(const struct sched *s, uint64_t set)
{
	unsigned best = SCHED_NONE;

	for (; set; set &= set - 1) {
		unsigned i = bit_lowest(set);

		if (best == SCHED_NONE || s->ran[i] < s->ran[best])
			best = i;
	}
	return best;
}

/* What the current one has run since the last look; and who wakes has no more owing than a slice. */
static void account(struct sched *s, uint64_t ready, uint64_t now)
{
	uint64_t woken = ready & ~s->ready, let_off;
	unsigned last;

	if (s->current != SCHED_NONE)
		s->ran[s->current] += now - s->at;
	s->at = now;
	last = behind(s, s->ready);
	if (last != SCHED_NONE)
		s->least = MAX(s->least, s->ran[last]);
	let_off = MIN(s->least, s->limits.slice_min);
	for (; woken; woken &= woken - 1) {
		uint64_t *ran = &s->ran[bit_lowest(woken)];

		*ran = MAX(*ran, s->least - let_off);
	}
	s->ready = ready;
}

/* The one that is to take the current one's place before its turn is over. */
static unsigned preempts(const struct sched *s, uint64_t called, uint64_t now)
{
	unsigned best = behind(s, called & ~bit(s->current));

	if (best == SCHED_NONE || now - s->began < s->limits.grain ||
	    s->ran[best] >= s->ran[s->current])
		return SCHED_NONE;
	return best;
}

/* Whom the current one gives way to. One that is favoured may have run a little more than the others. */
static unsigned successor(const struct sched *s, uint64_t others)
{
	if (others & bit(s->favoured) && s->ran[s->favoured] <= s->least + s->limits.slice_max)
		return s->favoured;
	return behind(s, others);
}

static unsigned choose(struct sched *s, uint64_t ready, uint64_t called, uint64_t now)
{
	uint64_t others = ready & ~bit(s->current);
	unsigned next;

	if (!(ready & bit(s->current)))
		return successor(s, others);
	/* What it took to bring it here is not of its turn, or it might never get to do anything. */
	if (s->fresh)
		s->began = now;
	s->fresh = false;
	if (s->gives_way && others) {
		s->slice = MAX(s->slice / 2, s->limits.slice_min);
		return successor(s, others);
	}
	if (others && now - s->began >= turn(s, count(ready))) {
		s->slice = MIN(s->slice + s->slice / 2, s->limits.slice_max);
		s->began = now;
		return behind(s, ready);
	}
	next = preempts(s, called, now);
	return next == SCHED_NONE ? s->current : next;
}

unsigned sched_choose(struct sched *s, uint64_t ready, uint64_t called, uint64_t now)
{
	unsigned next;

	account(s, ready, now);
	next = choose(s, ready, called & ready, now);
	s->gives_way = false;
	if (next != s->current) {
		s->began = now;
		s->favoured = SCHED_NONE;
		s->fresh = true;
		s->current = next;
	}
	return next;
}

uint64_t sched_end(const struct sched *s, uint64_t ready, uint64_t called)
{
	uint64_t others = ready & ~bit(s->current);
	uint64_t end;

	if (!others || s->current == SCHED_NONE)
		return UINT64_MAX;
	end = s->began + turn(s, count(ready));
	/* One that is called and has run more comes no sooner than it has run less: at the turn's end. */
	if (called & others && s->ran[behind(s, called & others)] < s->ran[s->current])
		end = MIN(end, s->began + s->limits.grain);
	return end;
}

uint64_t sched_tick(const struct sched *s)
{
	return s->began + turn(s, count(s->ready) + 1);
}
