/* net/aoe against a fake target behind a wire that may lose, double and reorder frames. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/bits.h"
#include "net/aoe/aoe.h"

#define SECTORS 400
#define SHELF   0x0102
#define SLOT    7
#define DEAD    (20 * NS_PER_S)
#define IOS     8
#define IO_MAX  40
#define FRAMES  256
#define FRAME   (AOE_FRAME_MAX(4400))

static const uint8_t us[] = {2, 0, 0, 0, 0, 1}, stranger[] = {2, 0, 0, 0, 0, 9};

/* --- The target --- */

static struct {
	uint8_t mac[6];
	uint8_t disk[SECTORS * AOE_SECTOR];
	bool off, lba28, no_flush;
	uint16_t buffers;
	uint8_t per_frame; /* as it says */
	unsigned flushes, seen_flush, queries, most_at_once, at_once;
	uint8_t ata_error, aoe_error;
} target;

/* --- The wire: frames under way, each with the time it arrives --- */

static struct wire_frame {
	bool used, to_target;
	uint64_t at;
	size_t len;
	uint8_t bytes[FRAME];
} wire[FRAMES];
static struct {
	unsigned lose, doubled, reorder; /* percent */
	uint64_t delay;
	uint32_t seed;
} faults;

static struct aoe aoe;
static uint64_t now;
static struct aoe_io ios[IOS];
static uint8_t buffer[IOS][IO_MAX * AOE_SECTOR];
static bool no_memory;

static unsigned chance(unsigned percent)
{
	faults.seed = faults.seed * 1664525 + 1013904223;
	return (faults.seed >> 16) % 100 < percent;
}

static void put_on_wire(const void *bytes, size_t len, bool to_target)
{
	unsigned copies = chance(faults.lose) ? 0 : chance(faults.doubled) ? 2 : 1;

	for (unsigned i = 0; i < FRAMES && copies; i++) {
		if (wire[i].used)
			continue;
		wire[i] = (struct wire_frame){true, to_target, now + faults.delay, len, {0}};
		if (chance(faults.reorder))
			wire[i].at += 3 * faults.delay;
		memcpy(wire[i].bytes, bytes, len);
		copies--;
	}
	assert_int_equal(copies, 0);
}

static void identify(uint8_t *data)
{
	uint32_t commands = (target.lba28 ? 0 : 1u << 10) | (target.no_flush ? 0 : 1u << 12);

	memset(data, 0, AOE_SECTOR);
	data[2 * 83] = (uint8_t)commands;
	data[2 * 83 + 1] = (uint8_t)(commands >> 8);
	data[2 * 60] = SECTORS & 0xff;
	data[2 * 60 + 1] = SECTORS >> 8;
	if (!target.lba28)
		memcpy(data + 200, data + 120, 4);
}

/* Carries out an ATA command within the frame and returns the answer's length. */
static size_t run_ata(uint8_t *f, size_t len)
{
	uint64_t lba = 0;
	uint8_t command = f[27], count = f[26];
	uint32_t bytes = count * AOE_SECTOR;

	for (unsigned i = 0; i < 6; i++)
		lba |= (uint64_t)f[28 + i] << 8 * i;
	if (command == 0x20 || command == 0x30) {
		assert_int_equal(f[31] & 0xe0, 0xe0);
		lba &= 0x0fffffff;
	}
	assert_int_equal(f[24] & 0x40, command == 0x24 || command == 0x34 ? 0x40 : 0);
	assert_int_equal(f[24] & 1, command == 0x30 || command == 0x34);
	f[27] = target.ata_error;
	switch (command) {
	case 0xec:
		identify(f + 36);
		return 36 + AOE_SECTOR;
	case 0x20:
	case 0x24:
		assert_true(count && count <= target.per_frame && lba + count <= SECTORS);
		memcpy(f + 36, target.disk + lba * AOE_SECTOR, bytes);
		return 36 + bytes;
	case 0x30:
	case 0x34:
		assert_true(count && count <= target.per_frame && lba + count <= SECTORS);
		assert_int_equal(len, 36 + bytes);
		memcpy(target.disk + lba * AOE_SECTOR, f + 36, bytes);
		return 60;
	default:
		assert_int_equal(command, 0xe7);
		target.flushes++;
		return 60;
	}
}

static void target_takes(struct wire_frame *w)
{
	static uint8_t f[FRAME];
	size_t len = w->len;

	memcpy(f, w->bytes, len);
	assert_true(len >= 60);
	if (target.off || (memcmp(f, target.mac, 6) && f[0] != 0xff))
		return;
	/* 2: version 1, a request, to shelf and slot */
	assert_memory_equal(f + 12, "\x88\xa2\x10\x00\x01\x02\x07", 7);
	if (f[19] == 1) {
		assert_int_equal(f[0], 0xff);
		target.queries++;
		f[24] = (uint8_t)(target.buffers >> 8);
		f[25] = (uint8_t)target.buffers;
		f[28] = target.per_frame;
		f[29] = 0x10;
	} else {
		assert_int_equal(f[19], 0);
		len = run_ata(f, len);
	}
	f[14] |= 0x08 | (target.aoe_error ? 0x04 : 0);
	f[15] = target.aoe_error;
	memcpy(f, f + 6, 6);
	memcpy(f + 6, target.mac, 6);
	put_on_wire(f, MAX(len, 60u), false);
}

/* --- The initiator's side --- */

static bool get(void *ctx, struct aoe_io *io, uint32_t offset, void *buf, uint32_t len)
{
	assert_true(io->op == AOE_WRITE && offset + len <= io->count * AOE_SECTOR);
	memcpy(buf, buffer[io - ios] + offset, len);
	return !no_memory;
}

static bool put(void *ctx, struct aoe_io *io, uint32_t offset, const void *buf, uint32_t len)
{
	assert_true(io->op == AOE_READ && offset + len <= io->count * AOE_SECTOR);
	memcpy(buffer[io - ios] + offset, buf, len);
	return !no_memory;
}

static void send_all(void)
{
	static uint8_t f[FRAME];
	size_t len;

	while ((len = aoe_tx(&aoe, now, f)) > 0)
		put_on_wire(f, len, true);
	assert_true(aoe.in_flight <= AOE_FRAMES);
	target.most_at_once = MAX(target.most_at_once, aoe.in_flight);
}

/* One event: the next frame arrives, or the deadline. False: nothing will ever happen. */
static bool step(void)
{
	uint64_t next = aoe_deadline(&aoe);
	struct wire_frame *first = NULL;

	for (unsigned i = 0; i < FRAMES; i++) {
		if (wire[i].used && wire[i].at <= next) {
			next = wire[i].at;
			first = &wire[i];
		}
	}
	if (next == UINT64_MAX)
		return false;
	now = MAX(now, next);
	if (first && first->to_target)
		target_takes(first);
	else if (first)
		aoe_rx(&aoe, now, first->bytes, first->len);
	if (first)
		first->used = false;
	send_all();
	return true;
}

static void power_on(uint16_t mtu)
{
	static const struct aoe_data_ops data = {get, put};
	struct aoe_config config = {
		.shelf = SHELF, .slot = SLOT, .mtu = mtu, .dead_ns = DEAD, .data = &data};

	memcpy(config.mac, us, 6);
	memset(wire, 0, sizeof(wire));
	memset(&target, 0, sizeof(target));
	memset(&faults, 0, sizeof(faults));
	faults.delay = 100 * NS_PER_US;
	memcpy(target.mac, "\x02\x00\x00\x00\x00\x02", 6);
	target.buffers = 16;
	target.per_frame = 2;
	for (unsigned i = 0; i < sizeof(target.disk); i++)
		target.disk[i] = (uint8_t)(i * 7 + i / 512);
	no_memory = false;
	now = 1000;
	aoe_init(&aoe, &config, now);
}

static void find(void)
{
	send_all();
	for (unsigned i = 0; i < 1000 && aoe.state != AOE_READY; i++)
		step();
	assert_int_equal(aoe.state, AOE_READY);
}

static void submit(unsigned i, enum aoe_op op, uint64_t sector, uint32_t count)
{
	ios[i] = (struct aoe_io){.op = op, .sector = sector, .count = count};
	aoe_submit(&aoe, &ios[i]);
	send_all();
}

static struct aoe_io *wait(void)
{
	struct aoe_io *io = NULL;

	for (unsigned i = 0; i < 100000 && !(io = aoe_done(&aoe)); i++) {
		if (!step())
			break;
	}
	return io;
}

/* --- Tests --- */

static void it_finds_its_target(void **state)
{
	static uint8_t f[FRAME];

	power_on(1500);
	/* 3.2: to everyone, from us, for this shelf and slot */
	assert_int_equal(aoe_tx(&aoe, now, f), 60);
	assert_memory_equal(f, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xa2", 14);
	assert_memory_equal(f + 14, "\x10\x00\x01\x02\x07\x01", 6);
	assert_int_equal(aoe_tx(&aoe, now, f), 0);
	/* asked again until someone answers */
	target.off = true;
	for (unsigned i = 0; i < 10; i++)
		step();
	assert_int_equal(aoe.state, AOE_SEEKING);
	target.off = false;
	find();
	assert_int_equal(aoe.sectors, SECTORS);
	assert_int_equal(aoe_deadline(&aoe), UINT64_MAX);
	assert_int_equal(target.queries, 1);
}

static void reads_writes_and_flushes(void **state)
{
	power_on(1500);
	find();
	submit(0, AOE_READ, 3, 9);
	assert_ptr_equal(wait(), &ios[0]);
	assert_false(ios[0].failed);
	assert_memory_equal(buffer[0], target.disk + 3 * 512, 9 * 512);
	memset(buffer[1], 0x5a, 512 * 5);
	submit(1, AOE_WRITE, SECTORS - 5, 5);
	assert_ptr_equal(wait(), &ios[1]);
	assert_memory_equal(target.disk + (SECTORS - 5) * 512, buffer[1], 5 * 512);
	assert_int_equal(target.disk[(SECTORS - 5) * 512 - 1],
			 (uint8_t)((SECTORS - 5) * 3584 - 7 + SECTORS - 6));
	submit(2, AOE_FLUSH, 0, 0);
	assert_ptr_equal(wait(), &ios[2]);
	assert_int_equal(target.flushes, 1);
	assert_int_equal(aoe.stats.resent, 0);
	assert_int_equal(aoe.in_flight, 0);
}

static void an_old_target(void **state)
{
	power_on(1500);
	target.lba28 = target.no_flush = true;
	target.per_frame = 1;
	target.buffers = 1;
	find();
	assert_int_equal(aoe.sectors, SECTORS);
	target.most_at_once = 0;
	submit(0, AOE_READ, 300, 3);
	submit(1, AOE_WRITE, 0, 2);
	submit(2, AOE_FLUSH, 0, 0);
	for (unsigned i = 0; i < 3; i++)
		assert_false(wait()->failed);
	assert_memory_equal(buffer[0], target.disk + 300 * 512, 3 * 512);
	assert_memory_equal(buffer[1], target.disk, 2 * 512);
	assert_int_equal(target.most_at_once, 1);
	assert_int_equal(target.flushes, 0);
}

static void large_frames(void **state)
{
	power_on(4400);
	target.per_frame = 8;
	find();
	aoe.stats.frames_out = 0;
	submit(0, AOE_READ, 0, 40);
	assert_false(wait()->failed);
	assert_memory_equal(buffer[0], target.disk, 40 * 512);
	assert_int_equal(aoe.stats.frames_out, 5);
}

/* Every sector is checked against what was last written to it. */
static void a_bad_wire(void **state)
{
	static uint8_t model[SECTORS * AOE_SECTOR];
	unsigned done = 0;

	power_on(1500);
	faults.lose = 10;
	faults.doubled = 10;
	faults.seed = 42;
	memcpy(model, target.disk, sizeof(model));
	find();
	/* Each request has sectors of its own, as a file system sees to. */
	for (unsigned round = 0; round < 60; round++) {
		faults.reorder = round % 3 ? 0 : 15;
		for (unsigned i = 0; i < IOS; i++) {
			uint64_t sector = i * 50 + (round * 7 + i) % 10;
			bool write = (round + i) % 2;

			for (unsigned b = 0; write && b < IO_MAX * AOE_SECTOR; b++)
				buffer[i][b] = (uint8_t)(b * 3 + round * 11 + b / 512);
			if (write)
				memcpy(model + sector * 512, buffer[i], IO_MAX * AOE_SECTOR);
			submit(i, write ? AOE_WRITE : AOE_READ, sector, IO_MAX);
		}
		for (unsigned i = 0; i < IOS; i++) {
			struct aoe_io *io = wait();

			assert_non_null(io);
			assert_false(io->failed);
			assert_memory_equal(buffer[io - ios], model + io->sector * 512,
					    IO_MAX * AOE_SECTOR);
			done++;
		}
		/* What is late arrives before the same sectors are written again. */
		while (step())
			;
	}
	assert_int_equal(done, 60 * IOS);
	assert_memory_equal(model, target.disk, sizeof(model));
	assert_true(aoe.stats.resent > 100);
	assert_true(aoe.stats.ignored > 100);
	assert_int_equal(aoe.in_flight, 0);
	assert_true(target.most_at_once <= 16);
}

/* The round trip is learned, so a loss costs little more than that. */
static void the_time_out_follows_the_wire(void **state)
{
	power_on(1500);
	find();
	for (unsigned i = 0; i < 40; i++) {
		submit(0, AOE_READ, 0, 2);
		wait();
	}
	assert_int_equal(aoe.rto, 20 * NS_PER_MS);
	/* the answer to a frame sent twice tells nothing of the round trip */
	faults.lose = 100;
	submit(0, AOE_READ, 0, 2);
	faults.lose = 0;
	assert_false(wait()->failed);
	assert_int_equal(aoe.stats.resent, 1);
	assert_true(aoe.rtt < 1 * NS_PER_MS);
	faults.delay = 50 * NS_PER_MS;
	for (unsigned i = 0; i < 40; i++) {
		submit(0, AOE_READ, 0, 2);
		wait();
	}
	assert_true(aoe.rto > 100 * NS_PER_MS && aoe.rto < 300 * NS_PER_MS);
}

static void what_the_target_refuses_fails(void **state)
{
	power_on(1500);
	find();
	target.ata_error = 0x41;
	submit(0, AOE_READ, 0, 40);
	assert_true(wait()->failed);
	target.ata_error = 0;
	target.aoe_error = 3;
	submit(1, AOE_WRITE, 0, 1);
	assert_true(wait()->failed);
	target.aoe_error = 0;
	no_memory = true;
	submit(2, AOE_WRITE, 0, 20);
	assert_true(wait()->failed);
	submit(2, AOE_READ, 0, 20);
	assert_true(wait()->failed);
	no_memory = false;
	while (step())
		;
	assert_null(aoe_done(&aoe));
	assert_int_equal(aoe.stats.errors, 4);
	assert_int_equal(aoe.in_flight, 0);
	submit(3, AOE_READ, 0, 1);
	assert_false(wait()->failed);
}

static void a_dead_target(void **state)
{
	uint64_t began;

	power_on(1500);
	find();
	began = now;
	target.off = true;
	submit(0, AOE_READ, 0, 40);
	submit(1, AOE_FLUSH, 0, 0);
	assert_true(wait()->failed);
	assert_true(now - began >= DEAD && now - began < DEAD + 3 * NS_PER_S);
	assert_true(wait()->failed);
	/* it comes back with another card, within a request's patience */
	submit(2, AOE_WRITE, 7, 1);
	for (unsigned i = 0; i < 20; i++)
		step();
	target.off = false;
	target.mac[5] = 3;
	began = now;
	assert_false(wait()->failed);
	/* asked for twice a second, and sent to again as soon as it is found */
	assert_true(now - began < 600 * NS_PER_MS);
	assert_memory_equal(target.disk + 7 * 512, buffer[2], 512);
	assert_false(aoe.seek_again);
}

static void strangers_and_damage(void **state)
{
	static uint8_t f[FRAME];
	uint64_t ignored;
	struct wire_frame *w = NULL;

	power_on(1500);
	find();
	submit(0, AOE_READ, 0, 2);
	step();
	for (unsigned i = 0; i < FRAMES; i++)
		w = wire[i].used && !wire[i].to_target ? &wire[i] : w;
	assert_non_null(w);
	ignored = aoe.stats.ignored;
	for (unsigned spoil = 0; spoil < 36; spoil++) {
		/* not told from the real answer: the error byte, ATA's error register and address */
		if (spoil == 15 || spoil == 24 || spoil == 25 || spoil == 26 || spoil >= 28)
			continue;
		memcpy(f, w->bytes, w->len);
		f[spoil] ^= spoil == 27 ? 0 : 0x10;
		aoe_rx(&aoe, now, f, spoil == 27 ? w->len - 1 : w->len);
		assert_true(++ignored >= aoe.stats.ignored);
		assert_int_equal(aoe.in_flight, 1);
	}
	memcpy(f, w->bytes, w->len);
	memcpy(f + 6, stranger, 6);
	aoe_rx(&aoe, now, f, w->len);
	for (size_t len = 0; len < 60; len++)
		aoe_rx(&aoe, now, w->bytes, len);
	assert_int_equal(aoe.in_flight, 1);
	/* a configuration that nobody asked for */
	f[19] = 1;
	aoe_rx(&aoe, now, f, 60);
	assert_memory_equal(aoe.target, target.mac, 6);
	assert_false(wait()->failed);
}

static void cancelled(void **state)
{
	power_on(1500);
	find();
	for (unsigned i = 0; i < IOS; i++)
		submit(i, AOE_READ, 0, 40);
	step();
	step();
	aoe_cancel(&aoe);
	assert_int_equal(aoe.in_flight, 0);
	memset(buffer, 0xcc, sizeof(buffer));
	while (step())
		;
	assert_null(aoe_done(&aoe));
	assert_int_equal(buffer[0][0], 0xcc);
	submit(0, AOE_READ, 1, 2);
	assert_ptr_equal(wait(), &ios[0]);
	assert_memory_equal(buffer[0], target.disk + 512, 1024);
}

/* What is asked before the target is found waits for it. */
static void early_requests(void **state)
{
	power_on(1500);
	submit(0, AOE_READ, 9, 4);
	assert_int_equal(aoe.state, AOE_SEEKING);
	assert_false(wait()->failed);
	assert_memory_equal(buffer[0], target.disk + 9 * 512, 4 * 512);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_finds_its_target),
		cmocka_unit_test(reads_writes_and_flushes),
		cmocka_unit_test(an_old_target),
		cmocka_unit_test(large_frames),
		cmocka_unit_test(a_bad_wire),
		cmocka_unit_test(the_time_out_follows_the_wire),
		cmocka_unit_test(what_the_target_refuses_fails),
		cmocka_unit_test(a_dead_target),
		cmocka_unit_test(strangers_and_damage),
		cmocka_unit_test(cancelled),
		cmocka_unit_test(early_requests),
	};

	return cmocka_run_group_tests_name("aoe", tests, NULL, NULL);
}
