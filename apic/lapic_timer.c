/*
 * The LAPIC's timer. SDM vol. 3, 11.5.4.
 *
 * Nothing ticks: `start` is the TSC at which the count was set, and everything else is computed from
 * it. With T TSC ticks gone, floor(T * timer_hz / tsc_hz) input clocks have passed, and that shifted by
 * the divider counts. An expiry is due at the first T for which enough counts have passed, so a
 * periodic timer never drifts, whatever the two frequencies are.
 *
 * One-shot to periodic and back lets the count run on, as processors do; the manual's sentence that a
 * change of mode disarms the timer (11.5.4.1) is applied to changes from and to TSC-deadline mode.
 */
#include "apic/lapic_impl.h"

static enum lapic_timer_mode timer_mode(const struct lapic *l, uint32_t lvt)
{
	/* Periodic together with deadline is reserved; the deadline wins. */
	if (lvt & LVT_TIMER_DEADLINE && l->config.features & LAPIC_HAS_TSC_DEADLINE)
		return LAPIC_DEADLINE;
	return lvt & LVT_TIMER_PERIODIC ? LAPIC_PERIODIC : LAPIC_ONESHOT;
}

/* Whole counts from `start` to now; a `now` from before `start` counts as the start. */
uint64_t lapic_timer_passed(const struct lapic *l, uint64_t now)
{
	uint64_t ticks = now - l->timer.start;

	if ((int64_t)ticks < 0)
		return 0;
	return mul_div(ticks, l->config.timer_hz, l->config.tsc_hz) >> l->timer.divide_shift;
}

/* TSC ticks until that many counts have passed: the least T with lapic_timer_passed(start + T) >= counts. */
static uint64_t counts_to_tsc(const struct lapic *l, uint64_t counts)
{
	uint64_t clocks = counts << l->timer.divide_shift;
	uint64_t ticks = mul_div(clocks, l->config.tsc_hz, l->config.timer_hz);

	return mul_div(ticks, l->config.timer_hz, l->config.tsc_hz) < clocks ? ticks + 1 : ticks;
}

/* Counts from `start` to the expiry that is due next. */
static uint64_t counts_due(const struct lapic *l)
{
	return l->timer.first + l->timer.fired * l->timer.initial;
}

static void schedule(struct lapic *l)
{
	struct lapic_timer *t = &l->timer;
	uint64_t due = UINT64_MAX;

	if (l->lvt_timer & LVT_MASKED)
		due = UINT64_MAX;
	else if (t->mode == LAPIC_DEADLINE && t->tsc_deadline)
		due = MIN(t->tsc_deadline, UINT64_MAX - 1);
	else if (t->mode != LAPIC_DEADLINE && t->armed)
		due = MIN(t->start + counts_to_tsc(l, counts_due(l)), UINT64_MAX - 1);
	t->next = due;
}

uint64_t lapic_timer_left(const struct lapic *l, uint64_t now)
{
	const struct lapic_timer *t = &l->timer;

	if (t->next == UINT64_MAX)
		return UINT64_MAX;
	if (t->mode == LAPIC_DEADLINE)
		return t->next > now ? t->next - now : 0;
	return (int64_t)(t->next - now) > 0 ? t->next - now : 0;
}

static bool fire(struct lapic *l)
{
	if (l->lvt_timer & LVT_MASKED)
		return false;
	lapic_request(l, (uint8_t)l->lvt_timer, false);
	return true;
}

bool lapic_timer_expire(struct lapic *l, uint64_t now)
{
	struct lapic_timer *t = &l->timer;
	uint64_t passed;

	if (t->mode == LAPIC_DEADLINE) {
		if (!t->tsc_deadline || now < t->tsc_deadline)
			return false;
		t->tsc_deadline = 0;
	} else {
		if (!t->armed)
			return false;
		passed = lapic_timer_passed(l, now);
		if (passed < counts_due(l))
			return false;
		if (t->mode == LAPIC_PERIODIC)
			t->fired = (passed - t->first) / t->initial + 1;
		else
			t->armed = false;
	}
	schedule(l);
	return fire(l);
}

uint32_t lapic_timer_current(const struct lapic *l, uint64_t now)
{
	const struct lapic_timer *t = &l->timer;
	uint64_t passed;

	if (t->mode == LAPIC_DEADLINE || !t->armed)
		return 0;
	passed = lapic_timer_passed(l, now);
	if (t->mode == LAPIC_ONESHOT)
		return passed < t->first ? (uint32_t)(t->first - passed) : 0;
	if (passed < t->first)
		return (uint32_t)(t->first - passed);
	return t->initial - (uint32_t)((passed - t->first) % t->initial);
}

void lapic_timer_reset(struct lapic *l)
{
	l->lvt_timer = LVT_MASKED;
	l->timer = (struct lapic_timer){.divide_shift = 1, .next = UINT64_MAX};
}

void lapic_timer_lvt(struct lapic *l, uint32_t lvt, uint64_t now)
{
	struct lapic_timer *t = &l->timer;
	enum lapic_timer_mode mode = timer_mode(l, lvt);

	lapic_timer_expire(l, now);
	l->lvt_timer = lvt;
	if (mode != t->mode) {
		if (mode == LAPIC_DEADLINE || t->mode == LAPIC_DEADLINE) {
			t->armed = false;
			t->initial = 0;
			t->tsc_deadline = 0;
			*lapic_reg(l, LAPIC_TIMER_INITIAL) = 0;
		} else if (mode == LAPIC_ONESHOT) {
			/* The period that is running now is counted to its end, and is the one shot. */
			t->first = counts_due(l);
			t->fired = 0;
		}
		t->mode = mode;
	}
	schedule(l);
}

void lapic_timer_initial(struct lapic *l, uint32_t count, uint64_t now)
{
	struct lapic_timer *t = &l->timer;

	lapic_timer_expire(l, now);
	if (t->mode == LAPIC_DEADLINE)
		count = 0; /* 11.5.4.1: such a write is ignored */
	*lapic_reg(l, LAPIC_TIMER_INITIAL) = count;
	t->initial = count;
	t->first = count;
	t->fired = 0;
	t->start = now;
	t->armed = count != 0;
	schedule(l);
}

/* SDM vol. 3, figure 11-10: bits 3, 1 and 0 say 2, 4, 8 ... 128, and 1 when all are set. */
static uint8_t divide_shift(uint32_t divide)
{
	return (uint8_t)(((divide & 3) + (divide >> 1 & 4) + 1) & 7);
}

void lapic_timer_divide(struct lapic *l, uint32_t divide, uint64_t now)
{
	struct lapic_timer *t = &l->timer;
	uint8_t shift = divide_shift(divide);

	lapic_timer_expire(l, now);
	if (shift == t->divide_shift)
		return;
	if (t->armed) {
		t->first = lapic_timer_current(l, now);
		t->fired = 0;
		t->start = now;
	}
	t->divide_shift = shift;
	schedule(l);
}

void lapic_timer_tsc_deadline(struct lapic *l, uint64_t deadline, uint64_t now)
{
	lapic_timer_expire(l, now);
	if (l->timer.mode != LAPIC_DEADLINE)
		return;
	l->timer.tsc_deadline = deadline;
	schedule(l);
}

void lapic_tsc_moved(struct lapic *l, uint64_t before, uint64_t after)
{
	l->timer.start += after - before;
	schedule(l);
}

void lapic_timer_resume(struct lapic *l, uint32_t lvt, uint32_t divide)
{
	l->lvt_timer = lvt;
	l->timer.mode = timer_mode(l, lvt);
	l->timer.divide_shift = divide_shift(divide);
	schedule(l);
}
