#include "apic/lapic_tick.h"
#include "hv/base/compiler.h"

#define TICK_SURE   16 /* deadlines in a row */
#define TICK_MISSES 8  /* and so many that weren't end it */
#define TICK_PART   8  /* late by this part of the time without work */
#define TICK_COARSE 32 /* a deadline may be off by less than this part of the period */
#define TICK_DEAR   8

void lapic_tick_init(struct lapic_tick *t, uint64_t tsc_hz, uint64_t most)
{
	*t = (struct lapic_tick){.period = tsc_hz / LAPIC_TICK_HZ, .most = most, .worked = true};
}

/* A whole number of periods behind the last. Clocks that go apart by 100 ppm are together for a second. */
static bool in_step(const struct lapic_tick *t, uint64_t due)
{
	uint64_t behind = due - t->last, off = behind % t->period;

	return (int64_t)behind > 0 && behind > t->period / 2 &&
	       MIN(off, t->period - off) < t->period / TICK_COARSE;
}

uint64_t lapic_tick_due(const struct lapic_tick *t, uint64_t due)
{
	uint64_t quiet = due - t->since, second = t->period * LAPIC_TICK_HZ;

	if (!t->dear || t->hits < TICK_SURE)
		return due;
	if ((int64_t)quiet <= (int64_t)second || !(in_step(t, due) || due == t->slipped))
		return due;
	return due + MIN((quiet - second) / TICK_PART, t->most);
}

/* What is known stands until as many in a row were none: other timers go between the ticks. */
static bool is_tick(struct lapic_tick *t, uint64_t due)
{
	if (in_step(t, due)) {
		t->last = due;
		t->hits = (uint8_t)MIN(t->hits + 1, TICK_SURE);
		t->misses = 0;
		return t->hits == TICK_SURE;
	}
	if (t->hits == TICK_SURE && due == t->slipped)
		return true;
	if (t->hits < TICK_SURE || ++t->misses == TICK_MISSES) {
		t->last = due;
		t->hits = t->misses = 0;
	}
	return false;
}

void lapic_tick_fires(struct lapic_tick *t, uint64_t due, bool halted)
{
	if (!t->most)
		return;
	if (!is_tick(t, due) || !halted)
		t->worked = true;
}

/*
 * No kernel that ticks has a deadline behind its next tick: it is the tick, set too late, or this kernel does
 * not tick when idle.
 */
static void look_behind(struct lapic_tick *t, uint64_t now, uint64_t due, uint64_t waited)
{
	uint64_t tick = t->last + ((now - t->last) / t->period + 1) * t->period;

	if (due <= tick + t->period / TICK_COARSE)
		return;
	if (due - tick <= waited)
		t->slipped = due;
	else
		t->hits = 0;
}

void lapic_tick_halts(struct lapic_tick *t, uint64_t now, uint64_t due, uint64_t waited)
{
	if (waited)
		t->dear = TICK_DEAR;
	else if (t->dear)
		t->dear--;
	if (t->hits == TICK_SURE && (int64_t)(now - t->last) >= 0)
		look_behind(t, now, due, waited);
	if (t->worked)
		t->since = now;
	t->worked = false;
}
