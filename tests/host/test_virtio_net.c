/* guest/virtio_net: frames both ways, what is dropped, the link. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "guest/virtio_net.h"
#include "hv/base/log.h"
#include "tests/host/plat.h"
#include "tests/host/virtio_rig.h"

#define RX     0
#define TX     1
#define HEADER 0x20000
#define DATA   0x21000

static const uint8_t mac[] = {2, 1, 2, 3, 4, 5};
static struct virtio_net net;
static struct rig rig;
static unsigned frames;
static bool full;
static size_t frame_len;
static uint8_t frame[VIRTIO_NET_FRAME];

static bool on_send(void *ctx, const void *bytes, size_t len)
{
	if (full)
		return false;
	frames++;
	frame_len = len;
	memcpy(frame, bytes, len);
	return true;
}

static void ready(void)
{
	frames = 0;
	full = false;
	virtio_net_init(&net, mac, on_send, NULL);
	rig_init(&rig, &net.virtio);
	rig_start(&rig, RIG_VERSION_1 | 1 << 5 | 1 << 16, 128);
	for (unsigned i = 0; i < 2000; i++)
		host_ram()[DATA + i] = (uint8_t)(i * 11);
}

static void send(uint32_t header, uint32_t len)
{
	rig_desc(&rig.queue[TX], 0, HEADER, header, RIG_NEXT, 1);
	rig_desc(&rig.queue[TX], 1, DATA, len, 0, 0);
	rig_offer(&rig.queue[TX], 0);
	rig_notify(&rig, TX);
	assert_int_equal(host_ram_held(), 0);
}

static bool stopped(void)
{
	return rig_common(&rig, 20, 1) & 0x40;
}

static void what_it_is(void **state)
{
	ready();
	assert_int_equal(rig_config(&rig, PCI_VENDOR_ID, 4), 0x10411af4);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(rig_device(&rig, i, 1), mac[i]);
	assert_int_equal(rig_device(&rig, 6, 2), 1);
	assert_int_equal(rig_common(&rig, 20, 1), 0x0f);
}

static void the_guest_sends(void **state)
{
	ready();
	send(12, 1514);
	assert_int_equal(frames, 1);
	assert_int_equal(frame_len, 1514);
	assert_memory_equal(frame, host_ram() + DATA, 1514);
	assert_true(rig_taken(&rig, TX, 0));
	/* too short or too long for any wire */
	send(12, 13);
	send(12, 1519);
	assert_int_equal(frames, 1);
	assert_int_equal(net.tx_dropped, 2);
	assert_true(rig_taken(&rig, TX, 0));
	assert_true(rig_taken(&rig, TX, 0));
	assert_false(stopped());
	/* header and frame may share a piece */
	send(12 + 60, 0);
	assert_int_equal(frame_len, 60);
}

static void the_guest_receives(void **state)
{
	uint8_t sample[1514];

	ready();
	memset(sample, 0x77, sizeof(sample));
	assert_false(virtio_net_rx(&net, sample, 60));
	assert_int_equal(net.rx_dropped, 1);
	memset(host_ram() + HEADER, 0xff, 12);
	rig_desc(&rig.queue[RX], 0, HEADER, 12, RIG_NEXT | RIG_WRITE, 1);
	rig_desc(&rig.queue[RX], 1, DATA, 1518, RIG_WRITE, 0);
	rig_offer(&rig.queue[RX], 0);
	assert_true(virtio_net_rx(&net, sample, sizeof(sample)));
	assert_true(rig_taken(&rig, RX, 12 + sizeof(sample)));
	assert_memory_equal(host_ram() + HEADER, "\0\0\0\0\0\0\0\0\0\0\1\0", 12);
	assert_memory_equal(host_ram() + DATA, sample, sizeof(sample));
	assert_int_equal(host_ram()[DATA + 1514], (uint8_t)(1514 * 11));
	assert_false(virtio_net_rx(&net, frame, 1519));
}

static void bad_buffers(void **state)
{
	struct log_reader r = {0};
	static char text[65536];

	ready();
	rig_desc(&rig.queue[TX], 0, HEADER, 11, 0, 0);
	rig_offer(&rig.queue[TX], 0);
	rig_notify(&rig, TX);
	assert_true(stopped());
	ready();
	rig_desc(&rig.queue[RX], 0, HEADER, 71, RIG_WRITE, 0);
	rig_offer(&rig.queue[RX], 0);
	assert_false(virtio_net_rx(&net, frame, 60));
	assert_true(stopped());
	text[log_read(&r, text, sizeof(text) - 1)] = '\0';
	assert_non_null(strstr(text, "buffer 0 has room for 71 bytes; expected 1526 at least"));
	ready();
	rig_desc(&rig.queue[RX], 0, RIG_RAM - 1000, 1530, RIG_WRITE, 0);
	rig_offer(&rig.queue[RX], 0);
	assert_false(virtio_net_rx(&net, frame, 1500));
	assert_true(stopped());
	ready();
	rig_desc(&rig.queue[TX], 0, RIG_RAM - 20, 60, 0, 0);
	rig_offer(&rig.queue[TX], 0);
	rig_notify(&rig, TX);
	assert_true(stopped());
	assert_int_equal(frames, 0);
}

/* 5.1.4.1 and 4.1.4.5: a changed status interrupts, and is another generation. */
static void the_cable(void **state)
{
	ready();
	rig_isr(&rig);
	virtio_net_link(&net, true);
	assert_int_equal(rig_isr(&rig), 0);
	virtio_net_link(&net, false);
	assert_int_equal(rig_isr(&rig), 2);
	assert_int_equal(rig_device(&rig, 6, 2), 0);
	assert_int_equal(rig_common(&rig, 21, 1), 1);
}

static void the_wire_is_full(void **state)
{
	ready();
	full = true;
	send(12, 100);
	send(12, 100);
	assert_int_equal(frames, 0);
	assert_false(rig_taken(&rig, TX, 0));
	full = false;
	virtio_net_resume(&net);
	assert_int_equal(frames, 2);
	assert_memory_equal(frame, host_ram() + DATA, 100);
	assert_true(rig_taken(&rig, TX, 0));
	assert_true(rig_taken(&rig, TX, 0));
	/* a reset drops what waits */
	full = true;
	send(12, 100);
	rig_start(&rig, RIG_VERSION_1, 128);
	full = false;
	virtio_net_resume(&net);
	assert_int_equal(frames, 2);
}

static void many_frames_in_turns(void **state)
{
	ready();
	rig_desc(&rig.queue[TX], 0, HEADER, 12 + 60, 0, 0);
	for (unsigned i = 0; i < 100; i++)
		rig_offer(&rig.queue[TX], 0);
	rig_notify(&rig, TX);
	assert_int_equal(frames, 64);
	rig_tick(&rig);
	assert_int_equal(frames, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_it_is),       cmocka_unit_test(the_guest_sends),
		cmocka_unit_test(bad_buffers),      cmocka_unit_test(the_guest_receives),
		cmocka_unit_test(the_cable),        cmocka_unit_test(many_frames_in_turns),
		cmocka_unit_test(the_wire_is_full),
	};

	return cmocka_run_group_tests_name("virtio-net", tests, NULL, NULL);
}
