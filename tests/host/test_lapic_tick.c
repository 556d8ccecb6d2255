/*
 * Which interrupts of a sleeping CPU's timer are late: against a small kernel that ticks, sleeps, and has
 * timeouts that it looks at in its ticks alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "apic/lapic_tick.h"
#include "hv/base/bits.h"
#include "hv/base/compiler.h"

#define MHZ   1000000ull
#define TSC   (2000 * MHZ)
#define MS    (TSC / 1000)
#define RATE  250
#define LIMIT TSC

/* A kernel on a CPU that sleeps; it arms its timer anew in each interrupt. */
static struct kernel {
	struct lapic_tick t;
	uint64_t now, period;
	uint64_t armed;   /* the deadline */
	uint64_t timeout; /* it wants to be awake then and looks only when it ticks; 0: none */
	uint64_t waits;   /* its ticks do so long for other nodes */
	uint64_t woken, ticks, latest;
} k;

static void begin(unsigned rate)
{
	k = (struct kernel){.period = TSC / rate, .waits = MS / 10};
	lapic_tick_init(&k.t, TSC, LIMIT);
	k.now = 5 * TSC + 12345;
	k.armed = k.now + k.period;
	lapic_tick_halts(&k.t, k.now, k.armed, k.waits);
}

/* Sleeps to the next interrupt, which moves the deadline to the next tick that has not passed. */
static void sleep_once(void)
{
	uint64_t due = lapic_tick_due(&k.t, k.armed);

	assert_true(due >= k.armed && due <= k.armed + LIMIT);
	k.latest = MAX(k.latest, due - k.armed);
	k.now = due;
	lapic_tick_fires(&k.t, k.armed, true);
	k.ticks++;
	if (k.timeout && k.now >= k.timeout) {
		k.woken = k.now;
		k.timeout = 0;
	}
	k.armed += ((k.now - k.armed) / k.period + 1) * k.period;
	k.now += 20 * MHZ / 1000000; /* its handler */
	lapic_tick_halts(&k.t, k.now, k.armed, k.waits);
}

static void sleep_for(uint64_t time)
{
	uint64_t end = k.now + time;

	k.latest = 0;
	while (k.now < end)
		sleep_once();
}

/* Something else than a tick, and back to sleep. */
static void work(void)
{
	lapic_tick_work(&k.t);
	lapic_tick_halts(&k.t, k.now, k.armed, 0);
}

static void the_first_ticks_come_in_time(void **state)
{
	begin(RATE);
	for (unsigned i = 0; i < 16; i++) {
		sleep_once();
		assert_int_equal(k.latest, 0);
	}
}

static void ticks_become_rare(void **state)
{
	begin(RATE);
	sleep_for(20 * TSC);
	k.ticks = 0;
	sleep_for(100 * TSC);
	assert_in_range(k.ticks, 98, 102);
	assert_int_equal(k.latest, LIMIT);
}

static void all_come_where_none_may_be_late(void **state)
{
	begin(RATE);
	lapic_tick_init(&k.t, TSC, 0);
	sleep_for(10 * TSC);
	assert_int_equal(k.latest, 0);
	assert_in_range(k.ticks, 2499, 2501);
}

static void ticks_that_wait_for_nobody_come_in_time(void **state)
{
	begin(RATE);
	k.waits = 0;
	sleep_for(10 * TSC);
	k.latest = 0;
	sleep_for(10 * TSC);
	assert_int_equal(k.latest, 0);
	k.waits = MS / 10;
	sleep_for(10 * TSC);
	assert_true(k.latest > 500 * MS);
	k.waits = 0;
	sleep_for(10 * TSC);
	k.latest = 0;
	sleep_for(10 * TSC);
	assert_int_equal(k.latest, 0);
}

/* However long the CPU slept before, what it waits for since its work is late by an eighth of that. */
static void a_timeout_is_late_by_an_eighth(void **state)
{
	begin(RATE);
	for (uint64_t ms = 1; ms < 20000; ms = ms * 3 / 2 + 1) {
		uint64_t due;

		sleep_for(3 * TSC);
		work();
		due = k.timeout = k.now + ms * MS;
		while (k.timeout)
			sleep_once();
		assert_true(k.woken - due <= MIN(ms * MS / 8, LIMIT) + k.period);
		/* Within the first second it is late by no more than a kernel's own ticks make it. */
		assert_true(ms >= 1000 || k.woken - due <= k.period);
	}
}

static void work_brings_the_ticks_back(void **state)
{
	begin(RATE);
	sleep_for(20 * TSC);
	assert_true(lapic_tick_due(&k.t, k.armed) > k.armed + 900 * MS);
	work();
	assert_true(lapic_tick_due(&k.t, k.armed) - k.armed < k.period / 8 + 1);
	/* A tick that finds the CPU at work is no reason to sleep. */
	sleep_for(20 * TSC);
	k.now = k.armed;
	lapic_tick_fires(&k.t, k.armed, false);
	k.armed += k.period;
	lapic_tick_halts(&k.t, k.now, k.armed, 1);
	assert_true(lapic_tick_due(&k.t, k.armed) - k.armed < k.period / 4);
}

/* Anything that is not on the ticks' grid was asked for at that time. */
static void other_deadlines_are_met(void **state)
{
	unsigned met = 0;

	begin(RATE);
	sleep_for(20 * TSC);
	for (unsigned part = 1; part < 40; part++) {
		uint64_t other = k.armed - k.period + k.period * part / 40;

		met += lapic_tick_due(&k.t, other) == other;
	}
	assert_in_range(met, 37, 39);
	/* And it is work: the ticks behind it come soon. */
	k.now = k.armed - k.period / 2;
	lapic_tick_fires(&k.t, k.now, true);
	lapic_tick_halts(&k.t, k.now, k.armed, 1);
	assert_true(lapic_tick_due(&k.t, k.armed) - k.armed < k.period / 8);
	/* They are ticks still. */
	sleep_for(TSC + 8 * k.period);
	assert_true(lapic_tick_due(&k.t, k.armed) > k.armed);
	sleep_for(3 * TSC);
	assert_true(k.latest > 200 * MS);
}

/* Between the two looks at the clock with which it sets its timer, the kernel may wait. */
static void a_tick_that_was_set_too_late_is_one(void **state)
{
	begin(RATE);
	sleep_for(20 * TSC);
	for (unsigned i = 0; i < 4; i++) {
		uint64_t tick = k.armed;

		k.armed += k.period / 3;
		lapic_tick_halts(&k.t, k.now, k.armed, k.period / 3);
		assert_true(lapic_tick_due(&k.t, k.armed) > k.armed + 900 * MS);
		lapic_tick_fires(&k.t, k.armed, true);
		k.now = tick + k.period / 2;
		k.armed = tick + k.period;
		lapic_tick_halts(&k.t, k.now, k.armed, k.waits);
		assert_true(lapic_tick_due(&k.t, k.armed) > k.armed + 900 * MS);
	}
	/* By more than it waited: it is no kernel that ticks. */
	k.armed += k.period / 2;
	lapic_tick_halts(&k.t, k.now, k.armed, k.period / 3);
	assert_int_equal(lapic_tick_due(&k.t, k.armed), k.armed);
	k.latest = 0;
	sleep_once();
	sleep_once();
	assert_int_equal(k.latest, 0);
}

/* The guest's idea of a second is not ours. */
static void a_period_that_is_a_little_off_is_one(void **state)
{
	begin(RATE);
	k.period += k.period / 10000;
	sleep_for(100 * TSC);
	k.ticks = 0;
	sleep_for(100 * TSC);
	assert_in_range(k.ticks, 98, 110);
}

/* A sleeper of its own period, be it a multiple of a tick's, where the kernel does not tick. */
static void other_rhythms_are_no_ticks(void **state)
{
	static const unsigned us[] = {1000, 1060, 2500, 7000, 8000, 10000, 100000, 1000000};

	for (unsigned i = 0; i < ARRAY_LEN(us); i++) {
		begin(RATE);
		k.period = us[i] * (TSC / 1000000);
		sleep_for(20 * TSC);
		assert_int_equal(k.latest, 0);
	}
}

/* A guest that has set its clock back, or that has slept for days. */
static void strange_deadlines_do_no_harm(void **state)
{
	begin(RATE);
	sleep_for(20 * TSC);
	assert_int_equal(lapic_tick_due(&k.t, 0), 0);
	assert_int_equal(lapic_tick_due(&k.t, k.t.since), k.t.since);
	lapic_tick_fires(&k.t, 1, true);
	lapic_tick_fires(&k.t, UINT64_MAX - 1, true);
	lapic_tick_fires(&k.t, 1, true);
	lapic_tick_halts(&k.t, k.now, k.armed, 1);
	sleep_for(20 * TSC);
	assert_true(k.latest <= LIMIT);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_ticks_come_in_time),
		cmocka_unit_test(ticks_become_rare),
		cmocka_unit_test(all_come_where_none_may_be_late),
		cmocka_unit_test(ticks_that_wait_for_nobody_come_in_time),
		cmocka_unit_test(a_timeout_is_late_by_an_eighth),
		cmocka_unit_test(work_brings_the_ticks_back),
		cmocka_unit_test(other_deadlines_are_met),
		cmocka_unit_test(a_tick_that_was_set_too_late_is_one),
		cmocka_unit_test(a_period_that_is_a_little_off_is_one),
		cmocka_unit_test(other_rhythms_are_no_ticks),
		cmocka_unit_test(strange_deadlines_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
