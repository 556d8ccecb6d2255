/*
 * A node on a fake card against a station on the other end of the cable: whose silence is judged, and when.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/node/netnode.h"
#include "tests/host/fake_nic.h"

#define BEAT (50 * NS_PER_MS)
#define LOST (500 * NS_PER_MS)
#define HELD 64

static struct fake_nic fake;
static struct netnode node;
static uint64_t now = NS_PER_S;
static unsigned messages, ups;
static char ended[320];

/* The other end. */
static struct station other;
static struct xport_peer peers[2];
static struct xport_buf pool[4];
/* Frames on their way to it. */
static uint8_t held[HELD][WIRE_ETH + WIRE_MTU];
static uint16_t held_len[HELD];
static unsigned held_count;

static uint64_t the_clock(void)
{
	return now;
}

static void on_cluster(void *ctx, uint64_t at, const struct cluster_event *e)
{
	assert_ptr_equal(ctx, &fake);
	ups += e->kind == CLUSTER_UP;
	if (e->kind == CLUSTER_LOST)
		memcpy(ended, e->text, sizeof(ended));
}

static void on_transport(void *ctx, uint64_t at, const struct xport_event *e)
{
	messages += e->kind == XPORT_MSG;
}

static void on_sent(const uint8_t *frame, uint16_t len)
{
	if ((frame[12] << 8 | frame[13]) != WIRE_ETHERTYPE || held_count == HELD)
		return;
	memcpy(held[held_count], frame, len);
	held_len[held_count++] = len;
}

static struct cluster_config config(void)
{
	return (struct cluster_config){.name = "lab",
				       .nodes = 2,
				       .cpus = 1,
				       .tsc_khz = 1000000,
				       .tsc_invariant = true,
				       .life = 7,
				       .beat_ns = BEAT,
				       .lost_ns = LOST};
}

static void other_start(void)
{
	struct cluster_config c = config();

	c.mac[0] = 2;
	station_init(&other, &c, WIRE_MTU, peers, 2, pool, 4, now);
}

/* What the other end has to say goes into the card's ring. */
static void other_speaks(void)
{
	static uint8_t frame[WIRE_ETH + WIRE_MTU];
	size_t len;

	while ((len = station_tx(&other, now, frame)) > 0)
		assert_true(fake_rx(&fake, frame, (uint16_t)len));
}

static void other_hears(void)
{
	struct station_event e;

	for (unsigned i = 0; i < held_count; i++) {
		station_rx(&other, now, held[i], held_len[i]);
		while (station_poll(&other, now, &e))
			;
	}
	held_count = 0;
}

static void run(uint64_t length)
{
	for (uint64_t end = now + length; now < end; now += NS_PER_MS) {
		other_speaks();
		netnode_poll(&node, now);
		other_hears();
	}
}

static enum cluster_state state(void)
{
	return node.station.cluster.state;
}

static void starts_and_finds_the_other(void **ctx)
{
	size_t size = netnode_memory(2, NIC_MTU);
	void *arena = aligned_alloc(PAGE_SIZE, align_up(size, PAGE_SIZE));
	struct netnode_config c = {.cluster = config(),
				   .ip = {.address = 0x0a000002, .mask = 0xffffff00},
				   .clock = the_clock,
				   .mtu = NIC_MTU,
				   .seed = 1,
				   .on_cluster = on_cluster,
				   .on_transport = on_transport,
				   .ctx = &fake};
	struct why why = {""};

	fake_e1000(&fake, 0x100e, arena, size);
	fake.on_sent = on_sent;
	assert_int_equal(netnode_start(&node, &fake.hw, &c, arena, size, now, &why), 0);
	other_start();
	run(NS_PER_S);
	assert_int_equal(ups, 1);
	assert_int_equal(state(), CLUSTER_RUNNING);
}

static void what_it_is_sent_comes_out(void **ctx)
{
	struct xport_part part = {"hello", 5};

	assert_int_equal(
		xport_send(&other.xport, now, 1 - other.cluster.self, WIRE_URGENT, &part, 1), 0);
	run(10 * NS_PER_MS);
	assert_int_equal(messages, 1);
}

static const uint8_t stray[WIRE_MIN] = {2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8, 0x12, 0x34};

/* Nobody looked for long, and good frames wait, behind more of others' than one poll takes. */
static void frames_that_wait_are_heard_first(void **ctx)
{
	for (unsigned i = 0; i < 50; i++)
		assert_true(fake_rx(&fake, stray, sizeof(stray)));
	for (unsigned i = 0; i < 50; i++) {
		now += LOST / 20;
		other_speaks();
	}
	netnode_send(&node, now);
	assert_int_equal(state(), CLUSTER_RUNNING);
	while (netnode_poll(&node, now)) {
		assert_int_equal(state(), CLUSTER_RUNNING);
		other_hears();
	}
	run(2 * LOST);
	assert_int_equal(state(), CLUSTER_RUNNING);
}

/* A ring that others keep full hides no dead node. */
static void a_full_ring_hides_nobody(void **ctx)
{
	uint64_t died = now;

	while (state() == CLUSTER_RUNNING) {
		while (fake_rx(&fake, stray, sizeof(stray)))
			;
		netnode_poll(&node, now);
		now += NS_PER_MS;
		assert_true(now - died < LOST + 2 * BEAT);
	}
	assert_true(now - died > LOST - 2 * BEAT);
	assert_non_null(strstr(ended, "was lost: nothing heard for 50"));
}

static void who_stops_says_so_at_once(void **ctx)
{
	unsigned stops = 0;

	held_count = 0;
	node.station.cluster.state = CLUSTER_RUNNING;
	node.station.cluster.lost_due = 0;
	netnode_stop(&node, now, "the test is over");
	for (unsigned i = 0; i < held_count; i++) {
		const struct wire_head *head = (const void *)(held[i] + WIRE_ETH);

		stops += head->kind == WIRE_STOP;
	}
	assert_true(stops > 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_and_finds_the_other),
		cmocka_unit_test(what_it_is_sent_comes_out),
		cmocka_unit_test(frames_that_wait_are_heard_first),
		cmocka_unit_test(a_full_ring_hides_nobody),
		cmocka_unit_test(who_stops_says_so_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
