/* What cluster formation believes: frames of strangers, offers, and a node's own word that it stops. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/host/cluster_lab.h"

/* A frame of formation that no node has sent, as from this MAC and number. */
static void forge(unsigned to, const uint8_t mac[WIRE_MAC], unsigned src, unsigned dst,
		  enum wire_kind kind, const void *body, size_t len)
{
	uint8_t frame[WIRE_ETH + WIRE_MTU] = {0};
	struct wire_head *head = (struct wire_head *)(frame + WIRE_ETH);

	head->kind = (uint8_t)kind;
	head->cluster = wire_cluster_hash("lab");
	head->src = (uint16_t)src;
	head->dst = (uint16_t)dst;
	memcpy(head + 1, body, len);
	cluster_rx(&nodes[to].c, now, frame, wire_seal(frame, nodes[to].config.mac, mac, len));
	lab_events(&nodes[to]);
}

static const uint8_t stranger[WIRE_MAC] = {2, 9, 9, 9, 9, 9};

static void a_stranger_ends_no_cluster(void **state)
{
	struct wire_lost lost = {.node = 1, .text = "node 1 was lost"};
	struct wire_stop stop = {.text = "I am node 1 and stop"};
	struct wire_vote vote;

	lab_reset(11);
	lab_node(3);
	lab_node(3);
	lab_node(3);
	lab_run(now + 2 * NS_PER_S);
	CHECK(check_agreement("lab") == 3);
	lost.epoch = stop.epoch = vote.epoch = nodes[0].c.epoch;
	stop.life = vote.life = nodes[1].config.life;
	forge(0, stranger, 1, WIRE_NOBODY, WIRE_LOST, &lost, sizeof(lost));
	forge(0, stranger, 1, WIRE_NOBODY, WIRE_STOP, &stop, sizeof(stop));
	stop.life++;
	forge(0, nodes[1].config.mac, 1, WIRE_NOBODY, WIRE_STOP, &stop, sizeof(stop));
	forge(0, nodes[1].config.mac, 1, 0, WIRE_ABORT, &vote, sizeof(vote));
	assert_int_equal(nodes[0].c.state, CLUSTER_RUNNING);
	lost.epoch++;
	forge(0, nodes[1].config.mac, 1, WIRE_NOBODY, WIRE_LOST, &lost, sizeof(lost));
	assert_int_equal(nodes[0].c.state, CLUSTER_RUNNING);
	lost.epoch--;
	forge(0, nodes[1].config.mac, 1, WIRE_NOBODY, WIRE_LOST, &lost, sizeof(lost));
	assert_int_equal(nodes[0].c.state, CLUSTER_STOPPED);
}

static void who_refuses_has_said_hello(void **state)
{
	struct wire_refuse r = {.text = "is too slow"};

	lab_reset(12);
	lab_node(3);
	lab_node(3);
	lab_run(now + NS_PER_S);
	r.life = nodes[1].config.life;
	forge(1, stranger, WIRE_NOBODY, WIRE_NOBODY, WIRE_REFUSE, &r, sizeof(r));
	assert_int_equal(nodes[1].c.state, CLUSTER_SEEKING);
	forge(1, nodes[0].config.mac, WIRE_NOBODY, WIRE_NOBODY, WIRE_REFUSE, &r, sizeof(r));
	assert_int_equal(nodes[1].c.state, CLUSTER_STOPPED);
}

struct offer {
	struct wire_offer o;
	struct wire_member m[2];
};

static void member(struct wire_member *m, const struct node *n)
{
	memcpy(m->mac, n->config.mac, WIRE_MAC);
	m->cpus = n->config.cpus;
	m->life = n->config.life;
	m->ram = n->config.ram;
}

/* Node 1 hears node 0 and could be offered this by it. */
static struct offer good_offer(void)
{
	struct offer f = {
		.o = {.epoch = 5, .count = 2, .tsc_khz = 2000000, .features = {0xff, 0xf0}}};

	lab_reset(13);
	lab_node(2);
	lab_node(2);
	lab_run(now);
	nodes[0].on = false;
	lab_run(now + 10 * NS_PER_MS);
	assert_int_equal(nodes[1].c.state, CLUSTER_SEEKING);
	member(&f.m[0], &nodes[0]);
	member(&f.m[1], &nodes[1]);
	return f;
}

static enum cluster_state offered(const struct offer *f, const uint8_t mac[WIRE_MAC], unsigned dst)
{
	forge(1, mac, WIRE_NOBODY, dst, WIRE_OFFER, f, sizeof(*f));
	return nodes[1].c.state;
}

/* What it says of us is what we said, and what it says of all is no more than we have. */
static void an_offer_is_compared_with_what_is_known(void **state)
{
	const struct offer good = good_offer();
	const uint8_t *mac = nodes[0].config.mac;
	struct offer f;

#define REFUSES(change)                                                 \
	do {                                                            \
		f = good;                                               \
		change;                                                 \
		assert_int_equal(offered(&f, mac, 1), CLUSTER_SEEKING); \
	} while (0)
	REFUSES(f.m[1].cpus = 64);
	REFUSES(f.m[1].ram++);
	REFUSES(f.m[1].life++);
	REFUSES(f.m[0].cpus = 0);
	REFUSES(f.m[0].life++);
	REFUSES(f.m[0].ram = UINT64_MAX);
	REFUSES(memcpy(f.m[0].mac, f.m[1].mac, WIRE_MAC));
	REFUSES(f.o.features[0] = 0x1ff);
	REFUSES(f.o.features[7] = 1);
	REFUSES(f.o.tsc_khz = 0);
	REFUSES(f.o.head = 1);
	REFUSES(f.o.head = 2);
	REFUSES(f.o.count = 3);
	REFUSES(f.o.epoch = 0);
	assert_int_equal(offered(&good, stranger, 1), CLUSTER_SEEKING);
	assert_int_equal(offered(&good, mac, 0), CLUSTER_SEEKING);
	assert_int_equal(offered(&good, mac, 2), CLUSTER_SEEKING);
	assert_int_equal(offered(&good, mac, 1), CLUSTER_JOINING);
}

/* Whoever is on the network, and however many lives it has: the log stays readable. */
static void strangers_do_not_fill_the_log(void **state)
{
	struct wire_hello h = {.name = "lab", .nodes = 9, .cpus = 1, .life = 1};

	lab_reset(14);
	lab_node(2);
	lab_node(2);
	lab_run(now + NS_PER_S);
	for (unsigned i = 0; i < 5000; i++, h.life++) {
		forge(0, stranger, WIRE_NOBODY, WIRE_NOBODY, WIRE_HELLO, &h, sizeof(h));
		if (i % 100 == 0)
			lab_run(now + NS_PER_MS);
	}
	assert_in_range(nodes[0].refusals, 1, 64);
	assert_non_null(strstr(nodes[0].refuses, "; no more is said of others"));
	lab_run(now + NS_PER_S);
	CHECK(check_agreement("lab") == 2);
}

static void who_stops_says_why(void **state)
{
	static const char why[] = "too little RAM: the guest is to have 1244 MiB, "
				  "of which this node has to give 170, and it has 166 MiB free; "
				  "ask for less (mem=) or add RAM";
	uint64_t at;

	lab_reset(15);
	lab_faults.drop = 200;
	for (unsigned i = 0; i < 4; i++)
		lab_node(4);
	lab_run(now + 5 * NS_PER_S);
	CHECK(check_agreement("lab") == 4);
	cluster_stop(&nodes[2].c, why);
	at = now;
	lab_run(now + LOST / 2);
	for (unsigned i = 0; i < 4; i++) {
		const struct node *n = &nodes[i];

		assert_int_equal(n->c.state, CLUSTER_STOPPED);
		if (i == 2)
			continue;
		assert_int_equal(n->losts, 1);
		assert_int_equal(n->lost_node, nodes[2].c.self);
		assert_true(n->lost_at - at < BEAT);
		assert_non_null(strstr(n->lost, "stopped: too little RAM: the guest"));
	}
	/* Its own word is whole, what the others pass on may be cut. */
	assert_string_equal(nodes[0].lost + strlen(nodes[0].lost) - strlen(why), why);
}

static void who_stops_before_the_start_says_why(void **state)
{
	lab_reset(16);
	lab_node(3);
	lab_node(3);
	lab_run(now + NS_PER_S);
	assert_int_equal(cluster_found(&nodes[0].c), 2);
	cluster_stop(&nodes[1].c, "its disk is gone");
	lab_run(now + BEAT);
	assert_string_equal(nodes[0].note, "node 02:00:00:00:00:06 stopped: its disk is gone");
	assert_int_equal(cluster_found(&nodes[0].c), 1);
	/* The others form without it. */
	lab_node(3);
	lab_node(3);
	nodes[1].on = false;
	lab_run(now + 3 * NS_PER_S);
	CHECK(check_agreement("lab") == 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stranger_ends_no_cluster),
		cmocka_unit_test(who_refuses_has_said_hello),
		cmocka_unit_test(an_offer_is_compared_with_what_is_known),
		cmocka_unit_test(strangers_do_not_fill_the_log),
		cmocka_unit_test(who_stops_says_why),
		cmocka_unit_test(who_stops_before_the_start_says_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
