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
	while (station_tx(&stations[0], now, frame) > 0)
		take(0, now);
	assert_int_equal(stations[0].cluster.state, CLUSTER_STOPPED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_join_and_talk),
		cmocka_unit_test(time_may_step_back),
		cmocka_unit_test(silence_is_a_loss),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
