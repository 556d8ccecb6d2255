/*
 * Cluster formation: many simulated nodes on one Ethernet that loses, doubles, delays and damages
 * frames. `test_cluster COUNT [SEED]` runs as many seeded schedules.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/host/cluster_lab.h"

#define SHORT_RUN 30

static void schedule_faults(void)
{
	lab_faults.drop = (unsigned)lab_rng(301);
	lab_faults.dup = (unsigned)lab_rng(200);
	lab_faults.corrupt = (unsigned)lab_rng(100);
	lab_faults.latency = 1000 + lab_rng(5 * NS_PER_MS);
}

/* A cluster and one of another name beside it, some reboots while it forms, maybe one node too many. */
static void schedule_run(uint64_t seed)
{
	unsigned expected, others, extra, guests = 0, named;
	bool restarted = false;

	lab_reset(seed);
	schedule_faults();
	expected = 1 + (unsigned)lab_rng(7);
	others = lab_rng(3) ? 0 : 2;
	extra = others == 0 && expected > 1 && lab_rng(4) == 0;
	named = lab_rng(3) ? NODES : (unsigned)lab_rng(expected);
	for (unsigned i = 0; i < expected + extra; i++) {
		struct node *n = lab_node(expected);

		n->start_at += lab_rng(2 * NS_PER_S);
		n->config.has_guest = lab_rng(3) == 0;
		guests += n->config.has_guest;
		n->config.features[1] |= (uint32_t)lab_rng(16);
		if (named != NODES)
			n->config.head[0] = 2, n->config.head[5] = (uint8_t)((named + 1) * 3);
	}
	for (unsigned i = 0; i < others; i++)
		strcpy(lab_node(2)->config.name, "barn");
	lab_run(now + 2 * NS_PER_S);
	if (lab_rng(3) == 0 && extra == 0) {
		/* One restarts while the others may be anywhere between seeking and running. */
		struct node *n = &nodes[lab_rng(expected)];

		if (!n->c.up && n->on) {
			restarted = true;
			lab_boot(n);
		}
	}
	lab_run(now + 20 * NS_PER_S);
	for (unsigned i = 0; i < node_count; i++) {
		struct node *n = &nodes[i];

		/* A restart that fell into the start stops the cluster with a name, or is refused. */
		if (restarted && (n->losts > 0 || n->refused[0]))
			return;
	}
	CHECK(check_agreement("lab") == expected);
	CHECK(check_agreement("barn") == others);
	for (unsigned i = 0; i < expected + extra; i++) {
		const struct cluster *c = &nodes[i].c;
		const struct node *head = NULL;

		if (!c->up) {
			CHECK(extra && strstr(nodes[i].refused, "comes too late"));
			continue;
		}
		for (unsigned k = 0; k < node_count; k++) {
			if (memcmp(nodes[k].config.mac, c->members[c->head].mac, WIRE_MAC) == 0)
				head = &nodes[k];
		}
		if (named != NODES)
			CHECK(head == &nodes[named]);
		else if (guests > 0 && !extra)
			CHECK(head->config.has_guest);
		else if (!extra)
			CHECK(head == &nodes[0]);
	}
}

static void forms_under_faults(void **state)
{
	for (uint64_t seed = 1; seed <= SHORT_RUN; seed++)
		schedule_run(seed);
}

static void a_killed_node_is_named_by_all(void **state)
{
	for (uint64_t seed = 1; seed <= 5; seed++) {
		unsigned victim;
		uint64_t killed;

		lab_reset(seed);
		lab_faults.drop = (unsigned)lab_rng(100);
		for (unsigned i = 0; i < 5; i++)
			lab_node(5);
		lab_run(now + 5 * NS_PER_S);
		CHECK(check_agreement("lab") == 5);
		victim = (unsigned)lab_rng(5);
		nodes[victim].on = false;
		killed = now;
		lab_run(now + 3 * NS_PER_S);
		for (unsigned i = 0; i < 5; i++) {
			if (i == victim)
				continue;
			CHECK(nodes[i].losts == 1);
			CHECK(nodes[i].lost_node == nodes[victim].c.self);
			CHECK(nodes[i].lost_at - killed <=
			      LOST + 2 * BEAT + lab_faults.latency * 4);
			CHECK(nodes[i].c.state == CLUSTER_STOPPED);
		}
	}
}

static void a_partition_stops_both_sides(void **state)
{
	lab_reset(5);
	for (unsigned i = 0; i < 4; i++)
		lab_node(4);
	lab_run(now + 5 * NS_PER_S);
	CHECK(check_agreement("lab") == 4);
	lab_faults.drop = 1000;
	lab_run(now + 3 * NS_PER_S);
	for (unsigned i = 0; i < 4; i++)
		CHECK(nodes[i].c.state == CLUSTER_STOPPED && nodes[i].losts == 1);
}

/* Two nodes that fit and one that does not, which comes first or last. */
static struct node *trio(bool last)
{
	struct node *odd;

	lab_reset(7);
	lab_node(2);
	lab_node(2);
	odd = lab_node(2);
	if (last)
		odd->start_at += 3 * NS_PER_S;
	return odd;
}

static void expect_refusal(struct node *odd, const char *sentence)
{
	char theirs[300], ours[300];

	lab_run(now + 8 * NS_PER_S);
	CHECK(check_agreement("lab") == 2);
	snprintf(theirs, sizeof(theirs),
		 "node 02:00:00:00:00:03 of cluster 'lab' refuses this node: it %s", sentence);
	snprintf(ours, sizeof(ours), "node 02:00:00:00:00:%02x is refused: it %s",
		 odd->config.mac[5], sentence);
	assert_string_equal(odd->refused, theirs);
	assert_string_equal(nodes[0].refuses, ours);
	assert_int_equal(nodes[0].refusals, 1);
	assert_int_equal(odd->c.state, CLUSTER_STOPPED);
	assert_int_equal(nodes[0].c.state, CLUSTER_RUNNING);
}

static const char *feature_name(unsigned bit)
{
	switch (bit) {
	case 2:
		return "SSE2";
	case WIRE_VENDOR * 32:
		return "Intel";
	case WIRE_VENDOR * 32 + 4:
		return "another vendor";
	}
	return NULL;
}

/* Also with the longest names the sentence is whole. */
static void vendors_do_not_mix(void **state)
{
	static const struct {
		uint32_t word;
		const char *name;
	} rows[] = {{2, "feature 225"}, {16, "another vendor"}, {0, "unknown vendor"}};
	char sentence[WIRE_TEXT + 1];

	for (unsigned i = 0; i < 2 * ARRAY_LEN(rows); i++) {
		struct node *odd = trio(i % 2);

		nodes[0].config.features[WIRE_VENDOR] = nodes[1].config.features[WIRE_VENDOR] = 1;
		nodes[0].config.feature_name = feature_name;
		odd->config.features[WIRE_VENDOR] = rows[i / 2].word;
		snprintf(sentence, sizeof(sentence),
			 "has a CPU of %s, the cluster of Intel; the guest would notice by CPUID's "
			 "vendor and model, VMCALL and SYSCALL; take nodes of one vendor",
			 rows[i / 2].name);
		assert_in_range(strlen(sentence), 1, WIRE_TEXT - 1);
		expect_refusal(odd, sentence);
	}
}

static void misfits_are_told_why(void **state)
{
	for (unsigned last = 0; last < 2; last++) {
		struct node *odd = trio(last);

		odd->other_version = true;
		expect_refusal(odd, "speaks protocol version 3, the cluster 2; "
				    "boot the same Amalgam on every node");
		odd = trio(last);
		odd->config.nodes = 3;
		expect_refusal(odd, "expects 3 nodes, the cluster 2; "
				    "give every node the same nodes= option");
		odd = trio(last);
		odd->config.head[5] = 9;
		expect_refusal(odd, "names head 00:00:00:00:00:09, the cluster none; "
				    "give every node the same head= option");
		odd = trio(last);
		odd->config.tsc_invariant = false;
		expect_refusal(odd, "has no invariant TSC, so the nodes can't keep one time");
		odd = trio(last);
		odd->config.tsc_khz = 2100000;
		expect_refusal(odd, "has a TSC of 2100000 kHz, the cluster one of 2000000; "
				    "they may differ by 1 percent");
		odd = trio(last);
		nodes[0].config.needs[0] = nodes[1].config.needs[0] = 4;
		nodes[0].config.feature_name = feature_name;
		odd->config.features[0] = 0xfb;
		expect_refusal(odd, "has a CPU without SSE2, which the cluster needs; "
				    "take another machine or another guest");
	}
}

static void one_too_many_is_told(void **state)
{
	expect_refusal(trio(true), "comes too late: all 2 nodes of the cluster are there already");
}

static void equal_macs_are_told_on_both_sides(void **state)
{
	lab_reset(9);
	lab_node(2);
	lab_node(2);
	nodes[1].config.mac[5] = nodes[0].config.mac[5];
	lab_run(now + 2 * NS_PER_S);
	for (unsigned i = 0; i < 2; i++) {
		assert_non_null(strstr(nodes[i].refuses, "has the MAC address of another node"));
		assert_int_equal(nodes[i].c.state, CLUSTER_STOPPED);
	}
}

/* One node has accepted long ago, the other hears of no offer for a while. */
static void who_has_accepted_waits_for_the_others(void **state)
{
	lab_reset(4);
	for (unsigned i = 0; i < 3; i++)
		lab_node(3);
	nodes[2].deaf = true;
	lab_run(now + 3 * LOST);
	assert_int_equal(nodes[1].c.state, CLUSTER_JOINING);
	assert_string_equal(nodes[1].note, "");
	nodes[2].deaf = false;
	lab_run(now + LOST);
	assert_int_equal(check_agreement("lab"), 3);
}

static void who_is_missing_can_be_told(void **state)
{
	lab_reset(3);
	lab_node(4);
	lab_node(4);
	lab_node(4);
	lab_node(3);
	lab_run(now + 2 * NS_PER_S);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(cluster_found(&nodes[i].c), 3);
}

static void a_cluster_of_one_runs_at_once(void **state)
{
	lab_reset(1);
	lab_node(1);
	lab_run(now);
	assert_int_equal(nodes[0].ups, 1);
}

/* Clocks of known offset and drift, and a path with random and lopsided delays. */
static void clock_bound_holds(void **state)
{
	for (uint64_t seed = 1; seed <= 50; seed++) {
		int64_t offset = (int64_t)(seed * 1234567891011ull), ppb;
		struct clock_peer c;
		uint64_t t = NS_PER_S, worst = 0;

		lab_rng_state = seed;
		ppb = (int64_t)lab_rng(360000) - 180000;
		clock_init(&c);
		for (unsigned i = 0; i < 1200; i++) {
			uint64_t go = 20000 + lab_rng(10) * lab_rng(100000),
				 back = 25000 + lab_rng(10) * lab_rng(100000);
			uint64_t hold = 1000 + lab_rng(100000), t1, error, at;
			int64_t estimate, truth;

#define THEIRS(x) ((x) + (uint64_t)(offset + (int64_t)(x) / 1000000 * ppb / 1000))
			t += 100 * NS_PER_MS + lab_rng(NS_PER_MS);
			t1 = t;
			clock_sample(&c, t1, THEIRS(t1 + go), THEIRS(t1 + go + hold),
				     t1 + go + hold + back);
			at = t1 + go + hold + back + lab_rng(100 * NS_PER_MS);
			CHECK(clock_offset(&c, at, &estimate, &error));
			truth = (int64_t)(THEIRS(at) - at);
			/* THEIRS rounds to microseconds' worth of drift. */
			CHECK(llabs(estimate - truth) <= (int64_t)error + 1000);
			if (i > 600)
				worst = MAX(worst, error);
		}
		/* Half the shortest round trip, 22 500 ns, seen by one exchange in a hundred. */
		CHECK(worst < 4 * 22500);
		CHECK(c.rejected == 0);
	}
}

static void clock_rejects_nonsense(void **state)
{
	struct clock_peer c;
	int64_t offset;
	uint64_t error;

	clock_init(&c);
	assert_false(clock_offset(&c, 5, &offset, &error));
	clock_sample(&c, 100, 50, 40, 200);
	clock_sample(&c, 200, 50, 60, 100);
	clock_sample(&c, 100, 50, 5000, 200);
	assert_int_equal(c.rejected, 3);
	assert_false(clock_offset(&c, 5, &offset, &error));
}

/* An emulated clock that stands still for a while: the bound is wrong until the next exchange only. */
static void a_clock_that_jumps_is_noticed(void **state)
{
	struct clock_peer c;
	uint64_t t = NS_PER_S, error;
	int64_t offset;

	clock_init(&c);
	for (unsigned i = 0; i < 200; i++) {
		uint64_t theirs = t + 5000000 + (i >= 100 ? 30 * NS_PER_MS : 0);

		clock_sample(&c, t, theirs + 10000, theirs + 20000, t + 30000);
		assert_true(clock_offset(&c, t + 30000, &offset, &error));
		assert_true(llabs(offset - (int64_t)(theirs - t)) <= (int64_t)error);
		t += 100 * NS_PER_MS;
	}
	assert_int_equal(c.jumps, 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cluster_of_one_runs_at_once),
		cmocka_unit_test(forms_under_faults),
		cmocka_unit_test(a_killed_node_is_named_by_all),
		cmocka_unit_test(a_partition_stops_both_sides),
		cmocka_unit_test(misfits_are_told_why),
		cmocka_unit_test(vendors_do_not_mix),
		cmocka_unit_test(one_too_many_is_told),
		cmocka_unit_test(equal_macs_are_told_on_both_sides),
		cmocka_unit_test(who_has_accepted_waits_for_the_others),
		cmocka_unit_test(who_is_missing_can_be_told),
		cmocka_unit_test(clock_bound_holds),
		cmocka_unit_test(clock_rejects_nonsense),
		cmocka_unit_test(a_clock_that_jumps_is_noticed),
	};

	if (argc > 1) {
		uint64_t count = strtoull(argv[1], NULL, 0),
			 first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;

		for (uint64_t i = 0; i < count; i++)
			schedule_run(first + i);
		printf("%llu formations\n", (unsigned long long)count);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
