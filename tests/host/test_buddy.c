/* hv/x86/buddy.c against a map of who has which frame. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/x86/buddy.h"
#include "hv/base/bits.h"
#include "tests/host/plat.h"

#define FRAMES 1024u

struct rig {
	struct buddy b;
	uint8_t *mem;
	uint8_t state[FRAMES];
	uint8_t owner[FRAMES]; /* 0: not given, 1: free, 2: taken */
};

static int rig_make(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	r->mem = aligned_alloc(PAGE_SIZE, FRAMES * PAGE_SIZE);
	buddy_init(&r->b, r->mem, r->state, FRAMES);
	*state = r;
	return 0;
}

static int rig_free(void **state)
{
	struct rig *r = *state;

	free(r->mem);
	free(r);
	return 0;
}

static void give(struct rig *r, unsigned first, unsigned count)
{
	memset(r->owner + first, 1, count);
	buddy_add(&r->b, first, count);
}

static void mark(struct rig *r, uint64_t frame, unsigned order, uint8_t from, uint8_t to)
{
	for (uint64_t f = frame; f < frame + BIT(order); f++) {
		assert_int_equal(r->owner[f], from);
		r->owner[f] = to;
	}
}

static void empty_gives_nothing(void **state)
{
	struct rig *r = *state;

	assert_true(buddy_alloc(&r->b, 0) == BUDDY_NONE);
	assert_true(buddy_alloc(&r->b, BUDDY_MAX_ORDER) == BUDDY_NONE);
}

static void ragged_ranges_add_up(void **state)
{
	struct rig *r = *state;

	give(r, 0, 3);
	give(r, 5, 506);
	give(r, 511, 513);
	assert_int_equal(r->b.free_frames, 3 + 506 + 513);
	assert_int_equal(r->b.total_frames, r->b.free_frames);
	/* 512-1023 came in two parts and must have become one block again. */
	assert_int_equal(buddy_alloc(&r->b, 9), 512);
	assert_true(buddy_alloc(&r->b, 9) == BUDDY_NONE);
}

static void blocks_are_aligned_and_disjoint(void **state)
{
	struct rig *r = *state;
	struct {
		uint64_t frame;
		unsigned order;
	} held[FRAMES];
	unsigned count = 0;

	give(r, 0, FRAMES);
	srand(42);
	for (unsigned step = 0; step < 20000; step++) {
		unsigned order = (unsigned)rand() % 6;

		if (rand() % 2) {
			uint64_t frame = buddy_alloc(&r->b, order);

			if (frame == BUDDY_NONE)
				continue;
			assert_true(is_aligned(frame, BIT(order)));
			mark(r, frame, order, 1, 2);
			memset(r->mem + frame * PAGE_SIZE, 0xee, PAGE_SIZE << order);
			held[count].frame = frame;
			held[count++].order = order;
		} else if (count) {
			unsigned i = (unsigned)rand() % count;

			mark(r, held[i].frame, held[i].order, 2, 1);
			buddy_free(&r->b, held[i].frame, held[i].order);
			held[i] = held[--count];
		}
	}
	while (count) {
		count--;
		buddy_free(&r->b, held[count].frame, held[count].order);
	}
	assert_int_equal(r->b.free_frames, FRAMES);
	/* Everything has joined again. */
	assert_int_equal(buddy_alloc(&r->b, 10), 0);
}

static void small_blocks_split_large_ones(void **state)
{
	struct rig *r = *state;

	give(r, 0, FRAMES);
	for (unsigned i = 0; i < FRAMES; i++)
		mark(r, buddy_alloc(&r->b, 0), 0, 1, 2);
	assert_int_equal(r->b.free_frames, 0);
	assert_true(buddy_alloc(&r->b, 0) == BUDDY_NONE);
}

static bool free_panics(struct buddy *b, uint64_t frame, unsigned order)
{
	host_panic_expected = true;
	if (setjmp(host_panic_jump) == 0) {
		buddy_free(b, frame, order);
		host_panic_expected = false;
		return false;
	}
	host_panic_expected = false;
	return true;
}

static void wrong_frees_panic(void **state)
{
	struct rig *r = *state;
	uint64_t frame;

	give(r, 0, FRAMES);
	frame = buddy_alloc(&r->b, 2);
	assert_true(free_panics(&r->b, frame, 1));
	assert_true(free_panics(&r->b, frame + 1, 2));
	assert_true(free_panics(&r->b, FRAMES, 2));
	buddy_free(&r->b, frame, 2);
	assert_true(free_panics(&r->b, frame, 2));
}

/* Of 2^8 frames so many stay; all others can be had again, and nobody gets those that stay. */
static void a_trimmed_block_gives_its_tail_back(void **state)
{
	struct rig *r = *state;

	give(r, 0, FRAMES);
	for (unsigned count = 1; count <= 256; count += 51) {
		uint64_t before = r->b.free_frames, frame = buddy_alloc(&r->b, 8);

		if (frame == BUDDY_NONE)
			break;
		buddy_trim(&r->b, frame, 8, count);
		assert_int_equal(r->b.free_frames, before - count);
		for (uint64_t f = frame; f < frame + count; f++) {
			assert_int_equal(r->owner[f], 1);
			r->owner[f] = 3;
		}
		assert_true(free_panics(&r->b, frame, 8));
	}
	for (uint64_t frame; (frame = buddy_alloc(&r->b, 0)) != BUDDY_NONE;)
		mark(r, frame, 0, 1, 2);
	assert_int_equal(r->b.free_frames, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(empty_gives_nothing, rig_make, rig_free),
		cmocka_unit_test_setup_teardown(ragged_ranges_add_up, rig_make, rig_free),
		cmocka_unit_test_setup_teardown(blocks_are_aligned_and_disjoint, rig_make,
						rig_free),
		cmocka_unit_test_setup_teardown(small_blocks_split_large_ones, rig_make, rig_free),
		cmocka_unit_test_setup_teardown(wrong_frees_panic, rig_make, rig_free),
		cmocka_unit_test_setup_teardown(a_trimmed_block_gives_its_tail_back, rig_make,
						rig_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
