/* hv/core/sched.c: who runs next, and for how long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hv/base/bits.h"
#include "hv/core/sched.h"

#define MIN_SLICE 1000u
#define MAX_SLICE 6000u
#define GRAIN     100u

static const struct sched_limits limits = {MIN_SLICE, MAX_SLICE, GRAIN};
static struct sched s;
static uint64_t now;

static int fresh(void **state)
{
	now = 1000000;
	sched_init(&s, &limits);
	return 0;
}

static unsigned choose(uint64_t ready, uint64_t called)
{
	return sched_choose(&s, ready, called, now);
}

/* So long all of `ready` compute; what each has got is added to `got`. */
static void compute(uint64_t ready, uint64_t ticks, uint64_t *got)
{
	uint64_t end = now + ticks;

	while (now < end) {
		unsigned who = choose(ready, 0);
		uint64_t until = MIN(sched_end(&s, ready, 0), end);

		assert_true(ready & BIT(who));
		assert_true(until > now);
		got[who] += until - now;
		now = until;
	}
}

static void one_runs_for_ever(void **state)
{
	assert_int_equal(choose(1, 0), 0);
	assert_true(sched_end(&s, 1, 0) == UINT64_MAX);
	now += 100 * MAX_SLICE;
	assert_int_equal(choose(1, 0), 0);
}

static void nobody(void **state)
{
	assert_int_equal(choose(0, 0), SCHED_NONE);
	assert_true(sched_end(&s, 0, 0) == UINT64_MAX);
	now += 10;
	assert_int_equal(choose(4, 0), 2);
}

static void all_get_the_same(void **state)
{
	for (unsigned n = 2; n <= SCHED_MAX; n += 31) {
		uint64_t got[SCHED_MAX] = {0}, all = n * 40 * MAX_SLICE;

		fresh(NULL);
		compute(BITS(n - 1, 0), all, got);
		for (unsigned i = 0; i < n; i++)
			assert_in_range(got[i], all / n - MAX_SLICE, all / n + MAX_SLICE);
	}
}

static void slices_have_bounds_and_grow(void **state)
{
	uint64_t got[SCHED_MAX] = {0};

	choose(3, 0);
	assert_int_equal(sched_end(&s, 3, 0) - now, MIN_SLICE);
	compute(3, 100 * MAX_SLICE, got);
	now = sched_end(&s, 3, 0);
	choose(3, 0);
	assert_int_equal(sched_end(&s, 3, 0) - now, MAX_SLICE);
	/* Shared by many it is shorter, and never too short. */
	assert_int_equal(sched_end(&s, 15, 0) - now, MAX_SLICE / 2);
	assert_int_equal(sched_end(&s, UINT64_MAX, 0) - now, MIN_SLICE);
	/* They spin for each other. */
	for (unsigned i = 0; i < 10; i++) {
		sched_give_way(&s);
		now += 10;
		choose(3, 0);
	}
	assert_int_equal(sched_end(&s, 3, 0) - now, MIN_SLICE);
}

static void who_spins_gives_way(void **state)
{
	assert_int_equal(choose(7, 0), 0);
	sched_give_way(&s);
	assert_int_not_equal(choose(7, 0), 0);
	/* There is nobody to give way to. */
	fresh(NULL);
	assert_int_equal(choose(1, 0), 0);
	sched_give_way(&s);
	assert_int_equal(choose(1, 0), 0);
	/* And that is forgotten by when there is. */
	assert_int_equal(choose(3, 0), 0);
}

static void gives_way_to_whom_it_waits_for(void **state)
{
	assert_int_equal(choose(7, 0), 0);
	s.favoured = 2;
	sched_give_way(&s);
	now += 10;
	assert_int_equal(choose(7, 0), 2);
	/* Unless that one can't run, or has run far more than the others. */
	assert_int_equal(s.favoured, SCHED_NONE);
	s.favoured = 3;
	sched_give_way(&s);
	assert_int_equal(choose(7, 0), 1);
	s.favoured = 2;
	s.ran[2] += 3 * MAX_SLICE;
	sched_give_way(&s);
	assert_int_equal(choose(7, 0), 0);
}

static void a_call_ends_a_turn_but_not_at_once(void **state)
{
	uint64_t got[SCHED_MAX] = {0};

	compute(1, 10 * MAX_SLICE, got);
	choose(1, 0);
	now += GRAIN;
	/* Number 1 wakes. It has run less, and gets the CPU after a grain, which is over. */
	assert_true(sched_end(&s, 3, 2) <= now);
	assert_int_equal(choose(3, 2), 1);
	now += GRAIN / 2;
	assert_int_equal(choose(1, 0), 0);
	now += GRAIN / 2;
	/* What it took to bring it here is not of its turn. */
	assert_int_equal(choose(3, 2), 0);
	assert_int_equal(sched_end(&s, 3, 2), now + GRAIN);
	now += GRAIN / 2;
	assert_int_equal(choose(3, 2), 0);
	now += GRAIN / 2;
	assert_int_equal(choose(3, 2), 1);
}

static void a_tick_is_no_call(void **state)
{
	uint64_t got[SCHED_MAX] = {0};

	compute(1, 10 * MAX_SLICE, got);
	choose(3, 0);
	now = sched_tick(&s) + 1;
	/* It had been the only one for long: its turn is over. */
	assert_int_equal(choose(3, 0), 1);
	now += 10;
	assert_int_equal(choose(1, 0), 0);
	now += GRAIN;
	assert_int_equal(choose(3, 0), 0);
	assert_true(sched_tick(&s) >= now - GRAIN + MIN_SLICE);
}

/* However often the others wake for a moment, who computes has most of the time. */
static void ticks_leave_time_to_compute(void **state)
{
	uint64_t computed = 0, all = 0;

	for (unsigned i = 0; i < 5000; i++) {
		uint64_t ready = UINT64_MAX, began = now;
		unsigned who;

		/* All have a tick, which takes 10. */
		while ((who = choose(ready, 0)) != 0) {
			now += 10;
			ready &= ~BIT(who);
		}
		began = now;
		now = MAX(now + 1, sched_tick(&s));
		computed += now - began;
		all += now - began + 630;
	}
	assert_true(computed * 2 > all);
}

/* Who sleeps for long is let off a slice, no more: it does not make up for all of it. */
static void sleep_is_no_saving(void **state)
{
	uint64_t got[SCHED_MAX] = {0};

	compute(1, 1000 * MAX_SLICE, got);
	got[0] = got[1] = 0;
	compute(3, 40 * MAX_SLICE, got);
	assert_in_range(got[1], 19 * MAX_SLICE, 21 * MAX_SLICE);
}

/* Whatever happens, who wants to run does so before long. */
static void nobody_starves(void **state)
{
	uint64_t waits[8] = {0};

	srand(1);
	for (unsigned i = 0; i < 400000; i++) {
		uint64_t ready = (uint64_t)rand() % 256 | 1, called = (uint64_t)rand() % 256;
		unsigned who;

		if (rand() % 8 == 0)
			sched_give_way(&s);
		if (rand() % 8 == 0)
			s.favoured = (unsigned)rand() % 9;
		who = choose(ready, called);
		assert_true(ready & BIT(who));
		for (unsigned k = 0; k < 8; k++)
			waits[k] = ready & BIT(k) && k != who ? waits[k] + 1 : 0;
		/* Number 0 always wants to. */
		assert_true(waits[0] < 1000);
		now += (uint64_t)rand() % 300;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(one_runs_for_ever, fresh),
		cmocka_unit_test_setup(nobody, fresh),
		cmocka_unit_test_setup(all_get_the_same, fresh),
		cmocka_unit_test_setup(slices_have_bounds_and_grow, fresh),
		cmocka_unit_test_setup(who_spins_gives_way, fresh),
		cmocka_unit_test_setup(gives_way_to_whom_it_waits_for, fresh),
		cmocka_unit_test_setup(a_call_ends_a_turn_but_not_at_once, fresh),
		cmocka_unit_test_setup(a_tick_is_no_call, fresh),
		cmocka_unit_test_setup(ticks_leave_time_to_compute, fresh),
		cmocka_unit_test_setup(sleep_is_no_saving, fresh),
		cmocka_unit_test_setup(nobody_starves, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
