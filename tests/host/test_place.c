/* Placement's rules, one by one, and what holds of any counters. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/compiler.h"
#include "hv/place/place.h"

#define WINDOW 50000u

static const struct place_cost ordinary = {.window_us = WINDOW, .wait_us = 100, .move_us = 200};

/* A cluster whose counters a test sets; moves are carried out. */
static struct rig {
	struct place *p;
	struct place_cpu cpus[PLACE_CPUS];
	struct place_vcpu vcpus[PLACE_VCPUS];
	unsigned cpu_count, vcpu_count, count;
	uint32_t now;
	bool refuse;
	struct place_move moves[PLACE_VCPUS];
} rig;

static void set_up(unsigned nodes, unsigned cores, unsigned vcpus, bool yields)
{
	struct place_cost cost = ordinary;

	free(rig.p);
	cost.stall_yields = yields;
	memset(&rig, 0, sizeof(rig));
	rig.p = place_init(malloc(place_bytes()), &cost);
	rig.cpu_count = nodes * cores;
	rig.vcpu_count = vcpus;
	for (unsigned c = 0; c < rig.cpu_count; c++)
		rig.cpus[c] =
			(struct place_cpu){.node = (uint16_t)(c / cores), .weight = PLACE_ONE};
	for (unsigned v = 0; v < vcpus; v++)
		rig.vcpus[v].cpu = (uint16_t)(v % rig.cpu_count);
}

static int tear_down(void **state)
{
	free(rig.p);
	rig.p = NULL;
	return 0;
}

static unsigned node_of(unsigned v)
{
	return rig.cpus[rig.vcpus[v].cpu].node;
}

static void does(unsigned v, uint32_t run, uint32_t stalled, uint32_t halted)
{
	rig.vcpus[v].run_us = run;
	rig.vcpus[v].stalled_us = stalled;
	rig.vcpus[v].halted_us = halted;
	memset(rig.vcpus[v].asked, 0, sizeof(rig.vcpus[v].asked));
}

static void step(void)
{
	struct place_window w = {.cpu_count = rig.cpu_count, .vcpu_count = rig.vcpu_count};

	w.now = ++rig.now;
	w.cpus = rig.cpus;
	w.vcpus = rig.vcpus;
	for (unsigned c = 0; c < rig.cpu_count; c++)
		rig.cpus[c].idle_us = WINDOW;
	for (unsigned v = 0; v < rig.vcpu_count; v++) {
		uint32_t *idle = &rig.cpus[rig.vcpus[v].cpu].idle_us;

		*idle -= MIN(*idle, rig.vcpus[v].run_us + rig.vcpus[v].stalled_us);
	}
	rig.count = place_step(rig.p, &w, rig.moves, PLACE_VCPUS);
	for (unsigned i = 0; i < rig.count && !rig.refuse; i++) {
		rig.vcpus[rig.moves[i].vcpu].cpu = rig.moves[i].cpu;
		rig.vcpus[rig.moves[i].vcpu].since = rig.now + 1;
	}
}

/* Those of a group wait for each other where they are apart, and share their pCPUs evenly. */
static void share(unsigned vcpus, uint32_t run_apart)
{
	for (unsigned v = 0; v < vcpus; v++) {
		unsigned mates = 0, apart = 0;

		for (unsigned o = 0; o < vcpus; o++) {
			mates += rig.vcpus[o].cpu == rig.vcpus[v].cpu;
			apart += node_of(o) != node_of(v);
		}
		if (apart)
			does(v, run_apart / mates, (WINDOW - run_apart) / mates, 0);
		else
			does(v, WINDOW / mates, 0, 0);
		for (unsigned o = 0; o < vcpus; o++) {
			if (node_of(o) != node_of(v))
				rig.vcpus[v].asked[node_of(o)] += 100;
		}
	}
}

static bool all_together(unsigned vcpus)
{
	for (unsigned v = 1; v < vcpus; v++) {
		if (node_of(v) != node_of(0))
			return false;
	}
	return true;
}

static void test_who_computes_alone_stays(void **state)
{
	set_up(4, 2, 8, false);
	for (unsigned v = 0; v < 8; v++)
		does(v, WINDOW, 0, 0);
	for (unsigned i = 0; i < 50; i++) {
		step();
		assert_int_equal(rig.count, 0);
	}
}

static void test_a_pair_meets(void **state)
{
	for (unsigned yields = 0; yields < 2; yields++) {
		set_up(2, 1, 2, yields);
		for (unsigned i = 0; i < 4; i++) {
			share(2, WINDOW / 10);
			step();
			assert_true(rig.count <= 1);
			if (rig.count)
				assert_int_equal(rig.moves[0].why, PLACE_GATHER);
		}
		assert_true(all_together(2));
	}
}

/* No single move helps while who waits keeps its pCPU: all or none. */
static void test_a_group_meets(void **state)
{
	set_up(4, 1, 4, false);
	for (unsigned i = 0; i < 6; i++) {
		share(4, WINDOW / 50);
		step();
	}
	assert_true(all_together(4));
}

/* Eight that do two thirds of their work apart would do less than that on one node. */
static void test_who_does_more_apart_stays(void **state)
{
	set_up(8, 1, 8, false);
	for (unsigned i = 0; i < 50; i++) {
		share(8, WINDOW / 3 * 2);
		step();
		assert_int_equal(rig.count, 0);
	}
}

static void test_one_goes_where_its_pages_are(void **state)
{
	set_up(3, 2, 1, false);
	does(0, WINDOW / 10, WINDOW / 10 * 9, 0);
	rig.vcpus[0].asked[2] = 400;
	rig.vcpus[0].asked[1] = 20;
	for (unsigned i = 0; i < 3; i++)
		step();
	assert_int_equal(rig.count, 1);
	assert_int_equal(node_of(0), 2);
}

/* It takes more than a window or two of waiting. */
static void test_a_moment_is_not_enough(void **state)
{
	set_up(2, 1, 2, false);
	for (unsigned i = 0; i < 40; i++) {
		if (i % 4 < 2)
			share(2, WINDOW / 10);
		else
			does(0, WINDOW, 0, 0), does(1, WINDOW, 0, 0);
		step();
		assert_int_equal(rig.count, 0);
	}
}

static void sleeps(unsigned v)
{
	does(v, 200, 300, WINDOW - 500);
	rig.vcpus[v].wakeups = 4;
	if (node_of(v) != 1)
		rig.vcpus[v].asked[1] = 3;
}

static void test_sleepers_go_to_the_den(void **state)
{
	set_up(4, 2, 4, false);
	for (unsigned v = 0; v < 4; v++)
		rig.vcpus[v].cpu = (uint16_t)(2 * v);
	for (unsigned i = 0; i < 12; i++) {
		for (unsigned v = 0; v < 3; v++)
			sleeps(v);
		does(3, 0, 0, WINDOW); /* it sleeps soundly */
		step();
	}
	for (unsigned v = 0; v < 3; v++)
		assert_int_equal(node_of(v), 1);
	assert_int_equal(node_of(3), 3);
}

static void test_a_full_den_takes_nobody(void **state)
{
	set_up(2, 1, 2, false);
	for (unsigned i = 0; i < 30; i++) {
		does(1, WINDOW, 0, 0);
		sleeps(0);
		step();
		assert_int_equal(rig.count, 0);
	}
}

/* All of one pCPU, which share it; with pCPUs 0 and 1 on one node and 2 and 3 on the other. */
static void crowd(unsigned vcpus)
{
	for (unsigned v = 0; v < vcpus; v++) {
		unsigned mates = 0;

		for (unsigned o = 0; o < vcpus; o++)
			mates += rig.vcpus[o].cpu == rig.vcpus[v].cpu;
		does(v, WINDOW / mates, 0, 0);
	}
}

static void test_a_crowd_spreads(void **state)
{
	bool apart = false, spread = false;
	bool used[4] = {false};

	set_up(2, 2, 4, false);
	for (unsigned v = 0; v < 4; v++)
		rig.vcpus[v].cpu = 0;
	for (unsigned i = 0; i < 20; i++) {
		crowd(4);
		step();
		for (unsigned k = 0; k < rig.count; k++) {
			apart |= rig.moves[k].why == PLACE_APART;
			spread |= rig.moves[k].why == PLACE_SPREAD;
		}
	}
	assert_true(apart && spread);
	for (unsigned v = 0; v < 4; v++)
		used[rig.vcpus[v].cpu] = true;
	assert_true(used[0] && used[1] && used[2] && used[3]);
	assert_int_equal(rig.count, 0);
}

static void test_its_own_node_comes_first(void **state)
{
	set_up(2, 2, 2, false);
	rig.vcpus[1].cpu = 0;
	for (unsigned i = 0; i < 5; i++) {
		crowd(2);
		step();
		for (unsigned k = 0; k < rig.count; k++)
			assert_int_equal(rig.moves[k].why, PLACE_APART);
	}
	assert_int_not_equal(rig.vcpus[0].cpu, rig.vcpus[1].cpu);
}

/*
 * Two that share all their pages, on two nodes of one pCPU: each attempt to spread them comes later than
 * the last.
 */
static void test_what_does_not_pay_is_tried_ever_more_rarely(void **state)
{
	uint32_t last = 0, gap = 0, tries = 0;

	set_up(2, 1, 2, false);
	for (unsigned i = 0; i < 4000; i++) {
		share(2, WINDOW / 20);
		step();
		for (unsigned k = 0; k < rig.count; k++) {
			if (rig.moves[k].why != PLACE_SPREAD)
				continue;
			if (gap && gap < 900)
				assert_true(rig.now - last >= gap * 3 / 2);
			gap = last ? rig.now - last : 0;
			last = rig.now;
			tries++;
		}
	}
	assert_in_range(tries, 6, 12);
}

/* Wherever it goes, its pages are elsewhere. */
static void test_who_is_drawn_everywhere_calms_down(void **state)
{
	unsigned moves[2] = {0};

	set_up(3, 1, 1, false);
	for (unsigned i = 0; i < 4000; i++) {
		does(0, WINDOW / 10, WINDOW / 10 * 9, 0);
		rig.vcpus[0].asked[(node_of(0) + 1) % 3] = 400;
		step();
		moves[i / 2000] += rig.count;
	}
	assert_in_range(moves[0], 4, 14);
	assert_in_range(moves[1], 1, 9);
}

/* What a probe costs: three windows. */
static void test_a_probe_ends_soon(void **state)
{
	unsigned apart = 0;

	set_up(2, 1, 2, false);
	for (unsigned i = 0; i < 1000; i++) {
		apart += !all_together(2);
		share(2, WINDOW / 20);
		step();
	}
	assert_in_range(apart, 1, 30);
}

static void test_another_habit_ends_the_quiet(void **state)
{
	set_up(2, 1, 2, false);
	for (unsigned i = 0; i < 1000; i++) {
		share(2, WINDOW / 20);
		rig.vcpus[0].wakeups = rig.vcpus[0].run_us / 10;
		rig.vcpus[1].wakeups = rig.vcpus[1].run_us / 10;
		step();
	}
	assert_true(all_together(2));
	rig.vcpus[0].wakeups = rig.vcpus[1].wakeups = 0;
	for (unsigned i = 0; i < 6; i++) {
		crowd(2);
		step();
	}
	assert_false(all_together(2));
}

/* The pages that follow a vCPU are no reason to go back. */
static void test_pages_that_follow_are_not_sharing(void **state)
{
	unsigned v;

	set_up(2, 1, 2, false);
	rig.vcpus[1].cpu = 0;
	rig.vcpus[0].set_pages = rig.vcpus[1].set_pages = 1500;
	crowd(2);
	while (!rig.count && rig.now < 9)
		step();
	assert_int_equal(rig.count, 1);
	v = rig.moves[0].vcpu;
	for (unsigned i = 0; i < 20; i++) {
		does(!v, WINDOW / 2, 0, WINDOW / 2);
		does(v, i < 3 ? WINDOW / 50 : WINDOW, i < 3 ? WINDOW / 50 * 49 : 0, 0);
		rig.vcpus[v].asked[0] = i < 3 ? 500 : 0;
		step();
		assert_int_equal(rig.count, 0);
	}
}

static void test_the_faster_pcpu_is_taken(void **state)
{
	set_up(3, 1, 1, false);
	rig.cpus[1].weight = PLACE_ONE * 3 / 2;
	rig.cpus[2].weight = 2 * PLACE_ONE;
	does(0, WINDOW, 0, 0);
	for (unsigned i = 0; i < 3; i++)
		step();
	assert_int_equal(node_of(0), 2);
}

/* Half of a fast pCPU is more than a slow one, and none is nothing. */
static void test_nobody_is_made_slower(void **state)
{
	set_up(3, 1, 2, false);
	rig.cpus[1].weight = PLACE_ONE / 4;
	rig.cpus[2].weight = 0;
	rig.vcpus[0].cpu = rig.vcpus[1].cpu = 0;
	for (unsigned i = 0; i < 50; i++) {
		crowd(2);
		step();
		assert_int_equal(rig.count, 0);
	}
}

static void test_who_is_refused_waits(void **state)
{
	uint32_t last = 0, gap = 0;

	set_up(2, 1, 1, false);
	rig.cpus[1].weight = 2 * PLACE_ONE;
	rig.refuse = true;
	does(0, WINDOW, 0, 0);
	for (unsigned i = 0; i < 200; i++) {
		step();
		if (!rig.count)
			continue;
		assert_true(rig.now - last > gap * 3 / 2);
		gap = last ? rig.now - last : 0;
		last = rig.now;
	}
	assert_true(gap > 40);
}

/* Counters that don't say whom they wait for, and less work than one node would do. */
static void test_the_floor_holds_without_reasons(void **state)
{
	set_up(4, 1, 4, false);
	for (unsigned i = 0; i < 6; i++) {
		for (unsigned v = 0; v < 4; v++)
			does(v, WINDOW / 20, WINDOW / 20 * 19, 0);
		if (!all_together(4))
			step();
	}
	assert_true(all_together(4));
}

static void test_no_more_moves_than_asked_for(void **state)
{
	struct place_move moves[2];
	struct place_window w = {1, 8, 8, rig.cpus, rig.vcpus};

	set_up(8, 1, 8, true);
	for (unsigned i = 0; i < 5; i++) {
		share(8, WINDOW / 50);
		w.now = i + 1;
		assert_true(place_step(rig.p, &w, moves, 2) <= 2);
	}
}

static uint64_t seed;

static uint32_t dice(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 32);
}

/* Mostly what could be, sometimes anything. */
static uint32_t wild(uint32_t below)
{
	return dice() % 16 ? dice() % below : dice();
}

static void any_counters(unsigned cpus, unsigned vcpus)
{
	for (unsigned c = 0; c < cpus; c++) {
		rig.cpus[c].node = (uint16_t)wild(PLACE_NODES);
		rig.cpus[c].weight = (uint16_t)(dice() % 8 ? wild(4 * PLACE_ONE) : 0);
		rig.cpus[c].idle_us = wild(WINDOW + 1);
	}
	for (unsigned v = 0; v < vcpus; v++) {
		struct place_vcpu *o = &rig.vcpus[v];

		does(v, wild(WINDOW), wild(WINDOW), wild(WINDOW));
		o->wakeups = wild(1000);
		o->set_pages = wild(1000);
		o->since = wild(rig.now + 1);
		o->cpu = (uint16_t)wild(cpus);
		for (unsigned n = 0; n < PLACE_NODES; n++)
			o->asked[n] = dice() % 4 ? 0 : wild(500);
	}
}

static void check_moves(const struct place_move *moves, unsigned count, unsigned cpus,
			unsigned vcpus)
{
	bool seen[PLACE_VCPUS] = {false};

	for (unsigned i = 0; i < count; i++) {
		assert_true(moves[i].vcpu < vcpus && moves[i].cpu < cpus);
		assert_false(seen[moves[i].vcpu]);
		seen[moves[i].vcpu] = true;
		assert_int_not_equal(moves[i].cpu, rig.vcpus[moves[i].vcpu].cpu);
		assert_true(rig.cpus[moves[i].cpu].weight != 0);
		assert_true(rig.cpus[moves[i].cpu].node < PLACE_NODES);
		assert_string_not_equal(place_why_name(moves[i].why), "unknown");
	}
}

/* Whatever the counters, moves are valid, and the same counters give the same moves. */
static void test_any_counters_give_valid_moves(void **state)
{
	static struct place_move twin_moves[PLACE_VCPUS];
	struct place *twin = place_init(malloc(place_bytes()), &ordinary);
	unsigned total = 0;

	seed = 1;
	set_up(1, 1, 1, false);
	for (unsigned i = 0; i < 400; i++) {
		unsigned cpus = i % 40 ? 1 + dice() % 60 : PLACE_CPUS;
		unsigned vcpus = i % 40 ? 1 + dice() % 60 : PLACE_VCPUS;
		struct place_window w = {++rig.now, cpus, vcpus, rig.cpus, rig.vcpus};

		any_counters(cpus, vcpus);
		rig.count = place_step(rig.p, &w, rig.moves, PLACE_VCPUS);
		check_moves(rig.moves, rig.count, cpus, vcpus);
		total += rig.count;
		assert_int_equal(place_step(twin, &w, twin_moves, PLACE_VCPUS), rig.count);
		for (unsigned k = 0; k < rig.count; k++) {
			assert_int_equal(twin_moves[k].vcpu, rig.moves[k].vcpu);
			assert_int_equal(twin_moves[k].cpu, rig.moves[k].cpu);
		}
	}
	assert_true(total > 100);
	free(twin);
}

/* Counters that stay as bad as they were, wherever a vCPU goes: it gives up going. */
static void test_nothing_moves_for_ever(void **state)
{
	for (seed = 1; seed < 20; seed++) {
		unsigned late[16] = {0};

		set_up(4, 2, 16, seed % 2);
		for (unsigned v = 0; v < 16; v++) {
			uint32_t run = dice() % WINDOW, stalled = dice() % (WINDOW - run);

			does(v, run, stalled, dice() % 2 ? WINDOW - run - stalled : 0);
			for (unsigned n = 0; n < 4; n++)
				rig.vcpus[v].asked[n] = dice() % 300;
		}
		for (unsigned i = 0; i < 6000; i++) {
			unsigned before[16];

			for (unsigned v = 0; v < 16; v++)
				before[v] = node_of(v);
			step();
			for (unsigned v = 0; v < 16 && i >= 3600; v++)
				late[v] += node_of(v) != before[v];
		}
		/* Two minutes: no more than six moves in each. */
		for (unsigned v = 0; v < 16; v++)
			assert_in_range(late[v], 0, 12);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_who_computes_alone_stays, tear_down),
		cmocka_unit_test_teardown(test_a_pair_meets, tear_down),
		cmocka_unit_test_teardown(test_a_group_meets, tear_down),
		cmocka_unit_test_teardown(test_who_does_more_apart_stays, tear_down),
		cmocka_unit_test_teardown(test_one_goes_where_its_pages_are, tear_down),
		cmocka_unit_test_teardown(test_a_moment_is_not_enough, tear_down),
		cmocka_unit_test_teardown(test_sleepers_go_to_the_den, tear_down),
		cmocka_unit_test_teardown(test_a_full_den_takes_nobody, tear_down),
		cmocka_unit_test_teardown(test_a_crowd_spreads, tear_down),
		cmocka_unit_test_teardown(test_its_own_node_comes_first, tear_down),
		cmocka_unit_test_teardown(test_what_does_not_pay_is_tried_ever_more_rarely,
					  tear_down),
		cmocka_unit_test_teardown(test_who_is_drawn_everywhere_calms_down, tear_down),
		cmocka_unit_test_teardown(test_a_probe_ends_soon, tear_down),
		cmocka_unit_test_teardown(test_another_habit_ends_the_quiet, tear_down),
		cmocka_unit_test_teardown(test_pages_that_follow_are_not_sharing, tear_down),
		cmocka_unit_test_teardown(test_the_faster_pcpu_is_taken, tear_down),
		cmocka_unit_test_teardown(test_nobody_is_made_slower, tear_down),
		cmocka_unit_test_teardown(test_who_is_refused_waits, tear_down),
		cmocka_unit_test_teardown(test_the_floor_holds_without_reasons, tear_down),
		cmocka_unit_test_teardown(test_no_more_moves_than_asked_for, tear_down),
		cmocka_unit_test_teardown(test_any_counters_give_valid_moves, tear_down),
		cmocka_unit_test_teardown(test_nothing_moves_for_ever, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
