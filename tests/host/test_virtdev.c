/*
 * hv/dev/virtdev, tty: which devices there are on the bus, what is behind them, and when they are looked at.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest/layout.h"
#include "hv/base/log.h"
#include "hv/dev/virtdev.h"
#include "tests/host/dev_double.h"
#include "tests/host/plat.h"
#include "tests/host/virtio_rig.h"

#define HEADER 0x10000
#define DATA   0x20000
#define RX     0
#define TX     1
#define PORT   1

static struct virtdev dev;
static struct rig rig;
static struct double_lan *net;
static unsigned wakes;
static uint8_t image[64 * BLK_SECTOR + 100];

static void on_wake(void *ctx)
{
	assert_ptr_equal(ctx, &rig);
	wakes++;
}

static void power_on(void)
{
	memset(&dev, 0, sizeof(dev));
	wakes = 0;
	net = double_lan_reset();
	double_ports_reset();
	virtdev_init(&dev, on_wake, &rig);
	rig_power_on(&rig);
}

static void plug(void)
{
	struct why why = {""};

	assert_int_equal(virtdev_plug(&dev, &rig.pc.pci, &why), 0);
}

static void none(void **state)
{
	power_on();
	virtdev_console_open(&dev, 0);
	plug();
	for (unsigned slot = LAYOUT_DISK_SLOT; slot < PCI_SLOTS; slot++)
		assert_null(rig.pc.pci.dev[slot]);
	assert_true(virtdev_poll(&dev, &rig.pc, 5) == UINT64_MAX);
}

/* The image is used in place, to its last whole sector. */
static void an_image(void **state)
{
	struct rig_queue *q = &rig.queue[0];

	power_on();
	for (size_t i = 0; i < sizeof(image); i++)
		image[i] = (uint8_t)(i * 7 + i / 512);
	virtdev_disk_image(&dev, image, sizeof(image));
	plug();
	assert_ptr_equal(rig.pc.pci.dev[LAYOUT_DISK_SLOT], &dev.blk.virtio.pci);
	rig_drive(&rig, &dev.blk.virtio);
	rig_start(&rig, RIG_VERSION_1, 16);
	assert_int_equal(rig_device(&rig, 0, 8), 64);
	for (uint32_t type = 0; type < 2; type++) {
		memset(host_ram() + HEADER, 0, 16);
		host_ram()[HEADER] = (uint8_t)type;
		host_ram()[HEADER + 8] = 62;
		rig_desc(q, 0, HEADER, 16, RIG_NEXT, 1);
		rig_desc(q, 1, DATA, 1024, RIG_NEXT | (type ? 0 : RIG_WRITE), 2);
		rig_desc(q, 2, HEADER + 16, 1, RIG_WRITE, 0);
		rig_offer(q, 0);
		rig_notify(&rig, 0);
		assert_true(rig_taken(&rig, 0, type ? 1 : 1025));
		assert_memory_equal(host_ram() + DATA, image + 62 * 512, 1024);
		memset(host_ram() + DATA, 0x5a, 1024);
	}
	assert_int_equal(image[62 * 512], 0x5a);
	assert_int_equal(image[64 * 512 - 1], 0x5a);
	assert_int_equal(image[64 * 512], (uint8_t)(64 * 512 * 7 + 64));
}

static void console_on(void)
{
	power_on();
	virtdev_console_open(&dev, PORT);
	plug();
	rig_drive(&rig, &dev.console.virtio);
	rig_start(&rig, RIG_VERSION_1, 64);
}

static void typed_bytes_wait_for_a_buffer(void **state)
{
	char text[301] = "";

	console_on();
	for (unsigned i = 0; i < 300; i++)
		text[i] = (char)('a' + i % 26);
	double_type(PORT, text);
	assert_int_equal(virtdev_poll(&dev, &rig.pc, 0), NS_PER_MS);
	assert_int_equal(dev.tty.count, TTY_TYPED);
	/* not before it is time */
	assert_int_equal(virtdev_poll(&dev, &rig.pc, NS_PER_MS - 1), NS_PER_MS);
	assert_int_equal(double_ports[PORT].typed_read, TTY_TYPED);
	for (unsigned i = 0; i < 5; i++) {
		rig_desc(&rig.queue[RX], (uint16_t)i, DATA + 100 * i, i ? 100 : 10, RIG_WRITE, 0);
		rig_offer(&rig.queue[RX], (uint16_t)i);
	}
	virtdev_poll(&dev, &rig.pc, NS_PER_MS);
	assert_memory_equal(host_ram() + DATA, text, 10);
	assert_memory_equal(host_ram() + DATA + 100, text + 10, 54);
	assert_int_equal(dev.tty.count, 0);
	virtdev_poll(&dev, &rig.pc, 2 * NS_PER_MS);
	assert_memory_equal(host_ram() + DATA + 200, text + 64, 64);
	for (unsigned i = 3; i < 9; i++)
		virtdev_poll(&dev, &rig.pc, i * NS_PER_MS);
	assert_memory_equal(host_ram() + DATA + 400, text + 192, 64);
	/* the buffers are used up: the rest still waits, in order */
	assert_int_equal(dev.tty.count, 44);
	assert_memory_equal(dev.tty.typed, text + 256, 44);
}

static void printed_bytes_wait_for_the_port(void **state)
{
	console_on();
	for (unsigned i = 0; i < 100; i++)
		host_ram()[DATA + i] = (uint8_t)(i * 3);
	double_ports[PORT].room = 16;
	rig_desc(&rig.queue[TX], 0, DATA, 100, 0, 0);
	rig_offer(&rig.queue[TX], 0);
	rig_notify(&rig, TX);
	assert_int_equal(double_ports[PORT].printed_count, 16);
	assert_false(rig_taken(&rig, TX, 0));
	for (unsigned i = 0; i < 6; i++) {
		double_ports[PORT].room = 16;
		virtdev_poll(&dev, &rig.pc, i * NS_PER_MS);
	}
	assert_true(rig_taken(&rig, TX, 0));
	assert_int_equal(double_ports[PORT].printed_count, 100);
	assert_memory_equal(double_ports[PORT].printed, host_ram() + DATA, 100);
}

static void a_port_that_is_not_there(void **state)
{
	static char text[65536];
	struct log_reader r = {0};

	while (log_read(&r, text, sizeof(text)))
		;
	power_on();
	virtdev_console_open(&dev, 0x2f8);
	plug();
	assert_null(rig.pc.pci.dev[LAYOUT_CONSOLE_SLOT]);
	assert_true(virtdev_poll(&dev, &rig.pc, 0) == UINT64_MAX);
	text[log_read(&r, text, sizeof(text) - 1)] = '\0';
	assert_non_null(strstr(text, "no serial port answers at 0x2f8, so the guest's virtio "
				     "console goes nowhere; name another with vconsole="));
}

static unsigned polls;

static void count_polls(void)
{
	polls++;
}

static void the_network_is_looked_at(void **state)
{
	uint8_t f[60] = {0};

	power_on();
	polls = 0;
	net->on_poll = count_polls;
	virtdev_lan(&dev, &net->lan);
	virtdev_net(&dev, false);
	plug();
	assert_ptr_equal(rig.pc.pci.dev[LAYOUT_NET_SLOT], &dev.card.dev.virtio.pci);
	net->now = NS_PER_S;
	assert_int_equal(virtdev_poll(&dev, &rig.pc, 0), NS_PER_MS);
	assert_int_equal(virtdev_poll(&dev, &rig.pc, NS_PER_MS - 1), NS_PER_MS);
	assert_int_equal(polls, 1);
	/* a frame wakes it before its time, and the machine with it; one of the nodes' goes by */
	memcpy(f, dev.card.rules.mac, 6);
	f[12] = 8;
	assert_true(net->fn(net->owner, f, sizeof(f)));
	assert_int_equal(wakes, 1);
	virtdev_poll(&dev, &rig.pc, NS_PER_MS - 1);
	assert_int_equal(polls, 2);
	assert_int_equal(dev.card.dev.rx_dropped, 1); /* no driver yet */
	memcpy(f, net->lan.mac, 6);
	assert_false(net->fn(net->owner, f, sizeof(f)));
	/* AoE is the disk's only where there is one */
	memcpy(f + 12, "\x88\xa2", 2);
	assert_false(net->fn(net->owner, f, sizeof(f)));
}

static void a_slot_that_is_taken(void **state)
{
	struct why why = {""};

	power_on();
	virtdev_disk_image(&dev, image, sizeof(image));
	plug();
	assert_int_equal(virtdev_plug(&dev, &rig.pc.pci, &why), ERR_BUSY);
	assert_non_null(strstr(why.text, "is taken"));
}

/* Two machines in one program share nothing. */
static void two_at_once(void **state)
{
	static struct virtdev two[2];
	static struct rig rigs[2];
	struct why why;

	double_ports_reset();
	memset(two, 0, sizeof(two));
	for (unsigned i = 0; i < 2; i++) {
		virtdev_init(&two[i], on_wake, &rig);
		virtdev_console_open(&two[i], (uint16_t)(1 + i));
		rig_power_on(&rigs[i]);
		assert_int_equal(virtdev_plug(&two[i], &rigs[i].pc.pci, &why), 0);
	}
	double_type(2, "for the second");
	for (unsigned i = 0; i < 2; i++)
		virtdev_poll(&two[i], &rigs[i].pc, 0);
	assert_int_equal(two[0].tty.count, 0);
	assert_memory_equal(two[1].tty.typed, "for the second", 14);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(none),
		cmocka_unit_test(an_image),
		cmocka_unit_test(typed_bytes_wait_for_a_buffer),
		cmocka_unit_test(printed_bytes_wait_for_the_port),
		cmocka_unit_test(a_port_that_is_not_there),
		cmocka_unit_test(the_network_is_looked_at),
		cmocka_unit_test(a_slot_that_is_taken),
		cmocka_unit_test(two_at_once),
	};

	return cmocka_run_group_tests_name("virtdev", tests, NULL, NULL);
}
