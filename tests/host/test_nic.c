/* net/drivers against fake cards: sending, receiving, ring wrap, errors, kept buffers, set-up failures. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/host/fake_nic.h"
#include "tests/host/plat.h"

static struct fake_nic fake;
static struct nic nic;
static void *arena;

/* The cards every common test runs on. */
static const struct {
	const char *name;
	uint16_t device; /* e1000; 0: virtio */
	bool modern;
	uint16_t queue;
} cards[] = {
	{"82540EM", 0x100e, false, 0},    {"82574L", 0x10d3, false, 0},
	{"I219-LM", 0x156f, false, 0},    {"virtio", 0, false, 256},
	{"virtio 1.0", 0, true, 256},     {"virtio small", 0, true, 8},
	{"virtio large", 0, false, 1024},
};

static void card_new(unsigned i, uint16_t mtu)
{
	size_t size = NIC_MEMORY(mtu);

	free(arena);
	arena = aligned_alloc(PAGE_SIZE, size);
	memset(arena, 0x5a, size);
	if (cards[i].device)
		fake_e1000(&fake, cards[i].device, arena, size);
	else
		fake_virtio(&fake, cards[i].modern, cards[i].queue, arena, size);
}

static void card_start(unsigned i, uint16_t mtu)
{
	struct why why = {""};

	card_new(i, mtu);
	assert_int_equal(nic_probe(&nic, &fake.hw, &why), 0);
	assert_int_equal(nic_start(&nic, arena, NIC_MEMORY(mtu), mtu, &why), 0);
	assert_int_equal(nic.mtu, mtu);
}

static uint16_t frame_make(uint8_t *frame, unsigned n, uint16_t mtu)
{
	uint16_t len = (uint16_t)(60 + n * 37 % (mtu + NIC_ETH - 59u));

	for (unsigned i = 0; i < len; i++)
		frame[i] = (uint8_t)(n * 7 + i * 3);
	return len;
}

#define FOR_EACH_CARD for (unsigned card = 0; card < ARRAY_LEN(cards); card++)

static void starts_with_its_mac_and_link(void **state)
{
	static const uint8_t mac[] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

	FOR_EACH_CARD
	{
		card_start(card, NIC_MTU);
		assert_memory_equal(nic.mac, mac, 6);
		assert_true(nic.link);
		assert_int_equal(fake.config[4] & 7, 7);
		fake.link = false;
		assert_true(nic_link(&nic));
		assert_false(nic.link);
		assert_false(nic_link(&nic));
		nic_stop(&nic);
		assert_int_equal(fake.config[4] & 4, 0);
	}
}

static void sends_around_the_ring(void **state)
{
	uint8_t want[NIC_BUFFER_JUMBO];

	FOR_EACH_CARD
	{
		for (unsigned mtu = NIC_MTU; mtu <= NIC_MTU_JUMBO; mtu += NIC_MTU_JUMBO - NIC_MTU) {
			card_start(card, (uint16_t)mtu);
			for (unsigned n = 0; n < 1000; n++) {
				uint16_t len = frame_make(want, n, (uint16_t)mtu);
				uint8_t *b = nic_tx_buffer(&nic);

				assert_non_null(b);
				assert_ptr_equal(b, nic_tx_buffer(&nic));
				memcpy(b, want, len);
				nic_tx_send(&nic, len);
				nic_tx_kick(&nic);
				assert_int_equal(fake.sent, n + 1);
				assert_int_equal(fake.sent_len, len);
				assert_memory_equal(fake.sent_frame, want, len);
			}
			assert_int_equal(nic.stats.tx_frames, 1000);
		}
	}
}

/* What a guest sends: a tag makes a full frame four bytes longer, and beyond that nothing goes out. */
static void frames_of_any_length(void **state)
{
	static const size_t fits[] = {14, 60, 1514, 1515, 1518},
			    unfit[] = {0, 13, 1519, 4096, 65535};
	static uint8_t frame[65536];

	for (size_t i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(i * 13 >> 3);
	FOR_EACH_CARD
	{
		card_start(card, NIC_MTU);
		for (unsigned i = 0; i < ARRAY_LEN(fits); i++) {
			assert_true(nic_send(&nic, frame, fits[i]));
			assert_int_equal(fake.sent, i + 1);
			assert_int_equal(fake.sent_len, fits[i]);
			assert_memory_equal(fake.sent_frame, frame, fits[i]);
		}
		for (unsigned i = 0; i < ARRAY_LEN(unfit); i++)
			assert_true(nic_send(&nic, frame, unfit[i]));
		assert_int_equal(fake.sent, ARRAY_LEN(fits));
		assert_int_equal(nic.stats.tx_unfit, ARRAY_LEN(unfit));
		/* a full ring is another matter */
		fake.hold_tx = true;
		while (nic_send(&nic, frame, 60))
			;
		assert_true(nic_send(&nic, frame, 1519));
		assert_false(nic_send(&nic, frame, 1518));
	}
}

static void a_full_ring_says_so_and_recovers(void **state)
{
	FOR_EACH_CARD
	{
		unsigned queued = 0;

		card_start(card, NIC_MTU);
		fake.hold_tx = true;
		while (nic_tx_buffer(&nic)) {
			nic_tx_send(&nic, 60);
			nic_tx_kick(&nic);
			queued++;
		}
		assert_true(queued == NIC_RING_MAX - 1 || queued == NIC_RING_MAX || queued == 4);
		assert_int_equal(nic.stats.tx_full, 1);
		fake_tx(&fake);
		assert_int_equal(fake.sent, queued);
		assert_non_null(nic_tx_buffer(&nic));
	}
}

static void receives_around_the_ring(void **state)
{
	uint8_t want[NIC_BUFFER_JUMBO];
	struct nic_frame f;

	FOR_EACH_CARD
	{
		for (unsigned mtu = NIC_MTU; mtu <= NIC_MTU_JUMBO; mtu += NIC_MTU_JUMBO - NIC_MTU) {
			card_start(card, (uint16_t)mtu);
			for (unsigned n = 0; n < 1000; n++) {
				uint16_t len = frame_make(want, n, (uint16_t)mtu);

				assert_false(nic_rx(&nic, &f));
				assert_true(fake_rx(&fake, want, len));
				assert_true(nic_rx(&nic, &f));
				assert_int_equal(f.len, len);
				assert_memory_equal(f.data, want, len);
				nic_rx_done(&nic, f.buffer);
			}
			assert_int_equal(nic.stats.rx_frames, 1000);
			assert_int_equal(fake.missed, 0);
		}
	}
}

static void kept_buffers_starve_and_come_back(void **state)
{
	FOR_EACH_CARD
	{
		struct nic_frame kept[NIC_RX_BUFFERS], f;
		unsigned n = 0;
		uint8_t byte[60] = {0};

		card_start(card, NIC_MTU);
		for (; n < NIC_RX_BUFFERS; n++) {
			byte[20] = (uint8_t)n;
			assert_true(fake_rx(&fake, byte, 60));
			assert_true(nic_rx(&nic, &kept[n]));
		}
		/* All are kept: the card has nothing left, and loses no memory over it. */
		assert_false(fake_rx(&fake, byte, 60));
		assert_true(nic.stats.rx_starved > 0);
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(kept[i].data[20], (uint8_t)i);
		/* Given back in another order. */
		for (unsigned i = 0; i < n; i++)
			nic_rx_done(&nic, kept[(i * 5 + 3) % n].buffer);
		for (unsigned i = 0; i < 500; i++) {
			assert_true(fake_rx(&fake, byte, 60));
			assert_true(nic_rx(&nic, &f));
			nic_rx_done(&nic, f.buffer);
		}
	}
}

static void giving_back_twice_is_our_bug(void **state)
{
	struct nic_frame f;
	uint8_t byte[60] = {0};

	card_start(0, NIC_MTU);
	fake_rx(&fake, byte, 60);
	assert_true(nic_rx(&nic, &f));
	nic_rx_done(&nic, f.buffer);
	host_panic_expected = true;
	if (setjmp(host_panic_jump) == 0) {
		nic_buffer_put(&nic, nic.rx_free[0]);
		fail_msg("a free buffer was given back");
	}
	host_panic_expected = false;
}

static void e1000_drops_damaged_and_long_frames(void **state)
{
	uint8_t bytes[NIC_BUFFER] = {0};
	struct nic_frame f;

	card_start(0, NIC_MTU);
	fake_rx_raw(&fake, bytes, 100, 3, 0x01); /* CRC error */
	fake_rx_raw(&fake, bytes, 2048, 1, 0);   /* a frame over three buffers */
	fake_rx_raw(&fake, bytes, 2048, 1, 0);
	fake_rx_raw(&fake, bytes, 100, 3, 0);
	fake_rx_raw(&fake, bytes, 5, 3, 0); /* too short to be one */
	bytes[30] = 77;
	fake_rx_raw(&fake, bytes, 64, 3, 0x20); /* only the TCP checksum: not ours to judge */
	assert_true(nic_rx(&nic, &f));
	assert_int_equal(f.data[30], 77);
	assert_int_equal(f.len, 64);
	assert_false(nic_rx(&nic, &f));
	assert_int_equal(nic.stats.rx_errors, 2);
	assert_int_equal(nic.stats.bad_descriptors, 1);
	assert_int_equal(nic.stats.rx_frames, 1);
}

static void e1000_length_beyond_the_buffer_is_refused(void **state)
{
	uint8_t bytes[64] = {0};
	struct nic_frame f;
	uint16_t *length;

	card_start(0, NIC_MTU);
	fake_rx_raw(&fake, bytes, 64, 3, 0);
	length = (uint16_t *)((uint8_t *)nic.e1000.rx_ring + 8);
	*length = NIC_BUFFER + 1;
	assert_false(nic_rx(&nic, &f));
	assert_int_equal(nic.stats.bad_descriptors, 1);
}

static void e1000_takes_the_mac_from_the_eeprom(void **state)
{
	static const uint8_t mac[] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
	struct why why = {""};

	for (unsigned card = 0; card < 2; card++) {
		card_new(card, NIC_MTU);
		fake.regs[0x5404 / 4] = 0;
		assert_int_equal(nic_probe(&nic, &fake.hw, &why), 0);
		assert_int_equal(nic_start(&nic, arena, NIC_MEMORY(NIC_MTU), NIC_MTU, &why), 0);
		assert_memory_equal(nic.mac, mac, 6);
	}
	card_new(0, NIC_MTU);
	fake.regs[0x5404 / 4] = 0;
	memset(fake.eeprom, 0xff, sizeof(fake.eeprom));
	assert_int_equal(nic_probe(&nic, &fake.hw, &why), 0);
	assert_int_equal(nic_start(&nic, arena, NIC_MEMORY(NIC_MTU), NIC_MTU, &why), ERR_INVALID);
	assert_non_null(strstr(why.text, "no usable MAC address"));
}

/* 8254x manual, 13.5.2: a second receive address; I21x: those are the firmware's, so all is taken. */
static void a_second_address(void **state)
{
	static const uint8_t mac[] = {0x06, 0x11, 0x22, 0x33, 0x44, 0x55};
	struct nic_id id;

	card_start(0, NIC_MTU);
	nic_add_mac(&nic, mac);
	assert_int_equal(fake.regs[0x5408 / 4], 0x33221106);
	assert_int_equal(fake.regs[0x540c / 4], 0x80005544);
	assert_int_equal(fake.regs[0x100 / 4] & 8, 0);
	id = *nic.id;
	id.flags |= E1000_NO_EERD;
	nic.id = &id;
	nic_add_mac(&nic, mac);
	assert_int_equal(fake.regs[0x100 / 4] & 8, 8);
}

static void a_stuck_reset_is_told(void **state)
{
	struct why why = {""};

	card_new(0, NIC_MTU);
	fake.stuck = true;
	assert_int_equal(nic_probe(&nic, &fake.hw, &why), 0);
	assert_int_equal(nic_start(&nic, arena, NIC_MEMORY(NIC_MTU), NIC_MTU, &why), ERR_TIMEOUT);
	assert_non_null(strstr(why.text, "does not come out of reset"));
}

static void e1000_reports_events_once(void **state)
{
	uint8_t byte[60] = {0};

	card_start(0, NIC_MTU);
	nic_irq(&nic, true);
	assert_int_equal(fake.regs[0xd0 / 4] & 0x84, 0x84);
	fake_rx(&fake, byte, 60);
	assert_int_equal(nic_events(&nic), NIC_EVENT_RX);
	assert_int_equal(nic_events(&nic), 0);
	fake.regs[0xc0 / 4] = 4;
	assert_int_equal(nic_events(&nic), NIC_EVENT_LINK);
	nic_irq(&nic, false);
	assert_int_equal(fake.regs[0xd0 / 4], 0);
}

static void virtio_refuses_impossible_used_entries(void **state)
{
	for (unsigned card = 3; card < 5; card++) {
		struct nic_frame f;
		uint8_t byte[60] = {0};

		card_start(card, NIC_MTU);
		fake_virtio_used(&fake, 0, 9999, 100); /* no such descriptor */
		fake_virtio_used(&fake, 0, 1, 100);    /* the second of a pair */
		fake_virtio_used(&fake, 0, 0, 100000); /* longer than the buffer */
		fake_virtio_used(&fake, 0, 2, 3);      /* shorter than the header */
		fake_virtio_used(&fake, 1, 0, 0);      /* never sent */
		assert_false(nic_rx(&nic, &f));
		assert_int_equal(nic.stats.bad_descriptors, 4);
		assert_non_null(nic_tx_buffer(&nic));
		assert_int_equal(nic.stats.bad_descriptors, 5);
		fake.q[0].seen = 2; /* the two that were claimed went back and around */
		assert_true(fake_rx(&fake, byte, 60));
		assert_true(nic_rx(&nic, &f));
	}
}

static void virtio_names_what_it_can_not_do(void **state)
{
	struct why why = {""};

	card_new(4, NIC_MTU);
	fake.features &= ~(1ull << 32);
	fake.accepted = 0;
	fake.features |= 1ull << 32;
	fake.q[0].size = 3;
	assert_int_equal(nic_probe(&nic, &fake.hw, &why), 0);
	assert_int_equal(nic_start(&nic, arena, NIC_MEMORY(NIC_MTU), NIC_MTU, &why),
			 ERR_UNSUPPORTED);
	assert_string_equal(why.text, "the virtio network card has queues of 3 entries; "
				      "expected a power of two from 2 to 1024");
}

static void an_unknown_card_is_named_with_the_known_ones(void **state)
{
	struct why why = {""};

	fake_e1000(&fake, 0x1234, NULL, 0);
	assert_int_equal(nic_probe(&nic, &fake.hw, &why), ERR_UNSUPPORTED);
	assert_string_equal(why.text,
			    "network card 8086:1234 is not known; "
			    "known are 82540EM, 82545EM, 82574L, I217-LM, I217-V, I218-LM, I218-V, "
			    "I219-LM, I219-V, virtio-net, virtio-net 1.0");
}

static void msi_is_programmed(void **state)
{
	card_start(0, NIC_MTU);
	assert_int_equal(nic_msi(&nic, 0xfee01000, 0x41), 0);
	assert_int_equal(fake.config[0x52] & 1, 1);
	assert_int_equal(fake.config[0x55], 0x10);
	assert_int_equal(fake.config[0x57], 0xfe);
	assert_int_equal(fake.config[0x5c], 0x41);
	assert_int_equal(fake.config[5] & 4, 4); /* INTx off */
	fake.config[6] = 0;
	assert_int_equal(nic_msi(&nic, 0xfee01000, 0x41), ERR_UNSUPPORTED);
	/* A capability list that runs in a circle. */
	fake.config[6] = 0x10;
	fake.config[0x50] = 0x01;
	fake.config[0x51] = 0x50;
	assert_int_equal(nic_msi(&nic, 0xfee01000, 0x41), ERR_UNSUPPORTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_with_its_mac_and_link),
		cmocka_unit_test(sends_around_the_ring),
		cmocka_unit_test(frames_of_any_length),
		cmocka_unit_test(a_full_ring_says_so_and_recovers),
		cmocka_unit_test(receives_around_the_ring),
		cmocka_unit_test(kept_buffers_starve_and_come_back),
		cmocka_unit_test(giving_back_twice_is_our_bug),
		cmocka_unit_test(e1000_drops_damaged_and_long_frames),
		cmocka_unit_test(e1000_length_beyond_the_buffer_is_refused),
		cmocka_unit_test(e1000_takes_the_mac_from_the_eeprom),
		cmocka_unit_test(a_second_address),
		cmocka_unit_test(a_stuck_reset_is_told),
		cmocka_unit_test(e1000_reports_events_once),
		cmocka_unit_test(virtio_refuses_impossible_used_entries),
		cmocka_unit_test(virtio_names_what_it_can_not_do),
		cmocka_unit_test(an_unknown_card_is_named_with_the_known_ones),
		cmocka_unit_test(msi_is_programmed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
