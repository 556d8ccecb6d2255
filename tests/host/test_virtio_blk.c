/* guest/virtio, virtio_pci, msix, virtio_blk, ramdisk: a driver's whole way, and what goes wrong on it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "guest/layout.h"
#include "guest/ramdisk.h"
#include "hv/base/log.h"
#include "tests/host/plat.h"
#include "tests/host/virtio_rig.h"

#define SECTORS      64
#define GSI          (1u << (16 + RIG_SLOT))
#define DRIVER_OK    0x0f
#define NEEDS_RESET  0x40
#define HEADER       0x10000
#define DATA         0x20000
#define STATUS       0x11000
#define MSIX_ADDRESS 0xfee01000u

static struct virtio_blk blk;
static struct rig rig;
static uint8_t image[SECTORS * BLK_SECTOR + 100];

static void power_on(void)
{
	struct blk_disk disk;

	for (unsigned i = 0; i < sizeof(image); i++)
		image[i] = (uint8_t)(i * 31 + i / 256);
	ramdisk_init(&disk, image, sizeof(image));
	virtio_blk_init(&blk, &disk);
	rig_init(&rig, &blk.virtio);
}

static void ready(void)
{
	power_on();
	rig_start(&rig, RIG_VERSION_1, 16);
	assert_int_equal(rig_common(&rig, 20, 1), DRIVER_OK);
}

static uint8_t *ram(gpa_t at)
{
	return host_ram() + at;
}

/* Offers one request with its data in one piece. */
static void request(uint32_t type, uint64_t sector, uint32_t bytes, bool in)
{
	struct rig_queue *q = &rig.queue[0];

	memset(ram(HEADER), 0, 16);
	memcpy(ram(HEADER), &type, 4);
	memcpy(ram(HEADER + 8), &sector, 8);
	*ram(STATUS) = 0xee;
	rig_desc(q, 0, HEADER, 16, RIG_NEXT, 1);
	rig_desc(q, 1, DATA, bytes, RIG_NEXT | (in ? RIG_WRITE : 0), 2);
	rig_desc(q, 2, STATUS, 1, RIG_WRITE, 0);
	rig_offer(q, 0);
	rig_notify(&rig, 0);
	assert_int_equal(host_ram_held(), 0);
}

static void expect_answer(uint8_t status, uint32_t written)
{
	uint16_t head;
	uint32_t len;

	assert_true(rig_take(&rig.queue[0], &head, &len));
	assert_int_equal(head, 0);
	assert_int_equal(len, written);
	assert_int_equal(*ram(STATUS), status);
}

static void a_driver_finds_its_way(void **state)
{
	power_on();
	assert_int_equal(rig_config(&rig, PCI_VENDOR_ID, 4), 0x10421af4);
	assert_int_equal(rig_config(&rig, PCI_INTERRUPT_PIN, 1), 1);
	assert_int_equal(rig_config(&rig, PCI_STATUS, 2) & PCI_STATUS_CAPABILITIES,
			 PCI_STATUS_CAPABILITIES);
	assert_int_equal(rig_common(&rig, 18, 2), 1);
	assert_int_equal(rig_common(&rig, 24, 2), 128);
	assert_int_equal(rig_common(&rig, 20, 1), 0);
	assert_int_equal(rig_device(&rig, 0, 4), SECTORS);
	assert_int_equal(rig_device(&rig, 4, 4), 0);
	assert_int_equal(rig_device(&rig, 12, 4), 126);
	assert_int_equal(rig_device(&rig, 20, 4), 512);
	/* 4.1.4.3.1: features by halves, none beyond */
	rig_common_set(&rig, 0, 4, 0);
	assert_int_equal(rig_common(&rig, 4, 4), 1u << 1 | 1u << 2 | 1u << 6 | 1u << 9 | 3u << 28);
	rig_common_set(&rig, 0, 4, 1);
	assert_int_equal(rig_common(&rig, 4, 4), 1);
	rig_common_set(&rig, 0, 4, 2);
	assert_int_equal(rig_common(&rig, 4, 4), 0);
	/* a queue that is not there has size 0 */
	rig_common_set(&rig, 22, 2, 1);
	assert_int_equal(rig_common(&rig, 24, 2), 0);
	rig_common_set(&rig, 28, 2, 1);
	assert_int_equal(rig_common(&rig, 28, 2), 0);
}

static void features_must_fit(void **state)
{
	power_on();
	rig_start(&rig, 0, 16);
	assert_int_equal(rig_common(&rig, 20, 1) & 8, 0);
	rig_start(&rig, RIG_VERSION_1 | 1ull << 40, 16);
	assert_int_equal(rig_common(&rig, 20, 1) & 8, 0);
	rig_start(&rig, RIG_VERSION_1, 16);
	assert_int_equal(rig_common(&rig, 20, 1), DRIVER_OK);
	/* once agreed they stay */
	rig_common_set(&rig, 8, 4, 0);
	rig_common_set(&rig, 12, 4, 0xffffffff);
	assert_int_equal(rig_common(&rig, 12, 4), 0);
}

/* A driver that is wrong in a loop costs the log no more than a few lines. */
static void refusals_do_not_fill_the_log(void **state)
{
	static char text[1 << 17];
	struct log_reader r = {0};
	unsigned lines = 0;
	size_t n;

	while (log_read(&r, text, sizeof(text)))
		;
	power_on();
	for (unsigned i = 0; i < 200; i++)
		rig_start(&rig, 0, 16);
	while ((n = log_read(&r, text, sizeof(text) - 1))) {
		text[n] = '\0';
		for (const char *at = text; (at = strchr(at, '\n')); at++)
			lines++;
	}
	assert_in_range(lines, 1, 16);
}

static void reads_and_writes(void **state)
{
	ready();
	request(0, 3, 1024, true);
	expect_answer(0, 1025);
	assert_memory_equal(ram(DATA), image + 3 * 512, 1024);
	memset(ram(DATA), 0x5a, 512);
	request(1, SECTORS - 1, 512, false);
	expect_answer(0, 1);
	assert_int_equal(image[SECTORS * 512 - 1], 0x5a);
	assert_int_equal(image[SECTORS * 512 - 512], 0x5a);
	assert_int_not_equal(image[SECTORS * 512 - 513], 0x5a);
	request(4, 0, 0, false);
	expect_answer(0, 1);
	request(8, 0, 20, true);
	expect_answer(0, 21);
	assert_string_equal((char *)ram(DATA), "amalgam-ram");
	assert_int_equal(blk.reads, 1);
	assert_int_equal(blk.writes, 1);
	assert_int_equal(blk.flushes, 1);
}

static void refused_requests(void **state)
{
	ready();
	request(0, SECTORS, 512, true);
	expect_answer(1, 1);
	request(0, SECTORS - 1, 1024, true);
	expect_answer(1, 1);
	request(0, UINT64_MAX, 512, true);
	expect_answer(1, 1);
	request(1, 0, 511, false);
	expect_answer(1, 1);
	request(77, 0, 512, true);
	expect_answer(2, 1);
	blk.disk.read_only = true;
	request(1, 0, 512, false);
	expect_answer(1, 1);
	assert_int_equal(blk.errors, 6);
	assert_int_equal(rig_common(&rig, 20, 1), DRIVER_OK);
}

/* 2.1.2: stopped, told, and well again after a reset. */
static void expect_stopped(const char *sentence)
{
	struct log_reader r = {0};
	static char text[65536];
	uint16_t head;
	uint32_t len;

	assert_int_equal(rig_common(&rig, 20, 1), DRIVER_OK | NEEDS_RESET);
	assert_int_equal(rig.gsi & GSI, GSI);
	assert_int_equal(rig_isr(&rig), 2);
	text[log_read(&r, text, sizeof(text) - 1)] = '\0';
	assert_non_null(strstr(text, sentence));
	/* nothing is done any more */
	rig.queue[0].seen = 0;
	request(0, 0, 512, true);
	assert_false(rig_take(&rig.queue[0], &head, &len));
	rig_start(&rig, RIG_VERSION_1, 16);
	request(0, 0, 512, true);
	expect_answer(0, 513);
}

static void hostile_drivers(void **state)
{
	ready();
	rig_desc(&rig.queue[0], 0, HEADER, 16, RIG_NEXT, 0);
	rig_offer(&rig.queue[0], 0);
	rig_notify(&rig, 0);
	expect_stopped("virtio-blk stops until its driver resets it: queue 0: buffer 0 is a loop");

	ready();
	rig_desc(&rig.queue[0], 0, HEADER, 15, RIG_NEXT, 1);
	rig_desc(&rig.queue[0], 1, STATUS, 1, RIG_WRITE, 0);
	rig_offer(&rig.queue[0], 0);
	rig_notify(&rig, 0);
	expect_stopped("buffer 0 has 15 bytes to read and 1 to write; expected a header of 16");

	ready();
	rig_desc(&rig.queue[0], 0, HEADER, 16, 0, 0);
	rig_offer(&rig.queue[0], 0);
	rig_notify(&rig, 0);
	expect_stopped("buffer 0 has 16 bytes to read and 0 to write");

	ready();
	rig_desc(&rig.queue[0], 0, HEADER, 16, RIG_NEXT, 1);
	rig_desc(&rig.queue[0], 1, RIG_RAM, 513, RIG_WRITE, 0);
	rig_offer(&rig.queue[0], 0);
	rig_notify(&rig, 0);
	expect_stopped("buffer 0 names memory that is not RAM");

	/* not yet running: nobody to interrupt */
	power_on();
	rig_start(&rig, RIG_VERSION_1, 12);
	assert_int_equal(rig_common(&rig, 20, 1), DRIVER_OK | NEEDS_RESET);
	assert_int_equal(rig.gsi & GSI, 0);

	power_on();
	rig_common_set(&rig, 20, 1, 3);
	rig_common_set(&rig, 22, 2, 0);
	rig_common_set(&rig, 28, 2, 1);
	assert_int_equal(rig_common(&rig, 20, 1) & NEEDS_RESET, NEEDS_RESET);
}

static void the_interrupt_line(void **state)
{
	ready();
	assert_int_equal(rig.gsi & GSI, 0);
	request(0, 0, 512, true);
	assert_int_equal(rig.gsi & GSI, GSI);
	assert_int_equal(rig_isr(&rig), 1);
	assert_int_equal(rig.gsi & GSI, 0);
	assert_int_equal(rig_isr(&rig), 0);
	/* a reset lowers it */
	request(0, 0, 512, true);
	rig_common_set(&rig, 20, 1, 0);
	assert_int_equal(rig.gsi & GSI, 0);
}

static void set_vector(unsigned vector, uint32_t control)
{
	uint32_t bar = rig_config(&rig, PCI_BAR + 4, 4) & ~15u;
	uint32_t table = rig_config(&rig, rig_capability(&rig, 0x11, 0) + 4, 4) & ~7u;
	uint64_t at = bar + table + 16 * vector;

	pc_mmio_write(&rig.pc, at, 4, MSIX_ADDRESS, 0);
	pc_mmio_write(&rig.pc, at + 4, 4, 0, 0);
	pc_mmio_write(&rig.pc, at + 8, 4, 0x40 + vector, 0);
	pc_mmio_write(&rig.pc, at + 12, 4, control, 0);
	assert_int_equal(pc_mmio_read(&rig.pc, at + 8, 4, 0), 0x40 + vector);
}

/* PCI 3.0, 6.8.2; VIRTIO 4.1.5.1.2 */
static void messages(void **state)
{
	unsigned cap;
	uint32_t pending;

	power_on();
	cap = rig_capability(&rig, 0x11, 0);
	assert_int_equal(rig_config(&rig, cap + 2, 2), 1);
	rig_config_set(&rig, cap + 2, 2, 0xffff);
	assert_int_equal(rig_config(&rig, cap + 2, 2), 0xc001);
	rig_config_set(&rig, cap + 2, 2, 0x8000);
	set_vector(1, 0);
	rig_common_set(&rig, 20, 1, 0);
	rig_start(&rig, RIG_VERSION_1, 16);
	/* no vector, no message */
	request(0, 0, 512, true);
	assert_int_equal(rig.messages, 0);
	assert_int_equal(rig.gsi & GSI, 0);
	rig_start(&rig, RIG_VERSION_1, 16);
	rig_common_set(&rig, 20, 1, 0);
	rig_common_set(&rig, 22, 2, 0);
	rig_common_set(&rig, 26, 2, 2);
	assert_int_equal(rig_common(&rig, 26, 2), 0xffff);
	rig_start(&rig, RIG_VERSION_1, 16);
	blk.virtio.vector[0] = 1;
	request(0, 0, 512, true);
	assert_int_equal(rig.messages, 1);
	assert_int_equal(rig.message_address, MSIX_ADDRESS);
	assert_int_equal(rig.message_data, 0x41);
	assert_int_equal(rig_isr(&rig), 0);
	/* masked: pending, then sent once */
	set_vector(1, 1);
	request(0, 0, 512, true);
	request(0, 0, 512, true);
	assert_int_equal(rig.messages, 1);
	pending = (rig_config(&rig, PCI_BAR + 4, 4) & ~15u) + (rig_config(&rig, cap + 8, 4) & ~7u);
	assert_int_equal(pc_mmio_read(&rig.pc, pending, 8, 0), 2);
	set_vector(1, 0);
	assert_int_equal(rig.messages, 2);
	assert_int_equal(pc_mmio_read(&rig.pc, pending, 4, 0), 0);
	rig_config_set(&rig, cap + 2, 2, 0xc000);
	request(0, 0, 512, true);
	assert_int_equal(rig.messages, 2);
	rig_config_set(&rig, cap + 2, 2, 0x8000);
	assert_int_equal(rig.messages, 3);
	/* not a bus master: no message reaches anyone */
	rig_config_set(&rig, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	request(0, 0, 512, true);
	assert_int_equal(rig.messages, 3);
	/* the bus is reset: back to the line */
	pc_reset(&rig.pc, 0);
	assert_int_equal(rig_config(&rig, cap + 2, 2), 1);
	assert_int_equal(rig_common(&rig, 20, 1), 0);
}

/* 4.1.4.9: the same registers through configuration space */
static void the_window(void **state)
{
	unsigned cap;

	power_on();
	cap = rig_capability(&rig, 9, 5);
	assert_int_not_equal(cap, 0);
	rig_config_set(&rig, cap + 4, 1, 1);
	rig_config_set(&rig, cap + 8, 4, 20);
	rig_config_set(&rig, cap + 12, 4, 1);
	rig_config_set(&rig, cap + 16, 1, 3);
	assert_int_equal(rig_common(&rig, 20, 1), 3);
	assert_int_equal(rig_config(&rig, cap + 16, 1), 3);
	/* wild windows lead nowhere */
	rig_config_set(&rig, cap + 12, 4, 0xffffffff);
	rig_config_set(&rig, cap + 16, 4, 0);
	rig_config_set(&rig, cap + 12, 4, 4);
	rig_config_set(&rig, cap + 8, 4, 0xfffffffc);
	rig_config_set(&rig, cap + 16, 4, 0);
	rig_config_set(&rig, cap + 4, 1, 5);
	rig_config_set(&rig, cap + 8, 4, 0);
	rig_config(&rig, cap + 16, 4);
	assert_int_equal(rig_common(&rig, 20, 1), 3);
}

/* --- A backend that answers late --- */

static struct blk_request *waiting[BLK_DEPTH + 1];
static unsigned waiting_count, cancels;

static void late_submit(void *ctx, struct blk_request *r)
{
	waiting[waiting_count++] = r;
}

static void late_cancel(void *ctx)
{
	waiting_count = 0;
	cancels++;
}

static const struct blk_backend_ops late_ops = {late_submit, late_cancel};

static void late(void)
{
	struct blk_disk disk = {.ops = &late_ops, .sectors = 1000};

	waiting_count = cancels = 0;
	virtio_blk_init(&blk, &disk);
	rig_init(&rig, &blk.virtio);
	rig_start(&rig, RIG_VERSION_1, 128);
}

/* Forty requests of two descriptors: as many as there is room for are taken, the others wait. */
static void a_full_backend(void **state)
{
	struct rig_queue *q = &rig.queue[0];
	uint16_t head;
	uint32_t len;

	late();
	memset(ram(HEADER), 0, 16);
	for (uint16_t i = 0; i < 40; i++) {
		rig_desc(q, i * 2, HEADER, 16, RIG_NEXT, i * 2 + 1);
		rig_desc(q, i * 2 + 1, DATA, 513, RIG_WRITE, 0);
		rig_offer(q, i * 2);
	}
	rig_notify(&rig, 0);
	assert_int_equal(waiting_count, BLK_DEPTH);
	assert_false(rig_take(q, &head, &len));
	/* the last first; its room is used at once */
	assert_true(blk_put(waiting[BLK_DEPTH - 1], 0, "x", 1));
	blk_done(waiting[--waiting_count], true);
	assert_true(rig_take(q, &head, &len));
	assert_int_equal(head, 2 * (BLK_DEPTH - 1));
	assert_int_equal(len, 513);
	assert_int_equal(waiting_count, BLK_DEPTH);
	blk_done(waiting[0], false);
	assert_true(rig_take(q, &head, &len));
	assert_int_equal(len, 1);
	/* reset while the backend is at work */
	rig_common_set(&rig, 20, 1, 0);
	assert_int_equal(cancels, 2);
	assert_int_equal(waiting_count, 0);
	rig_start(&rig, RIG_VERSION_1, 128);
	assert_false(rig_take(q, &head, &len));
	/* and all of its room is there again */
	rig_desc(q, 0, HEADER, 16, RIG_NEXT, 1);
	rig_desc(q, 1, DATA, 513, RIG_WRITE, 0);
	for (unsigned i = 0; i < 40; i++)
		rig_offer(q, 0);
	rig_notify(&rig, 0);
	assert_int_equal(waiting_count, BLK_DEPTH);
}

/* A long queue is done in turns, the rest at the PC's next tick. */
static void turns(void **state)
{
	struct rig_queue *q = &rig.queue[0];
	uint16_t head;
	uint32_t len, answers = 0;

	power_on();
	rig_start(&rig, RIG_VERSION_1, 128);
	memset(ram(HEADER), 0, 16);
	for (uint16_t i = 0; i < 64; i++) {
		rig_desc(q, i * 2, HEADER, 16, RIG_NEXT, i * 2 + 1);
		rig_desc(q, i * 2 + 1, DATA, 513, RIG_WRITE, 0);
		rig_offer(q, i * 2);
	}
	rig.timers = 0;
	rig_notify(&rig, 0);
	while (rig_take(q, &head, &len))
		answers++;
	assert_int_equal(answers, BLK_DEPTH);
	assert_int_equal(rig.timers, 1);
	assert_int_equal(pc_next_event(&rig.pc), 0);
	rig_tick(&rig);
	while (rig_take(q, &head, &len))
		answers++;
	assert_int_equal(answers, 64);
	rig_tick(&rig);
	assert_int_equal(pc_next_event(&rig.pc), UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_driver_finds_its_way),
		cmocka_unit_test(features_must_fit),
		cmocka_unit_test(refusals_do_not_fill_the_log),
		cmocka_unit_test(reads_and_writes),
		cmocka_unit_test(refused_requests),
		cmocka_unit_test(hostile_drivers),
		cmocka_unit_test(the_interrupt_line),
		cmocka_unit_test(messages),
		cmocka_unit_test(the_window),
		cmocka_unit_test(a_full_backend),
		cmocka_unit_test(turns),
	};

	return cmocka_run_group_tests_name("virtio-blk", tests, NULL, NULL);
}
