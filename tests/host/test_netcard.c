/* hv/dev/netcard, frame_ring: the guest's frames out and in, by rings in its memory and a network below. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/log.h"
#include "hv/dev/netcard.h"
#include "tests/host/dev_double.h"
#include "tests/host/plat.h"
#include "tests/host/virtio_rig.h"

#define RX     0
#define TX     1
#define HEADER 0x20000
#define DATA   0x21000
#define IN     0x30000

/* The node's with one bit turned, and locally given. */
static const uint8_t mac[] = {0x56, 0x54, 0, 0, 0, 1};
static const uint8_t other[] = {2, 9, 9, 9, 9, 9};

static struct netcard card;
static struct rig rig;
static struct double_lan *net;

static uint8_t *frame(void)
{
	return host_ram() + DATA;
}

/* A frame in the guest's memory, and its type behind so many tags. */
static void make(const uint8_t *dst, const uint8_t *src, unsigned tags, uint16_t type)
{
	uint8_t *at = frame() + 12;

	for (unsigned i = 0; i < 2000; i++)
		frame()[i] = (uint8_t)(i * 11);
	memcpy(frame(), dst, 6);
	memcpy(frame() + 6, src, 6);
	while (tags--) {
		memcpy(at, "\x81\x00\x00\x07", 4);
		at += 4;
	}
	at[0] = (uint8_t)(type >> 8);
	at[1] = (uint8_t)type;
}

static void ready(bool aoe)
{
	net = double_lan_reset();
	memset(&card, 0, sizeof(card));
	netcard_open(&card, &net->lan, aoe);
	rig_init(&rig, &card.dev.virtio);
	rig_start(&rig, RIG_VERSION_1, 128);
	make(other, card.rules.mac, 0, 0x0800);
}

static void offer(uint32_t len)
{
	rig_desc(&rig.queue[TX], 0, HEADER, 12, RIG_NEXT, 1);
	rig_desc(&rig.queue[TX], 1, DATA, len, 0, 0);
	rig_offer(&rig.queue[TX], 0);
	rig_notify(&rig, TX);
}

/* Offers a frame and lets it go; true when it went out. */
static bool goes_out(uint32_t len)
{
	unsigned before = net->sent_count;

	offer(len);
	netcard_poll(&card);
	assert_true(rig_taken(&rig, TX, 0));
	return net->sent_count != before;
}

static void has_an_address_of_its_own(void **state)
{
	ready(false);
	assert_memory_equal(card.rules.mac, mac, 6);
	assert_memory_equal(net->added_mac, card.rules.mac, 6);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(rig_device(&rig, i, 1), card.rules.mac[i]);
}

static void sends_on_the_cpu_of_the_wire_alone(void **state)
{
	ready(false);
	offer(1514);
	assert_int_equal(net->sent_count, 0);
	assert_true(net->wakes > 0);
	assert_false(rig_taken(&rig, TX, 0));
	netcard_poll(&card);
	assert_int_equal(net->sent_count, 1);
	assert_int_equal(net->sent[0].len, 1514);
	assert_memory_equal(net->sent[0].bytes, frame(), 1514);
	assert_true(rig_taken(&rig, TX, 0));
	/* a short one is padded with zeros */
	assert_true(goes_out(14));
	assert_int_equal(net->sent[1].len, 60);
	assert_memory_equal(net->sent[1].bytes, frame(), 14);
	assert_int_equal(net->sent[1].bytes[14], 0);
	assert_int_equal(net->sent[1].bytes[59], 0);
	assert_int_equal(host_ram_held(), 0);
}

static void a_tag_makes_room_for_itself(void **state)
{
	ready(false);
	assert_false(goes_out(1515));
	assert_false(goes_out(1518));
	assert_false(goes_out(1519));
	assert_false(goes_out(65535));
	assert_int_equal(card.refused[LAN_UNFIT], 2);
	assert_int_equal(card.dev.tx_dropped, 2);
	make(other, card.rules.mac, 1, 0x0800);
	assert_true(goes_out(1518));
	assert_int_equal(net->sent[0].len, 1518);
	assert_memory_equal(net->sent[0].bytes, frame(), 1518);
	assert_false(goes_out(1519));
}

static void what_is_not_the_guests_stays(void **state)
{
	for (unsigned aoe = 0; aoe < 2; aoe++)
		for (unsigned tags = 0; tags < 4; tags++) {
			ready(aoe);
			make(other, other, tags, 0x0800);
			assert_false(goes_out(60));
			make(other, card.rules.mac, tags, 0x88b5);
			assert_false(goes_out(60));
			make(other, card.rules.mac, tags, LAN_TYPE_AOE);
			assert_int_equal(goes_out(60), aoe);
			assert_int_equal(card.refused[LAN_NOT_OURS], 1);
			assert_int_equal(card.refused[LAN_OF_NODES], 1);
			assert_int_equal(card.refused[LAN_AOE], !aoe);
		}
}

static void the_operator_is_told_once(void **state)
{
	static char text[65536];
	struct log_reader r = {0};
	char *first;

	while (log_read(&r, text, sizeof(text)))
		;
	ready(false);
	make(other, card.rules.mac, 2, LAN_TYPE_AOE);
	for (unsigned i = 0; i < 100; i++)
		assert_false(goes_out(60));
	text[log_read(&r, text, sizeof(text) - 1)] = '\0';
	first = strstr(text, "net-aoe=on lets it reach every target on this network");
	assert_non_null(first);
	assert_null(strstr(first + 1, "net-aoe=on lets"));
	assert_int_equal(card.refused[LAN_AOE], 100);
}

static void a_full_wire_leaves_it_with_the_guest(void **state)
{
	ready(false);
	net->full = true;
	offer(100);
	netcard_poll(&card);
	assert_false(rig_taken(&rig, TX, 0));
	net->full = false;
	netcard_poll(&card);
	assert_true(rig_taken(&rig, TX, 0));
	assert_int_equal(net->sent[0].len, 100);
}

static void give_buffers(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		rig_desc(&rig.queue[RX], (uint16_t)i, IN + 2048 * i, 1530, RIG_WRITE, 0);
		rig_offer(&rig.queue[RX], (uint16_t)i);
	}
}

static void frames_come_in(void **state)
{
	static const uint8_t all[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	uint8_t bytes[1518];

	ready(false);
	give_buffers(4);
	make(card.rules.mac, other, 1, 0x0800);
	memcpy(bytes, frame(), sizeof(bytes));
	assert_true(netcard_frame(&card, bytes, sizeof(bytes)));
	assert_int_equal(net->wakes, 1);
	assert_false(rig_taken(&rig, RX, 0)); /* in the poll alone */
	netcard_poll(&card);
	assert_true(rig_taken(&rig, RX, 12 + sizeof(bytes)));
	assert_memory_equal(host_ram() + IN + 12, bytes, sizeof(bytes));
	/* one for all is for the node, too; one for another is not the guest's */
	memcpy(bytes, all, 6);
	assert_false(netcard_frame(&card, bytes, 60));
	memcpy(bytes, net->lan.mac, 6);
	assert_false(netcard_frame(&card, bytes, 60));
	for (size_t len = 0; len < 14; len++)
		assert_false(netcard_frame(&card, bytes, len));
	netcard_poll(&card);
	assert_true(rig_taken(&rig, RX, 72));
	assert_false(rig_taken(&rig, RX, 0));
	assert_int_equal(card.dev.rx_frames, 2);
	assert_int_equal(host_ram_held(), 0);
}

static void neither_protocol_comes_in(void **state)
{
	static const uint8_t all[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	uint8_t bytes[60];

	ready(false);
	give_buffers(4);
	for (unsigned tags = 0; tags < 3; tags++) {
		make(card.rules.mac, other, tags, 0x88b5);
		memcpy(bytes, frame(), sizeof(bytes));
		assert_true(netcard_frame(&card, bytes, sizeof(bytes)));
		make(all, other, tags, LAN_TYPE_AOE);
		memcpy(bytes, frame(), sizeof(bytes));
		assert_false(netcard_frame(&card, bytes, sizeof(bytes)));
	}
	netcard_poll(&card);
	assert_int_equal(card.dev.rx_frames + card.dev.rx_dropped, 0);
}

static void a_burst_is_cut(void **state)
{
	uint8_t bytes[1600];

	ready(false);
	give_buffers(100);
	make(card.rules.mac, other, 0, 0x0800);
	memcpy(bytes, frame(), sizeof(bytes));
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < NETCARD_QUEUE + 10; i++) {
			bytes[20] = (uint8_t)i;
			assert_true(netcard_frame(&card, bytes, 1000));
		}
		assert_int_equal(card.lost, 10 * (round + 1));
		netcard_poll(&card);
	}
	/* what the guest had no buffer for is dropped and counted */
	assert_int_equal(card.dev.rx_frames, 100);
	assert_int_equal(card.dev.rx_dropped, 3 * NETCARD_QUEUE - 100);
	for (unsigned i = 0; i < NETCARD_QUEUE; i++)
		assert_int_equal(host_ram()[IN + 2048 * i + 12 + 20], i);
	/* longer than the card takes */
	assert_true(netcard_frame(&card, bytes, sizeof(bytes)));
	assert_null(frame_ring_first(&card.came));
}

/* The ring's counts wrap; a slot holds the longest frame and no byte more. */
static void the_ring(void **state)
{
	static uint16_t slots[FRAME_RING_BYTES(4, 7) / 2];
	struct frame_ring r;
	uint8_t bytes[8] = "abcdefg";

	frame_ring_init(&r, slots, 4, 7);
	r.head = r.tail = UINT32_MAX - 1;
	assert_false(frame_ring_put(&r, bytes, 8));
	for (unsigned i = 0; i < 4; i++) {
		bytes[0] = (uint8_t)i;
		assert_true(frame_ring_put(&r, bytes, 4 + i));
	}
	assert_false(frame_ring_put(&r, bytes, 1));
	for (unsigned i = 0; i < 4; i++) {
		const struct frame_slot *s = frame_ring_first(&r);

		assert_int_equal(s->len, 4 + i);
		assert_int_equal(s->bytes[0], i);
		assert_memory_equal(s->bytes + 1, "bcdefg", s->len - 1);
		frame_ring_drop(&r);
	}
	assert_null(frame_ring_first(&r));
	frame_ring_drop(&r);
	assert_null(frame_ring_first(&r));
}

static void comes_by_often_while_there_is_traffic(void **state)
{
	ready(false);
	net->now = NS_PER_S;
	assert_int_equal(netcard_poll(&card), NS_PER_MS);
	assert_true(goes_out(60));
	assert_int_equal(netcard_poll(&card), 100 * NS_PER_US);
	net->now += 11 * NS_PER_MS;
	assert_int_equal(netcard_poll(&card), NS_PER_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_an_address_of_its_own),
		cmocka_unit_test(sends_on_the_cpu_of_the_wire_alone),
		cmocka_unit_test(a_tag_makes_room_for_itself),
		cmocka_unit_test(what_is_not_the_guests_stays),
		cmocka_unit_test(the_operator_is_told_once),
		cmocka_unit_test(a_full_wire_leaves_it_with_the_guest),
		cmocka_unit_test(frames_come_in),
		cmocka_unit_test(neither_protocol_comes_in),
		cmocka_unit_test(a_burst_is_cut),
		cmocka_unit_test(the_ring),
		cmocka_unit_test(comes_by_often_while_there_is_traffic),
	};

	return cmocka_run_group_tests_name("netcard", tests, NULL, NULL);
}
