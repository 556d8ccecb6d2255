/* Two stations on one wire. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/transport/station.h"

#define BEAT (50 * NS_PER_MS)
#define LOST (500 * NS_PER_MS)

static struct station stations[2];
static struct xport_peer peers[2][2];
static struct xport_buf pools[2][4];
static unsigned messages[2];

static void setup(uint64_t now)
{
	memset(messages, 0, sizeof(messages));
	for (unsigned i = 0; i < 2; i++) {
		struct cluster_config c = {.name = "lab",
					   .mac = {2, 0, 0, 0, 0, (uint8_t)(i + 1)},
					   .nodes = 2,
					   .cpus = 1,
					   .tsc_khz = 1000000,
					   .tsc_invariant = true,
					   .life = i + 1,
					   .beat_ns = BEAT,
					   .lost_ns = LOST};

		station_init(&stations[i], &c, WIRE_MTU, peers[i], 2, pools[i], 4, now);
	}
}

static void take(unsigned i, uint64_t now)
{
	struct station_event e;

	while (station_poll(&stations[i], now, &e))
		messages[i] += e.kind == STATION_WIRE && e.wire.kind == XPORT_MSG;
}

/* Everything that is due goes over, the receiver reading its clock `ahead` ns later than the sender. */
static void exchange(uint64_t now, uint64_t ahead)
{
	static uint8_t frame[WIRE_ETH + WIRE_MTU];
	bool moved = true;

	while (moved) {
		moved = false;
		for (unsigned i = 0; i < 2; i++) {
			station_heard(&stations[i], now);

			size_t len = station_tx(&stations[i], now, frame);

			if (len == 0)
				continue;
			moved = true;
			station_rx(&stations[!i], now + ahead, frame, len);
			take(!i, now + ahead);
		}
		take(0, now);
		take(1, now);
	}
}

static uint64_t run(uint64_t now, uint64_t length, uint64_t ahead)
{
	uint64_t end = now + length;

	for (; now < end; now += NS_PER_MS)
		exchange(now, ahead);
	return now;
}

static void nodes_join_and_talk(void **state)
{
	struct xport_part part = {"hello", 5};
	uint64_t now = NS_PER_S;

	setup(now);
	now = run(now, NS_PER_S, 0);
	assert_true(stations[0].cluster.up && stations[1].cluster.up);
	assert_int_equal(xport_send(&stations[0].xport, now, 1, WIRE_URGENT, &part, 1), 0);
	run(now, 10 * NS_PER_MS, 0);
	assert_int_equal(messages[1], 1);
}

/* CPUs that take turns may read their clocks a little apart: nobody is lost for that. */
static void time_may_step_back(void **state)
{
	uint64_t now = NS_PER_S;

	setup(now);
	now = run(now, NS_PER_S, 0);
	run(now, 3 * NS_PER_S, NS_PER_US);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(stations[i].cluster.state, CLUSTER_RUNNING);
}

static void silence_is_a_loss(void **state)
{
	static uint8_t frame[WIRE_ETH + WIRE_MTU];
	uint64_t now = NS_PER_S;

	setup(now);
	now = run(now, NS_PER_S, 0) + LOST + 2 * BEAT;
	station_heard(&stations[0], now);
	while (station_tx(&stations[0], now, frame) > 0)
		take(0, now);
	assert_int_equal(stations[0].cluster.state, CLUSTER_STOPPED);
}

/* A frame as node 1 might send it to node 0, with these session ids. */
static void forge(uint64_t now, enum wire_kind kind, uint32_t src_id, uint32_t dst_id)
{
	uint8_t frame[WIRE_ETH + WIRE_MTU] = {0};
	struct wire_head *head = (struct wire_head *)(frame + WIRE_ETH);
	const struct cluster *c = &stations[0].cluster;
	size_t body = sizeof(struct wire_session);

	head->kind = (uint8_t)kind;
	head->cluster = wire_cluster_hash("lab");
	head->src_id = src_id;
	head->dst_id = dst_id;
	head->src = 1;
	if (kind == WIRE_OPEN || kind == WIRE_OPEN_ACK) {
		((struct wire_open *)(head + 1))->mtu = WIRE_MTU;
		body = sizeof(struct wire_open);
	}
	station_rx(&stations[0], now, frame,
		   wire_seal(frame, c->config.mac, c->members[1].mac, body));
	take(0, now);
}

/* What node 0 does when only such frames come, and what it sends goes nowhere. */
static enum cluster_state after(uint64_t now, uint64_t length, void (*frames)(uint64_t now))
{
	static uint8_t frame[WIRE_ETH + WIRE_MTU];

	for (uint64_t end = now + length; now < end; now += NS_PER_MS) {
		frames(now);
		station_heard(&stations[0], now);
		while (station_tx(&stations[0], now, frame) > 0)
			;
		take(0, now);
	}
	return stations[0].cluster.state;
}

static void of_a_stranger(uint64_t now)
{
	static const uint8_t kinds[] = {WIRE_OPEN, WIRE_OPEN_ACK, WIRE_DATA,
					WIRE_ACK,  WIRE_PROBE,    0};
	const struct xport_peer *p = &stations[0].peers[1];

	for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
		forge(now, kinds[i], 77, 99);
		forge(now, kinds[i], 77, p->local_id);
		forge(now, kinds[i], p->remote_id, 99);
		forge(now, kinds[i], p->remote_id, 0);
	}
}

static void of_the_session(uint64_t now)
{
	forge(now, WIRE_ACK, stations[0].peers[1].remote_id, stations[0].peers[1].local_id);
}

/* Frames of the right cluster, node and MAC with ids that nobody has drawn. */
static void strangers_keep_no_dead_node_alive(void **state)
{
	uint64_t now = NS_PER_S;

	setup(now);
	now = run(now, NS_PER_S, 0);
	assert_int_equal(after(now, 3 * LOST, of_the_session), CLUSTER_RUNNING);
	now += 3 * LOST;
	assert_int_equal(after(now, LOST - 2 * BEAT, of_a_stranger), CLUSTER_RUNNING);
	now += LOST - 2 * BEAT;
	assert_int_equal(after(now, 4 * BEAT, of_a_stranger), CLUSTER_STOPPED);
}

static uint8_t old_beat[WIRE_ETH + WIRE_MTU];
static size_t old_len;

static void the_old_beat(uint64_t now)
{
	station_rx(&stations[0], now, old_beat, old_len);
}

static void a_beat_that_comes_again_is_none(void **state)
{
	uint64_t now = NS_PER_S;

	setup(now);
	now = run(now, NS_PER_S, 0) + BEAT;
	do {
		old_len = station_tx(&stations[1], now, old_beat);
		assert_true(old_len > 0);
	} while (((struct wire_head *)(old_beat + WIRE_ETH))->kind != WIRE_BEAT);
	assert_int_equal(after(now, LOST, the_old_beat), CLUSTER_RUNNING);
	assert_int_equal(after(now + LOST, 2 * BEAT, the_old_beat), CLUSTER_STOPPED);
}

/* Who sends has not looked at what waits to be received. */
static void sending_judges_nobody(void **state)
{
	static uint8_t frame[WIRE_ETH + WIRE_MTU];
	uint64_t now = NS_PER_S;

	setup(now);
	now = run(now, NS_PER_S, 0) + 2 * LOST;
	while (station_tx(&stations[0], now, frame) > 0)
		take(0, now);
	assert_int_equal(stations[0].cluster.state, CLUSTER_RUNNING);
	/* A beat of node 1's was waiting. */
	assert_true(station_tx(&stations[1], now, frame) > 0);
	station_rx(&stations[0], now, frame, sizeof(frame));
	station_heard(&stations[0], now);
	assert_int_equal(stations[0].cluster.state, CLUSTER_RUNNING);
	station_heard(&stations[0], now + LOST + 1);
	assert_int_equal(stations[0].cluster.state, CLUSTER_STOPPED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_join_and_talk),
		cmocka_unit_test(time_may_step_back),
		cmocka_unit_test(silence_is_a_loss),
		cmocka_unit_test(strangers_keep_no_dead_node_alive),
		cmocka_unit_test(a_beat_that_comes_again_is_none),
		cmocka_unit_test(sending_judges_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
