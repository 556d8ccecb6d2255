/* guest/virtq: buffers taken and given back, suppression, and every rule a driver can break. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "guest/virtq.h"
#include "tests/host/plat.h"
#include "tests/host/virtio_rig.h"

#define SIZE 8

static struct rig_queue driver;
static struct virtq q;
static struct virtq_chain chain;
static struct why why;

static void start(bool indirect, bool event_idx)
{
	host_ram_reset(RIG_RAM);
	rig_queue_init(&driver, 0x1000, SIZE);
	q = (struct virtq){
		.size = SIZE,
		.indirect = indirect,
		.event_idx = event_idx,
		.desc = driver.desc,
		.avail = driver.avail,
		.used = driver.used,
	};
	assert_int_equal(virtq_start(&q, &why), 0);
}

static int pop(void)
{
	int got = virtq_pop(&q, &chain, &why);

	assert_int_equal(host_ram_held(), 0);
	return got;
}

static bool push(uint16_t head, uint32_t written)
{
	bool interrupt;

	assert_int_equal(virtq_push(&q, head, written, &interrupt, &why), 0);
	assert_int_equal(host_ram_held(), 0);
	return interrupt;
}

static void set16(gpa_t at, uint16_t v)
{
	memcpy(host_ram() + at, &v, 2);
}

static uint16_t get16(gpa_t at)
{
	uint16_t v;

	memcpy(&v, host_ram() + at, 2);
	return v;
}

/* A buffer of one piece to read and one to write, many times round the ring and past 65535. */
static void buffers_go_round(void **state)
{
	uint16_t head;
	uint32_t len;

	start(false, false);
	assert_int_equal(pop(), 0);
	for (unsigned i = 0; i < 70000; i++) {
		uint16_t d = i % 4 * 2;

		rig_desc(&driver, d, 0x8000, 10, RIG_NEXT, d + 1);
		rig_desc(&driver, d + 1, 0x9000, 20, RIG_WRITE, 0);
		rig_offer(&driver, d);
		assert_int_equal(pop(), 1);
		assert_int_equal(chain.head, d);
		assert_int_equal(chain.out_bytes, 10);
		assert_int_equal(chain.in_bytes, 20);
		assert_true(push(d, i));
		assert_true(rig_take(&driver, &head, &len));
		assert_int_equal(head, d);
		assert_int_equal(len, i);
	}
	assert_int_equal(pop(), 0);
	assert_false(rig_take(&driver, &head, &len));
}

static void pieces_are_copied_across_their_borders(void **state)
{
	uint8_t out[5000], back[5000];

	start(false, false);
	for (unsigned i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7);
	/* one piece crosses a page, one is empty */
	rig_desc(&driver, 0, 0x8ffd, 7, RIG_NEXT, 1);
	rig_desc(&driver, 1, 0xa000, 0, RIG_NEXT, 2);
	rig_desc(&driver, 2, 0xb000, 3, RIG_NEXT, 3);
	rig_desc(&driver, 3, 0x20ff0, 4000, RIG_NEXT | RIG_WRITE, 4);
	rig_desc(&driver, 4, 0x30000, 1000, RIG_WRITE, 0);
	memcpy(host_ram() + 0x8ffd, "abcdefg", 7);
	memcpy(host_ram() + 0xb000, "hij", 3);
	rig_offer(&driver, 0);
	assert_int_equal(pop(), 1);
	assert_int_equal(virtq_read(&chain, 0, back, 10), 0);
	assert_memory_equal(back, "abcdefghij", 10);
	assert_int_equal(virtq_read(&chain, 6, back, 2), 0);
	assert_memory_equal(back, "gh", 2);
	assert_int_equal(virtq_read(&chain, 6, back, 5), ERR_RANGE);
	assert_int_equal(virtq_write(&chain, 0, out, 5000), 0);
	assert_memory_equal(host_ram() + 0x20ff0, out, 4000);
	assert_memory_equal(host_ram() + 0x30000, out + 4000, 1000);
	assert_int_equal(host_ram()[0x303e8], 0);
	assert_int_equal(virtq_write(&chain, 4999, out, 2), ERR_RANGE);
	assert_int_equal(host_ram_held(), 0);
}

static void indirect_tables(void **state)
{
	start(true, false);
	/* a direct piece, then a table that lies across two pages */
	rig_desc(&driver, 5, 0x8000, 16, RIG_NEXT, 6);
	rig_desc(&driver, 6, 0xafe8, 48, RIG_INDIRECT, 0);
	rig_desc_at(0xafe8, 0x9000, 100, RIG_NEXT, 2);
	rig_desc_at(0xb008, 0xc000, 1, RIG_WRITE, 0);
	rig_offer(&driver, 5);
	assert_int_equal(pop(), 1);
	assert_int_equal(chain.count, 3);
	assert_int_equal(chain.out_count, 2);
	assert_int_equal(chain.out_bytes, 116);
	assert_int_equal(chain.in_bytes, 1);
	assert_int_equal(chain.piece[2].gpa, 0xc000);
}

/* 2.7.7.1 */
static void the_driver_may_not_want_interrupts(void **state)
{
	start(false, false);
	rig_desc(&driver, 0, 0x8000, 1, 0, 0);
	rig_offer(&driver, 0);
	assert_int_equal(pop(), 1);
	set16(driver.avail, 1);
	assert_false(push(0, 0));
	set16(driver.avail, 0);
	assert_true(push(0, 0));
}

/* 2.7.7.2, 2.7.10 */
static void event_indices(void **state)
{
	gpa_t used_event, avail_event;

	start(false, true);
	used_event = driver.avail + 4 + 2 * SIZE;
	avail_event = driver.used + 4 + 8 * SIZE;
	rig_desc(&driver, 0, 0x8000, 1, 0, 0);
	for (unsigned i = 0; i < 3; i++)
		rig_offer(&driver, 0);
	/* the flag means nothing now; the third one is asked for */
	set16(driver.avail, 1);
	set16(used_event, 2);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(pop(), 1);
		assert_int_equal(get16(avail_event), 0);
		assert_int_equal(push(0, 0), i == 2);
	}
	assert_int_equal(pop(), 0);
	assert_int_equal(get16(avail_event), 3);
}

static void expect_refused(int err, const char *sentence)
{
	rig_offer(&driver, 0);
	assert_int_equal(pop(), err);
	assert_string_equal(why.text, sentence);
}

static void bad_chains(void **state)
{
	start(false, false);
	for (unsigned i = 0; i < SIZE; i++)
		rig_desc(&driver, i, 0x8000, 1, RIG_NEXT, (uint16_t)((i + 1) % SIZE));
	expect_refused(ERR_INVALID, "buffer 0 is a loop of descriptors");
	start(false, false);
	rig_desc(&driver, 0, 0x8000, 1, RIG_NEXT, SIZE);
	expect_refused(ERR_INVALID, "buffer 0 names descriptor 8 of a table of 8");
	start(false, false);
	rig_desc(&driver, 0, 0x8000, 1, RIG_NEXT | RIG_WRITE, 1);
	rig_desc(&driver, 1, 0x8000, 1, 0, 0);
	expect_refused(ERR_INVALID, "buffer 0 has a piece to read after one to write");
	start(false, false);
	rig_desc(&driver, 0, UINT64_MAX - 3, 8, 0, 0);
	expect_refused(ERR_INVALID, "buffer 0 has a piece of 8 bytes at 0xfffffffffffffffc");
	start(false, false);
	rig_desc(&driver, 0, 0x8000, 0xffffffff, RIG_NEXT, 1);
	rig_desc(&driver, 1, 0x8000, 1, 0, 0);
	expect_refused(ERR_INVALID, "buffer 0 has a piece of 1 bytes at 0x8000");
	start(false, false);
	rig_offer(&driver, 0xffff);
	assert_int_equal(pop(), ERR_INVALID);
	start(false, false);
	driver.offered = SIZE;
	expect_refused(ERR_INVALID, "9 buffers are available in a queue of 8");
	start(false, false);
	rig_desc(&driver, 0, 0x8000, 16, RIG_INDIRECT, 0);
	expect_refused(ERR_INVALID, "buffer 0 has an indirect descriptor where none may be");
}

static void bad_indirect_tables(void **state)
{
	start(true, false);
	rig_desc(&driver, 0, 0x8000, 16, RIG_INDIRECT | RIG_NEXT, 1);
	expect_refused(ERR_INVALID, "buffer 0 has an indirect descriptor where none may be");
	start(true, false);
	rig_desc(&driver, 0, 0x8000, 17, RIG_INDIRECT, 0);
	expect_refused(ERR_INVALID, "buffer 0 has an indirect table of 17 bytes");
	start(true, false);
	rig_desc(&driver, 0, 0x8000, 0, RIG_INDIRECT, 0);
	expect_refused(ERR_INVALID, "buffer 0 has an indirect table of 0 bytes");
	start(true, false);
	rig_desc(&driver, 0, 0x8000, 16, RIG_INDIRECT, 0);
	rig_desc_at(0x8000, 0x9000, 16, RIG_INDIRECT, 0);
	expect_refused(ERR_INVALID, "buffer 0 has an indirect descriptor where none may be");
	start(true, false);
	rig_desc(&driver, 0, RIG_RAM, 16, RIG_INDIRECT, 0);
	expect_refused(ERR_RANGE, "its descriptor at 0x100000 is not in RAM");
	start(true, false);
	rig_desc(&driver, 0, 0x8000, 4096, RIG_INDIRECT, 0);
	for (unsigned i = 0; i < 200; i++)
		rig_desc_at(0x8000 + 16 * i, 0x9000, 1, RIG_NEXT, (uint16_t)(i + 1));
	expect_refused(ERR_INVALID, "buffer 0 has more than 128 pieces");
}

static void rings_outside_of_memory(void **state)
{
	bool interrupt;

	start(false, false);
	q.avail = RIG_RAM;
	assert_int_equal(pop(), ERR_RANGE);
	assert_string_equal(why.text, "its available ring at 0x100000 is not in RAM");
	start(false, true);
	q.used = 1ull << 63;
	assert_int_equal(pop(), ERR_RANGE);
	assert_int_equal(virtq_push(&q, 0, 0, &interrupt, &why), ERR_RANGE);
	start(false, false);
	rig_desc(&driver, 0, RIG_RAM - 4, 8, 0, 0);
	rig_offer(&driver, 0);
	assert_int_equal(pop(), 1);
	uint8_t bytes[8];
	assert_int_equal(virtq_read(&chain, 0, bytes, 8), ERR_RANGE);
}

static void bad_starts(void **state)
{
	start(false, false);
	q.size = 12;
	assert_int_equal(virtq_start(&q, &why), ERR_INVALID);
	assert_string_equal(why.text, "its size is 12, expected a power of two up to 256");
	q.size = 0;
	assert_int_equal(virtq_start(&q, &why), ERR_INVALID);
	q.size = 512;
	assert_int_equal(virtq_start(&q, &why), ERR_INVALID);
	q.size = 8;
	q.used += 2;
	assert_int_equal(virtq_start(&q, &why), ERR_INVALID);
	q.used -= 2;
	q.desc += 8;
	assert_int_equal(virtq_start(&q, &why), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buffers_go_round),
		cmocka_unit_test(pieces_are_copied_across_their_borders),
		cmocka_unit_test(indirect_tables),
		cmocka_unit_test(the_driver_may_not_want_interrupts),
		cmocka_unit_test(event_indices),
		cmocka_unit_test(bad_chains),
		cmocka_unit_test(bad_indirect_tables),
		cmocka_unit_test(rings_outside_of_memory),
		cmocka_unit_test(bad_starts),
	};

	return cmocka_run_group_tests_name("virtq", tests, NULL, NULL);
}
