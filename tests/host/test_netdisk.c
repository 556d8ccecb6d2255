/* hv/dev/netdisk: a disk on an AoE target, from the driver's rings to the target's frames and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/bits.h"
#include "hv/dev/netdisk.h"
#include "tests/host/dev_double.h"
#include "tests/host/plat.h"
#include "tests/host/virtio_rig.h"

#define SECTORS     64
#define HEADER      0x10000
#define STATUS      0x11000
#define DATA        0x20000
#define NEEDS_RESET 0x40

static const uint8_t target_mac[] = {2, 0, 0, 0, 0, 7};

static struct {
	uint8_t disk[SECTORS * AOE_SECTOR];
	unsigned flushes, writes;
	bool off, no_flush;
	unsigned taken; /* frames of the network's that it has seen */
} target;

static struct netdisk netdisk;
static struct virtio_blk blk;
static struct rig rig;
static struct double_lan *net;

/* --- The target, as far as it is needed here: test_aoe.c has the whole --- */

static void identify(uint8_t *data)
{
	memset(data, 0, AOE_SECTOR);
	data[2 * 83] = 0;
	data[2 * 83 + 1] = target.no_flush ? 0x04 : 0x34;
	data[2 * 100] = SECTORS;
}

static size_t run_ata(uint8_t *f)
{
	uint64_t lba = f[28];
	uint32_t bytes = f[26] * AOE_SECTOR;

	switch (f[27]) {
	case 0xec:
		identify(f + 36);
		return 36 + AOE_SECTOR;
	case 0x24:
		memcpy(f + 36, target.disk + lba * AOE_SECTOR, bytes);
		return 36 + bytes;
	case 0x34:
		memcpy(target.disk + lba * AOE_SECTOR, f + 36, bytes);
		target.writes++;
		return 60;
	default:
		assert_int_equal(f[27], 0xea);
		target.flushes++;
		return 60;
	}
}

/* Answers the frame in place; returns the answer's length. */
static size_t target_answers(uint8_t *f)
{
	size_t len = 60;

	if (f[19] == 1) {
		f[25] = 16; /* frames it holds */
		f[28] = 2;  /* sectors in each */
	} else {
		len = run_ata(f);
		f[27] = 0;
	}
	f[14] |= 0x08;
	memcpy(f, f + 6, 6);
	memcpy(f + 6, target_mac, 6);
	return len;
}

/* Takes what was sent since, and delivers the answers. */
static void target_runs(void)
{
	static uint8_t f[DOUBLE_FRAME];

	for (; target.taken < net->sent_count; target.taken++) {
		memcpy(f, net->sent[target.taken].bytes, sizeof(f));
		if (!target.off)
			assert_true(netdisk_frame(&netdisk, f, target_answers(f)));
	}
	net->sent_count = target.taken = 0;
}

static void settle(void)
{
	for (unsigned i = 0; i < 50; i++) {
		netdisk_poll(&netdisk);
		target_runs();
	}
}

/* --- The guest --- */

static int open_disk(const char *name, struct blk_disk *disk, struct why *why)
{
	memset(&netdisk, 0, sizeof(netdisk));
	net = double_lan_reset();
	net->step = 10 * NS_PER_US;
	net->on_poll = target_runs;
	target.taken = 0;
	return netdisk_open(&netdisk, &net->lan, name, disk, why);
}

static void ready(void)
{
	struct blk_disk disk;
	struct why why = {""};

	target.flushes = target.writes = 0;
	for (unsigned i = 0; i < sizeof(target.disk); i++)
		target.disk[i] = (uint8_t)(i * 31 + i / 512);
	assert_int_equal(open_disk("258.7", &disk, &why), 0);
	assert_int_equal(disk.sectors, SECTORS);
	assert_string_equal(disk.serial, "258.7");
	virtio_blk_init(&blk, &disk);
	rig_init(&rig, &blk.virtio);
	rig_start(&rig, RIG_VERSION_1, 128);
}

/* Request number `i` with its data at `gpa`; its own header and status byte. */
static void request(unsigned i, uint32_t type, uint64_t sector, gpa_t gpa, uint32_t bytes)
{
	struct rig_queue *q = &rig.queue[0];
	gpa_t header = HEADER + 16 * i;
	uint16_t d = (uint16_t)(3 * i);

	memset(host_ram() + header, 0, 16);
	memcpy(host_ram() + header, &type, 4);
	memcpy(host_ram() + header + 8, &sector, 8);
	host_ram()[STATUS + i] = 0xee;
	rig_desc(q, d, header, 16, RIG_NEXT, d + 1);
	rig_desc(q, d + 1, gpa, bytes, RIG_NEXT | (type == 0 ? RIG_WRITE : 0), d + 2);
	rig_desc(q, d + 2, STATUS + i, 1, RIG_WRITE, 0);
	rig_offer(q, d);
	rig_notify(&rig, 0);
}

static unsigned answers(void)
{
	unsigned count = 0;
	uint16_t head;
	uint32_t len;

	while (rig_take(&rig.queue[0], &head, &len))
		count++;
	return count;
}

static void names(void **state)
{
	static const char *const wrong[] = {"",
					    "1",
					    "1.",
					    ".1",
					    "1.2x",
					    "1.2.3",
					    "-1.2",
					    "65535.0",
					    "1.255",
					    "a.b",
					    "1 .2",
					    "4294967297.1",
					    "1.99999999999999999999"};
	struct blk_disk disk;
	struct why why;

	for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
		assert_int_equal(open_disk(wrong[i], &disk, &why), ERR_INVALID);
		assert_non_null(strstr(why.text, "expected a shelf and a slot, as aoe:1.2"));
	}
	assert_int_equal(open_disk("65534.254", &disk, &why), 0);
}

static void no_target_answers(void **state)
{
	struct blk_disk disk;
	struct why why;

	target.off = true;
	memset(&netdisk, 0, sizeof(netdisk));
	assert_int_equal(open_disk("3.4", &disk, &why), ERR_TIMEOUT);
	target.off = false;
	assert_string_equal(why.text, "no AoE target answers as shelf 3, slot 4 within 10 s; "
				      "is it running on this network?");
	assert_true(net->now >= 10 * NS_PER_S && net->now < 11 * NS_PER_S);
}

static void reads_and_writes(void **state)
{
	ready();
	request(0, 0, 3, DATA, 5 * 512);
	assert_true(net->wakes > 0);
	settle();
	assert_int_equal(answers(), 1);
	assert_int_equal(host_ram()[STATUS], 0);
	assert_memory_equal(host_ram() + DATA, target.disk + 3 * 512, 5 * 512);
	memset(host_ram() + DATA, 0x5a, 512);
	memset(host_ram() + DATA + 512, 0xa5, 512);
	request(0, 1, SECTORS - 2, DATA, 1024);
	request(1, 4, 0, DATA, 0);
	settle();
	assert_int_equal(answers(), 2);
	assert_int_equal(host_ram()[STATUS] | host_ram()[STATUS + 1], 0);
	assert_memory_equal(target.disk + (SECTORS - 2) * 512, host_ram() + DATA, 1024);
	assert_int_equal(target.flushes, 1);
	/* beyond its end the target is not even asked */
	target.writes = 0;
	request(0, 1, SECTORS - 1, DATA, 1024);
	settle();
	assert_int_equal(answers(), 1);
	assert_int_equal(host_ram()[STATUS], 1);
	assert_int_equal(target.writes, 0);
	assert_int_equal(host_ram_held(), 0);
}

static void all_requests_at_once(void **state)
{
	ready();
	for (unsigned i = 0; i < 40; i++)
		request(i, 0, i, DATA + 512 * i, 512);
	settle();
	assert_int_equal(answers(), 40);
	assert_memory_equal(host_ram() + DATA, target.disk, 40 * 512);
}

static void memory_that_is_not_there(void **state)
{
	for (unsigned type = 0; type < 2; type++) {
		ready();
		request(0, type, 0, RIG_RAM - 256, 512);
		settle();
		assert_int_equal(rig_common(&rig, 20, 1) & NEEDS_RESET, NEEDS_RESET);
		assert_int_equal(answers(), 0);
		assert_int_equal(host_ram_held(), 0);
		/* a reset makes it well again */
		rig_start(&rig, RIG_VERSION_1, 128);
		request(0, 0, 1, DATA, 512);
		settle();
		assert_int_equal(answers(), 1);
		assert_memory_equal(host_ram() + DATA, target.disk + 512, 512);
	}
}

/* What the target says to a request of before the reset writes nowhere. */
static void answers_after_a_reset(void **state)
{
	ready();
	request(0, 0, 0, DATA, 512);
	netdisk_poll(&netdisk);
	rig_start(&rig, RIG_VERSION_1, 128);
	memset(host_ram() + DATA, 0x77, 512);
	settle();
	assert_int_equal(answers(), 0);
	assert_int_equal(host_ram()[DATA], 0x77);
	request(0, 0, 0, DATA, 512);
	settle();
	assert_int_equal(answers(), 1);
}

/*
 * A target that has nothing to flush answers at once, and each answer may bring the next request: the poll
 * ends all the same, and says that it is to be called again.
 */
static void a_driver_without_end(void **state)
{
	struct rig_queue *q = &rig.queue[0];

	target.no_flush = true;
	ready();
	target.no_flush = false;
	for (unsigned i = 0; i < 40; i++)
		request(i, 4, 0, DATA, 0);
	/* a queue as full as a driver can make it, again and again */
	for (unsigned i = 0; i < 80; i++)
		rig_offer(q, 0);
	assert_int_equal(netdisk_poll(&netdisk), 0);
	assert_int_equal(answers(), BLK_DEPTH);
	for (unsigned i = 0; i < 20; i++) {
		rig_tick(&rig);
		netdisk_poll(&netdisk);
	}
	assert_int_equal(answers(), 120 - BLK_DEPTH);
	assert_int_equal(host_ram_held(), 0);
}

static void other_frames_are_not_its(void **state)
{
	uint8_t f[100] = {0};

	ready();
	for (size_t len = 0; len < 14; len++)
		assert_false(netdisk_frame(&netdisk, f, len));
	memcpy(f + 12, "\x88\xa2", 2);
	assert_false(netdisk_frame(&netdisk, f, 60)); /* the guest's own, maybe */
	memset(f, 0xff, 6);
	assert_false(netdisk_frame(&netdisk, f, 60));
	memcpy(f, net->lan.mac, 6);
	assert_true(netdisk_frame(&netdisk, f, 60));
	f[13] = 0xa3;
	assert_false(netdisk_frame(&netdisk, f, 60));
}

/* What a stranger sends to the node fills the ring and no more. */
static void a_flood(void **state)
{
	static uint8_t f[DOUBLE_FRAME];

	ready();
	memcpy(f, net->lan.mac, 6);
	memcpy(f + 12, "\x88\xa2", 2);
	for (unsigned i = 0; i < 1000; i++)
		assert_true(netdisk_frame(&netdisk, f, 14 + i * 4));
	settle();
	request(0, 0, 9, DATA, 512);
	settle();
	assert_int_equal(answers(), 1);
	assert_memory_equal(host_ram() + DATA, target.disk + 9 * 512, 512);
	/* one as long as the largest MTU allows, and one longer */
	assert_true(netdisk_frame(&netdisk, f, NETDISK_FRAME));
	assert_int_equal(frame_ring_first(&netdisk.came)->len, NETDISK_FRAME);
	frame_ring_drop(&netdisk.came);
	assert_true(netdisk_frame(&netdisk, f, NETDISK_FRAME + 1));
	assert_null(frame_ring_first(&netdisk.came));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(no_target_answers),
		cmocka_unit_test(reads_and_writes),
		cmocka_unit_test(all_requests_at_once),
		cmocka_unit_test(memory_that_is_not_there),
		cmocka_unit_test(answers_after_a_reset),
		cmocka_unit_test(a_driver_without_end),
		cmocka_unit_test(other_frames_are_not_its),
		cmocka_unit_test(a_flood),
	};

	return cmocka_run_group_tests_name("netdisk", tests, NULL, NULL);
}
