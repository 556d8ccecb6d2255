/* guest/virtio_console: both ways, a sink that takes little, buffers of any size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "guest/virtio_console.h"
#include "tests/host/plat.h"
#include "tests/host/virtio_rig.h"

#define RX   0
#define TX   1
#define DATA 0x20000

static struct virtio_console console;
static struct rig rig;
static uint8_t sink[0x10000];
static size_t sunk, room;

static size_t take(void *ctx, const uint8_t *bytes, size_t count)
{
	size_t n = MIN(count, room);

	assert_int_not_equal(count, 0);
	memcpy(sink + sunk, bytes, n);
	sunk += n;
	room -= n;
	return n;
}

static void ready(void)
{
	sunk = 0;
	room = sizeof(sink);
	virtio_console_init(&console, take, NULL);
	rig_init(&rig, &console.virtio);
	rig_start(&rig, RIG_VERSION_1, 64);
	for (unsigned i = 0; i < 4096; i++)
		host_ram()[DATA + i] = (uint8_t)(i * 13);
}

static void the_guest_writes(void **state)
{
	ready();
	rig_desc(&rig.queue[TX], 0, DATA, 1000, RIG_NEXT, 1);
	rig_desc(&rig.queue[TX], 1, DATA + 1000, 3000, 0, 0);
	rig_desc(&rig.queue[TX], 2, DATA, 0, 0, 0);
	rig_offer(&rig.queue[TX], 0);
	rig_offer(&rig.queue[TX], 2);
	rig_notify(&rig, TX);
	assert_int_equal(sunk, 4000);
	assert_memory_equal(sink, host_ram() + DATA, 4000);
	assert_true(rig_taken(&rig, TX, 0));
	assert_true(rig_taken(&rig, TX, 0));
	assert_int_equal(host_ram_held(), 0);
}

static void the_sink_is_slow(void **state)
{
	ready();
	room = 300;
	rig_desc(&rig.queue[TX], 0, DATA, 600, 0, 0);
	rig_offer(&rig.queue[TX], 0);
	rig_offer(&rig.queue[TX], 0);
	rig_notify(&rig, TX);
	assert_int_equal(sunk, 300);
	assert_false(rig_taken(&rig, TX, 0));
	virtio_console_resume(&console);
	assert_int_equal(sunk, 300);
	room = 301;
	virtio_console_resume(&console);
	assert_int_equal(sunk, 601);
	assert_true(rig_taken(&rig, TX, 0));
	assert_false(rig_taken(&rig, TX, 0));
	assert_memory_equal(sink, host_ram() + DATA, 600);
	assert_int_equal(sink[600], host_ram()[DATA]);
	/* a reset drops what waits */
	rig_start(&rig, RIG_VERSION_1, 64);
	room = 1000;
	virtio_console_resume(&console);
	assert_int_equal(sunk, 601);
}

/* More than a turn's worth: the rest comes at the tick. */
static void a_long_buffer(void **state)
{
	ready();
	rig_desc(&rig.queue[TX], 0, DATA, 0x5000, 0, 0);
	rig_offer(&rig.queue[TX], 0);
	rig_notify(&rig, TX);
	assert_int_equal(sunk, 0x4000);
	assert_false(rig_taken(&rig, TX, 0));
	rig_tick(&rig);
	assert_int_equal(sunk, 0x5000);
	assert_true(rig_taken(&rig, TX, 0));
}

static void the_guest_reads(void **state)
{
	ready();
	assert_int_equal(virtio_console_rx(&console, (const uint8_t *)"lost", 4), 0);
	rig_desc(&rig.queue[RX], 0, DATA, 3, RIG_WRITE, 0);
	rig_desc(&rig.queue[RX], 1, DATA + 8, 0, RIG_WRITE, 0);
	rig_desc(&rig.queue[RX], 2, DATA + 16, 8, RIG_WRITE, 0);
	for (uint16_t i = 0; i < 3; i++)
		rig_offer(&rig.queue[RX], i);
	rig_notify(&rig, RX);
	assert_int_equal(virtio_console_rx(&console, (const uint8_t *)"abcde", 5), 5);
	assert_memory_equal(host_ram() + DATA, "abc", 3);
	assert_memory_equal(host_ram() + DATA + 16, "de", 2);
	assert_true(rig_taken(&rig, RX, 3));
	assert_true(rig_taken(&rig, RX, 0));
	assert_true(rig_taken(&rig, RX, 2));
	assert_int_equal(virtio_console_rx(&console, (const uint8_t *)"f", 1), 0);
	pc_pci_sync(&rig.pc, 0);
	assert_int_equal(rig.gsi >> (16 + RIG_SLOT) & 1, 1);
}

static void memory_that_is_not_there(void **state)
{
	ready();
	rig_desc(&rig.queue[TX], 0, RIG_RAM - 10, 11, 0, 0);
	rig_offer(&rig.queue[TX], 0);
	rig_notify(&rig, TX);
	assert_int_equal(sunk, 0);
	assert_int_equal(rig_common(&rig, 20, 1) & 0x40, 0x40);
	ready();
	rig_desc(&rig.queue[RX], 0, RIG_RAM, 1, RIG_WRITE, 0);
	rig_offer(&rig.queue[RX], 0);
	assert_int_equal(virtio_console_rx(&console, (const uint8_t *)"f", 1), 0);
	assert_int_equal(rig_common(&rig, 20, 1) & 0x40, 0x40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_guest_writes),
		cmocka_unit_test(the_sink_is_slow),
		cmocka_unit_test(a_long_buffer),
		cmocka_unit_test(the_guest_reads),
		cmocka_unit_test(memory_that_is_not_there),
	};

	return cmocka_run_group_tests_name("virtio-console", tests, NULL, NULL);
}
