/* Queues before the transport: order, room, and that one peer's full queue is nobody else's. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/transport/outbox.h"

#define PEERS 3
#define BYTES 1000
#define OWED  300

/*
 * The transport: takes `credit` messages per peer and channel, each of which must be the next by its number.
 */
static struct {
	unsigned credit[PEERS][WIRE_CHANNELS];
	uint32_t got[PEERS][WIRE_CHANNELS];
	unsigned calls;
	int gone; /* this peer is no more; -1: all are there */
} wire;

static struct outbox box;
static void *memory;
static uint32_t sent[PEERS][WIRE_CHANNELS];
static uint16_t lengths[PEERS][WIRE_CHANNELS][1024]; /* of those sent last */

/* A message's bytes follow from its number. */
static uint8_t byte_of(uint32_t number, size_t i)
{
	return (uint8_t)(number * 7 + i);
}

static int transport(void *ctx, unsigned node, enum wire_channel channel,
		     const struct xport_part *parts, unsigned count)
{
	uint32_t number = wire.got[node][channel];
	size_t at = 0;

	assert_ptr_equal(ctx, &wire);
	wire.calls++;
	if ((int)node == wire.gone)
		return ERR_NOTFOUND;
	if (wire.credit[node][channel] == 0)
		return ERR_BUSY;
	wire.credit[node][channel]--;
	for (unsigned i = 0; i < count; i++) {
		for (size_t k = 0; k < parts[i].len; k++)
			assert_int_equal(((const uint8_t *)parts[i].data)[k],
					 byte_of(number, at++));
	}
	assert_int_equal(at, lengths[node][channel][number % 1024]);
	wire.got[node][channel]++;
	return 0;
}

static int setup(void **state)
{
	const struct outbox_config config = {.peers = PEERS,
					     .bytes = {BYTES, 3 * WIRE_MSG_MAX},
					     .owed = {OWED, WIRE_MSG_MAX},
					     .send = transport,
					     .ctx = &wire};

	memset(&wire, 0, sizeof(wire));
	memset(sent, 0, sizeof(sent));
	wire.gone = -1;
	free(memory);
	assert_int_equal(outbox_memory(&config), PEERS * (BYTES + 3 * WIRE_MSG_MAX));
	memory = malloc(outbox_memory(&config));
	outbox_init(&box, &config, memory);
	return 0;
}

/* In two parts, so that parts are put together. */
static int send(unsigned node, enum wire_channel channel, enum outbox_sender who, size_t len)
{
	uint8_t bytes[WIRE_MSG_MAX + 1];
	const struct xport_part parts[] = {{bytes, len / 3}, {bytes + len / 3, len - len / 3}};
	int err;

	for (size_t i = 0; i < len; i++)
		bytes[i] = byte_of(sent[node][channel], i);
	lengths[node][channel][sent[node][channel] % 1024] = (uint16_t)len;
	err = outbox_send(&box, node, channel, who, parts, 2);
	sent[node][channel] += err == 0;
	return err;
}

static void fill(unsigned node, enum outbox_sender who)
{
	while (send(node, WIRE_URGENT, who, 38) == 0)
		;
}

static void what_has_room_goes_at_once(void **state)
{
	wire.credit[1][WIRE_BULK] = 2;
	assert_int_equal(send(1, WIRE_BULK, OUTBOX_WAITS, WIRE_MSG_MAX), 0);
	assert_int_equal(send(1, WIRE_BULK, OUTBOX_OWED, 1), 0);
	assert_int_equal(wire.got[1][WIRE_BULK], 2);
	assert_true(outbox_idle(&box));
	assert_int_equal(box.kept, 0);
}

static void what_waits_keeps_its_order(void **state)
{
	assert_int_equal(send(1, WIRE_URGENT, OUTBOX_WAITS, 10), 0);
	assert_int_equal(send(1, WIRE_URGENT, OUTBOX_OWED, 20), 0);
	assert_false(outbox_idle(&box));
	/* There is room now, but what waits is older. */
	wire.credit[1][WIRE_URGENT] = 3;
	assert_int_equal(send(1, WIRE_URGENT, OUTBOX_WAITS, 30), 0);
	assert_int_equal(wire.got[1][WIRE_URGENT], 0);
	outbox_flush(&box);
	assert_int_equal(wire.got[1][WIRE_URGENT], 3);
	assert_true(outbox_idle(&box));
	assert_int_equal(box.kept, 3);
}

static void a_full_queue_holds_up_nobody_else(void **state)
{
	fill(1, OUTBOX_WAITS);
	assert_int_equal(send(1, WIRE_URGENT, OUTBOX_WAITS, 38), ERR_BUSY);
	wire.credit[2][WIRE_URGENT] = wire.credit[1][WIRE_BULK] = 1;
	assert_int_equal(send(2, WIRE_URGENT, OUTBOX_WAITS, 38), 0);
	assert_int_equal(send(1, WIRE_BULK, OUTBOX_WAITS, 38), 0);
	assert_int_equal(wire.got[2][WIRE_URGENT], 1);
	assert_int_equal(wire.got[1][WIRE_BULK], 1);
	/* Nor does it when it came first and they wait, too. */
	assert_int_equal(send(2, WIRE_URGENT, OUTBOX_WAITS, 38), 0);
	wire.credit[2][WIRE_URGENT] = 1;
	outbox_flush(&box);
	assert_int_equal(wire.got[2][WIRE_URGENT], 2);
	assert_int_equal(wire.got[1][WIRE_URGENT], 0);
}

static void the_senders_that_wait_leave_what_is_owed_its_place(void **state)
{
	unsigned owed = 0;

	fill(1, OUTBOX_WAITS);
	assert_int_equal(sent[1][WIRE_URGENT], (BYTES - OWED) / OUTBOX_BYTES(38));
	assert_false(outbox_room(&box, 1, WIRE_URGENT, OUTBOX_WAITS, 38));
	assert_true(outbox_room(&box, 1, WIRE_URGENT, OUTBOX_OWED, 38));
	while (send(1, WIRE_URGENT, OUTBOX_OWED, 38) == 0)
		owed++;
	assert_true(owed >= OWED / OUTBOX_BYTES(38));
	assert_int_equal(send(1, WIRE_URGENT, OUTBOX_OWED, 38), ERR_NOMEM);
	assert_true(box.refused >= 2);
	assert_int_equal(box.queues[1][WIRE_URGENT].most, BYTES);
	/* One that goes makes room for one. */
	wire.credit[1][WIRE_URGENT] = 1;
	outbox_flush(&box);
	assert_int_equal(send(1, WIRE_URGENT, OUTBOX_OWED, 38), 0);
	assert_false(outbox_room(&box, 1, WIRE_URGENT, OUTBOX_OWED, 0));
}

static void wrong_lengths_are_refused(void **state)
{
	assert_int_equal(send(1, WIRE_BULK, OUTBOX_WAITS, 0), ERR_RANGE);
	assert_int_equal(send(1, WIRE_BULK, OUTBOX_WAITS, WIRE_MSG_MAX + 1), ERR_RANGE);
	assert_int_equal(wire.calls, 0);
	assert_true(outbox_idle(&box));
}

static void a_peer_that_is_gone_takes_its_messages_along(void **state)
{
	fill(1, OUTBOX_WAITS);
	wire.gone = 1;
	outbox_flush(&box);
	assert_true(outbox_idle(&box));
	assert_int_equal(send(1, WIRE_URGENT, OUTBOX_WAITS, 5), ERR_NOTFOUND);
}

/* Any lengths, any credits: everything that was taken comes out once, whole and in order. */
static void any_traffic_comes_out_as_it_went_in(void **state)
{
	uint64_t r = 1;

	for (unsigned i = 0; i < 200000; i++) {
		unsigned node, len;
		enum wire_channel c;

		r = r * 6364136223846793005ull + 1442695040888963407ull;
		node = (unsigned)(r >> 33) % PEERS;
		c = (r >> 40 & 7) == 0 ? WIRE_BULK : WIRE_URGENT;
		len = 1 + (unsigned)(r >> 44) % (c == WIRE_BULK ? WIRE_MSG_MAX : 200);
		if (r >> 32 & 1)
			wire.credit[node][c] = (unsigned)(r >> 56) % 12;
		(void)!send(node, c, r >> 63 ? OUTBOX_OWED : OUTBOX_WAITS, len);
		if ((r >> 50 & 3) == 0)
			outbox_flush(&box);
	}
	memset(wire.credit, 1, sizeof(wire.credit));
	outbox_flush(&box);
	assert_true(outbox_idle(&box));
	assert_memory_equal(wire.got, sent, sizeof(sent));
	assert_true(box.kept > 10000 && box.refused > 1000);
	free(memory);
	memory = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_has_room_goes_at_once, setup),
		cmocka_unit_test_setup(what_waits_keeps_its_order, setup),
		cmocka_unit_test_setup(a_full_queue_holds_up_nobody_else, setup),
		cmocka_unit_test_setup(the_senders_that_wait_leave_what_is_owed_its_place, setup),
		cmocka_unit_test_setup(wrong_lengths_are_refused, setup),
		cmocka_unit_test_setup(a_peer_that_is_gone_takes_its_messages_along, setup),
		cmocka_unit_test_setup(any_traffic_comes_out_as_it_went_in, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
