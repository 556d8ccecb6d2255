/* The LAPIC's timer in its three modes, against the manual's rules and against a model that ticks. */
#include "tests/host/apic_rig.h"

#define VECTOR   0xec
#define PERIODIC 0x20000u
#define DEADLINE 0x40000u

static struct lapic *l(void)
{
	return &rig.lapic[0];
}

static uint32_t divide_code(unsigned shift)
{
	unsigned code = (shift + 7) & 7; /* 2, 4, ... 128, 1 */

	return (code & 3) | (code & 4) << 1;
}

/* The interrupt of an expiry, taken and ended; how many are there is what the LAPIC says. */
static bool fires(uint64_t now)
{
	bool fired = lapic_timer_expire(l(), now);

	assert_int_equal(rig_bit(0, LAPIC_IRR, VECTOR), fired);
	if (fired) {
		assert_int_equal(rig_take(0), VECTOR);
		rig_eoi(0);
	}
	return fired;
}

static void one_shot_fires_once(void **state)
{
	rig.now = 5000;
	rig_write(0, LAPIC_TIMER_DIVIDE, 0xb);
	rig_write(0, LAPIC_LVT_TIMER, VECTOR);
	assert_true(rig_write(0, LAPIC_TIMER_INITIAL, 7).timer_changed);
	/* 10 TSC ticks to a count. */
	assert_int_equal(lapic_timer_deadline(l()), 5070);
	assert_int_equal(lapic_timer_left(l(), 5001), 69);
	assert_int_equal(rig_read(0, LAPIC_TIMER_CURRENT), 7);
	rig.now = 5009;
	assert_int_equal(rig_read(0, LAPIC_TIMER_CURRENT), 7);
	rig.now = 5010;
	assert_int_equal(rig_read(0, LAPIC_TIMER_CURRENT), 6);
	assert_false(fires(5069));
	assert_true(fires(5070));
	assert_false(fires(9999));
	rig.now = 9999;
	assert_int_equal(rig_read(0, LAPIC_TIMER_CURRENT), 0);
	assert_int_equal(rig_read(0, LAPIC_TIMER_INITIAL), 7);
	assert_int_equal(lapic_timer_deadline(l()), UINT64_MAX);
	assert_int_equal(lapic_timer_left(l(), 9999), UINT64_MAX);
}

static void writing_the_count_restarts_and_zero_stops(void **state)
{
	rig_write(0, LAPIC_TIMER_DIVIDE, 0xb);
	rig_write(0, LAPIC_LVT_TIMER, VECTOR | PERIODIC);
	rig_write(0, LAPIC_TIMER_INITIAL, 100);
	rig.now = 999;
	rig_write(0, LAPIC_TIMER_INITIAL, 100);
	assert_false(fires(1000));
	assert_true(fires(1999));
	rig.now = 2500;
	assert_true(rig_write(0, LAPIC_TIMER_INITIAL, 0).timer_changed);
	assert_int_equal(rig_read(0, LAPIC_TIMER_CURRENT), 0);
	assert_false(fires(99999));
	/* What was due before the write still comes. */
	rig.now = 100000;
	rig_write(0, LAPIC_TIMER_INITIAL, 10);
	rig.now = 100100;
	rig_write(0, LAPIC_TIMER_INITIAL, 0);
	assert_int_equal(rig_take(0), VECTOR);
}

static void every_divide_value(void **state)
{
	rig_write(0, LAPIC_LVT_TIMER, VECTOR);
	for (unsigned shift = 0; shift < 8; shift++) {
		rig_write(0, LAPIC_TIMER_DIVIDE, divide_code(shift));
		rig_write(0, LAPIC_TIMER_INITIAL, 3);
		assert_int_equal(lapic_timer_deadline(l()), rig.now + (30ull << shift));
		rig_write(0, LAPIC_TIMER_INITIAL, UINT32_MAX);
		assert_int_equal(lapic_timer_deadline(l()),
				 rig.now + (10ull * UINT32_MAX << shift));
		rig.now += 12345;
	}
	/* After reset it divides by 2. */
	lapic_reset_init(l());
	rig_enable(0);
	rig_write(0, LAPIC_LVT_TIMER, VECTOR);
	rig_write(0, LAPIC_TIMER_INITIAL, 1);
	assert_int_equal(lapic_timer_left(l(), rig.now), 20);
}

static void changing_the_divider_keeps_the_count(void **state)
{
	rig_write(0, LAPIC_TIMER_DIVIDE, divide_code(0));
	rig_write(0, LAPIC_LVT_TIMER, VECTOR | PERIODIC);
	rig_write(0, LAPIC_TIMER_INITIAL, 100);
	rig.now = 600;
	assert_true(rig_write(0, LAPIC_TIMER_DIVIDE, divide_code(1)).timer_changed);
	assert_int_equal(rig_read(0, LAPIC_TIMER_CURRENT), 40);
	assert_int_equal(lapic_timer_deadline(l()), 600 + 40 * 20);
	/* Then whole periods at the new speed. */
	assert_true(fires(1400));
	assert_int_equal(lapic_timer_deadline(l()), 1400 + 100 * 20);
	rig.now = 1400;
	assert_int_equal(rig_read(0, LAPIC_TIMER_CURRENT), 100);
	assert_false(rig_write(0, LAPIC_TIMER_DIVIDE, divide_code(1)).timer_changed);
}

static void missed_periods_become_one(void **state)
{
	rig_write(0, LAPIC_TIMER_DIVIDE, divide_code(0));
	rig_write(0, LAPIC_LVT_TIMER, VECTOR | PERIODIC);
	rig_write(0, LAPIC_TIMER_INITIAL, 10);
	assert_true(fires(100));
	assert_false(fires(199));
	/* Due at 200 to 1000: one interrupt, the next at 1100 on the old grid. */
	assert_true(fires(1055));
	assert_false(fires(1099));
	assert_int_equal(lapic_timer_deadline(l()), 1100);
	rig.now = 1055;
	assert_int_equal(rig_read(0, LAPIC_TIMER_CURRENT), 5);
	assert_true(fires(1100));
}

static void masked_it_runs_silently(void **state)
{
	rig_write(0, LAPIC_TIMER_DIVIDE, divide_code(0));
	rig_write(0, LAPIC_LVT_TIMER, VECTOR | PERIODIC | RIG_MASKED);
	rig_write(0, LAPIC_TIMER_INITIAL, 10);
	assert_int_equal(lapic_timer_deadline(l()), UINT64_MAX);
	rig.now = 250;
	assert_int_equal(rig_read(0, LAPIC_TIMER_CURRENT), 5);
	/* Unmasking does not give what was missed. */
	assert_true(rig_write(0, LAPIC_LVT_TIMER, VECTOR | PERIODIC).timer_changed);
	assert_int_equal(rig_take(0), -1);
	assert_false(fires(299));
	assert_true(fires(300));
	/* A software disable masks it, too. */
	rig.now = 305;
	assert_true(rig_write(0, LAPIC_SVR, 0xff).timer_changed);
	assert_false(fires(10000));
}

static void one_shot_and_periodic_change_places(void **state)
{
	rig_write(0, LAPIC_TIMER_DIVIDE, divide_code(0));
	rig_write(0, LAPIC_LVT_TIMER, VECTOR);
	rig_write(0, LAPIC_TIMER_INITIAL, 100);
	rig.now = 705;
	rig_write(0, LAPIC_LVT_TIMER, VECTOR | PERIODIC);
	assert_int_equal(rig_read(0, LAPIC_TIMER_CURRENT), 30);
	assert_true(fires(1000));
	assert_true(fires(2000));
	rig.now = 2905;
	rig_write(0, LAPIC_LVT_TIMER, VECTOR);
	assert_int_equal(rig_read(0, LAPIC_TIMER_CURRENT), 10);
	assert_false(fires(2999));
	assert_true(fires(3000));
	assert_false(fires(4000));
	/* At rest it stays there. */
	rig.now = 4000;
	rig_write(0, LAPIC_LVT_TIMER, VECTOR | PERIODIC);
	assert_int_equal(rig_read(0, LAPIC_TIMER_CURRENT), 0);
	assert_int_equal(lapic_timer_deadline(l()), UINT64_MAX);
}

static void tsc_deadline_mode(void **state)
{
	rig.now = 1000;
	/* Not in the mode: ignored. */
	assert_int_equal(rig_wrmsr(0, MSR_TSC_DEADLINE, 5000), 0);
	assert_int_equal(rig_rdmsr(0, MSR_TSC_DEADLINE), 0);
	rig_write(0, LAPIC_LVT_TIMER, VECTOR | DEADLINE);
	assert_int_equal(rig_wrmsr(0, MSR_TSC_DEADLINE, 5000), 0);
	assert_int_equal(rig_rdmsr(0, MSR_TSC_DEADLINE), 5000);
	assert_int_equal(lapic_timer_deadline(l()), 5000);
	assert_int_equal(lapic_timer_left(l(), 4000), 1000);
	assert_int_equal(lapic_timer_left(l(), 6000), 0);
	rig_write(0, LAPIC_TIMER_INITIAL, 55);
	assert_int_equal(rig_read(0, LAPIC_TIMER_INITIAL), 0);
	assert_int_equal(rig_read(0, LAPIC_TIMER_CURRENT), 0);
	assert_false(fires(4999));
	assert_true(fires(5000));
	assert_false(fires(5001));
	assert_int_equal(rig_rdmsr(0, MSR_TSC_DEADLINE), 0);
	/* In the past: at once. Zero disarms. */
	rig.now = 6000;
	assert_int_equal(rig_wrmsr(0, MSR_TSC_DEADLINE, 1), 0);
	assert_int_equal(rig_rdmsr(0, MSR_TSC_DEADLINE), 0);
	assert_int_equal(lapic_timer_left(l(), 6000), 0);
	assert_true(fires(6000));
	assert_int_equal(rig_wrmsr(0, MSR_TSC_DEADLINE, 7000), 0);
	assert_int_equal(rig_wrmsr(0, MSR_TSC_DEADLINE, 0), 0);
	assert_false(fires(8000));
	/* The end of the range is a moment, not "never". */
	assert_int_equal(rig_wrmsr(0, MSR_TSC_DEADLINE, UINT64_MAX), 0);
	assert_true(lapic_timer_deadline(l()) < UINT64_MAX);
	assert_false(fires(UINT64_MAX - 1));
	assert_true(fires(UINT64_MAX));
}

static void leaving_or_entering_deadline_mode_disarms(void **state)
{
	rig_write(0, LAPIC_LVT_TIMER, VECTOR);
	rig_write(0, LAPIC_TIMER_INITIAL, 100);
	assert_true(rig_write(0, LAPIC_LVT_TIMER, VECTOR | DEADLINE).timer_changed);
	assert_false(fires(100000));
	assert_int_equal(rig_wrmsr(0, MSR_TSC_DEADLINE, 200000), 0);
	rig_write(0, LAPIC_LVT_TIMER, VECTOR | PERIODIC);
	assert_int_equal(rig_rdmsr(0, MSR_TSC_DEADLINE), 0);
	assert_false(fires(300000));
	rig_reset(0);
	rig_enable(0);
	rig_write(0, LAPIC_LVT_TIMER, VECTOR | DEADLINE);
	assert_int_equal(rig_read(0, LAPIC_LVT_TIMER), VECTOR);
	assert_true(rig_rdmsr_faults(0, MSR_TSC_DEADLINE));
	assert_int_equal(rig_wrmsr(0, MSR_TSC_DEADLINE, 5), ERR_INVALID);
}

static void a_wrapping_tsc_disturbs_nothing(void **state)
{
	rig.now = UINT64_MAX - 449;
	rig_write(0, LAPIC_TIMER_DIVIDE, divide_code(0));
	rig_write(0, LAPIC_LVT_TIMER, VECTOR | PERIODIC);
	rig_write(0, LAPIC_TIMER_INITIAL, 100);
	assert_int_equal(lapic_timer_left(l(), rig.now), 1000);
	assert_false(fires(UINT64_MAX));
	rig.now = 49;
	assert_int_equal(rig_read(0, LAPIC_TIMER_CURRENT), 51);
	assert_int_equal(lapic_timer_left(l(), 49), 501);
	assert_false(fires(549));
	assert_true(fires(550));
	assert_true(fires(1550));
}

static void a_set_tsc_moves_the_count_along(void **state)
{
	rig.now = 5000;
	rig_write(0, LAPIC_TIMER_DIVIDE, divide_code(0));
	rig_write(0, LAPIC_LVT_TIMER, VECTOR);
	rig_write(0, LAPIC_TIMER_INITIAL, 100);
	lapic_tsc_moved(l(), 5500, 100);
	assert_int_equal(lapic_timer_deadline(l()), 600);
	rig.now = 100;
	assert_int_equal(rig_read(0, LAPIC_TIMER_CURRENT), 50);
	/* A reading from before the start is the start, not the far future. */
	rig_write(0, LAPIC_TIMER_INITIAL, 100);
	rig.now = 50;
	assert_int_equal(rig_read(0, LAPIC_TIMER_CURRENT), 100);
	assert_false(fires(50));
	assert_true(fires(1100));
}

static void illegal_timer_vector_is_logged(void **state)
{
	rig_write(0, LAPIC_LVT_TIMER, 15);
	rig_write(0, LAPIC_TIMER_INITIAL, 1);
	lapic_timer_expire(l(), 1000);
	assert_int_equal(rig_pull(0), -1);
	rig_write(0, LAPIC_ESR, 0);
	assert_int_equal(rig_read(0, LAPIC_ESR), 0x40);
}

static void hardware_stored_writes_settle_the_old_entry_first(void **state)
{
	struct lapic_actions act;

	rig_write(0, LAPIC_TIMER_DIVIDE, divide_code(0));
	rig_write(0, LAPIC_LVT_TIMER, VECTOR);
	rig_write(0, LAPIC_TIMER_INITIAL, 10);
	/* Due at 100; at 150 the guest masks, the value is in the page already. */
	l()->regs[LAPIC_LVT_TIMER / 4] = 0x55 | RIG_MASKED;
	lapic_write_done(l(), LAPIC_LVT_TIMER, 150, &act);
	assert_true(act.recheck);
	assert_int_equal(rig_take(0), VECTOR);
	l()->regs[LAPIC_TIMER_INITIAL / 4] = 20;
	lapic_write_done(l(), LAPIC_TIMER_INITIAL, 200, &act);
	rig.now = 290;
	assert_int_equal(rig_read(0, LAPIC_TIMER_CURRENT), 11);
}

/*
 * A model that does what the hardware does: each TSC tick adds timer_hz to an accumulator, each tsc_hz
 * in it is one input clock, each 2^shift of those is one count.
 */
struct model {
	uint64_t tsc_hz, timer_hz, acc;
	unsigned shift, prescale;
	uint32_t initial, current;
	bool periodic;
	unsigned fired;
};

static void model_count(struct model *m)
{
	if (m->current == 0 || --m->current > 0)
		return;
	m->fired++;
	if (m->periodic)
		m->current = m->initial;
}

static void model_tick(struct model *m)
{
	for (m->acc += m->timer_hz; m->acc >= m->tsc_hz; m->acc -= m->tsc_hz) {
		if (++m->prescale >> m->shift) {
			m->prescale = 0;
			model_count(m);
		}
	}
}

static uint32_t random32(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*seed >> 33);
}

static void agrees_with_a_model_that_ticks(void **state)
{
	static const uint64_t hz[] = {1000000,   1000001,    3000000,    24000000,
				      100000000, 2400000000, 2399999999, 999999937};
	uint64_t seed = 42;

	for (unsigned round = 0; round < 400; round++) {
		struct model m = {
			.tsc_hz = hz[random32(&seed) % ARRAY_LEN(hz)],
			.timer_hz = hz[random32(&seed) % ARRAY_LEN(hz)],
			.shift = random32(&seed) % 8,
			.initial = random32(&seed) % 50 + 1,
			.periodic = random32(&seed) & 1,
		};

		rig_reset(RIG_FEATURES);
		rig_enable(0);
		l()->config.tsc_hz = m.tsc_hz;
		l()->config.timer_hz = m.timer_hz;
		m.current = m.initial;
		rig.now = (uint64_t)random32(&seed) << 33 | random32(&seed);
		rig_write(0, LAPIC_TIMER_DIVIDE, divide_code(m.shift));
		rig_write(0, LAPIC_LVT_TIMER, VECTOR | (m.periodic ? PERIODIC : 0));
		rig_write(0, LAPIC_TIMER_INITIAL, m.initial);
		for (unsigned tick = 0; tick < 2000; tick++) {
			bool due = lapic_timer_left(l(), rig.now + 1) == 0;

			m.fired = 0;
			model_tick(&m);
			rig.now++;
			assert_int_equal(due, m.fired != 0);
			assert_int_equal(fires(rig.now), m.fired != 0);
			assert_int_equal(rig_read(0, LAPIC_TIMER_CURRENT), m.current);
		}
	}
}

static void a_day_of_periods_does_not_drift(void **state)
{
	uint64_t period_tsc = 0;

	/* 1000 counts of 1.5 TSC ticks and a bit: no period is a whole number of ticks. */
	l()->config.tsc_hz = 2399987654;
	l()->config.timer_hz = 1599999997;
	rig_write(0, LAPIC_TIMER_DIVIDE, divide_code(0));
	rig_write(0, LAPIC_LVT_TIMER, VECTOR | PERIODIC);
	rig_write(0, LAPIC_TIMER_INITIAL, 1599999);
	for (unsigned n = 1; n <= 86400; n++) {
		uint64_t due = lapic_timer_deadline(l());

		/* ceil(n * initial * tsc_hz / timer_hz) */
		period_tsc = mul_div((uint64_t)n * 1599999, 2399987654, 1599999997) + 1;
		assert_int_equal(due, period_tsc);
		assert_true(lapic_timer_expire(l(), due));
		assert_int_equal(rig_take(0), VECTOR);
		rig_eoi(0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(one_shot_fires_once, rig_setup),
		cmocka_unit_test_setup(writing_the_count_restarts_and_zero_stops, rig_setup),
		cmocka_unit_test_setup(every_divide_value, rig_setup),
		cmocka_unit_test_setup(changing_the_divider_keeps_the_count, rig_setup),
		cmocka_unit_test_setup(missed_periods_become_one, rig_setup),
		cmocka_unit_test_setup(masked_it_runs_silently, rig_setup),
		cmocka_unit_test_setup(one_shot_and_periodic_change_places, rig_setup),
		cmocka_unit_test_setup(tsc_deadline_mode, rig_setup),
		cmocka_unit_test_setup(leaving_or_entering_deadline_mode_disarms, rig_setup),
		cmocka_unit_test_setup(a_wrapping_tsc_disturbs_nothing, rig_setup),
		cmocka_unit_test_setup(a_set_tsc_moves_the_count_along, rig_setup),
		cmocka_unit_test_setup(illegal_timer_vector_is_logged, rig_setup),
		cmocka_unit_test_setup(hardware_stored_writes_settle_the_old_entry_first,
				       rig_setup),
		cmocka_unit_test_setup(agrees_with_a_model_that_ticks, rig_setup),
		cmocka_unit_test_setup(a_day_of_periods_does_not_drift, rig_setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
