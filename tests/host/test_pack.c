/* net/pages/pack.c: pages of every kind come out as they went in, and nothing else comes out at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/pages/pack.h"

#define ROOM 2700u

static uint8_t page[PAGE_SIZE], out[PAGE_SIZE];
static uint64_t scratch[PACK_SCRATCH / 8];
/* Of the size it is told to be, so that the sanitizer sees a byte too many. */
static uint8_t *packed;

static int make(void **state)
{
	srandom(1);
	packed = malloc(ROOM);
	return 0;
}

static int drop(void **state)
{
	free(packed);
	return 0;
}

static void fill(unsigned random_bytes)
{
	memset(page, 0, sizeof(page));
	for (unsigned i = 0; i < random_bytes; i++)
		page[(unsigned)random() % PAGE_SIZE] = (uint8_t)random();
}

static void round_trip(void **state)
{
	for (unsigned amount = 0; amount < 1200; amount += 7) {
		size_t len;

		fill(amount);
		len = pack_page(page, packed, ROOM, scratch);
		if (!len) {
			assert_in_range(amount, 600, 1200);
			continue;
		}
		assert_in_range(len, 1, ROOM);
		memset(out, 0xee, sizeof(out));
		assert_true(unpack_page(packed, len, out));
		assert_memory_equal(page, out, PAGE_SIZE);
	}
}

static void noise_does_not_fit(void **state)
{
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		page[i] = (uint8_t)random();
	assert_int_equal(pack_page(page, packed, ROOM, scratch), 0);
}

static void cut_and_long_ones_are_refused(void **state)
{
	size_t len;

	fill(300);
	len = pack_page(page, packed, ROOM, scratch);
	assert_true(len > 0);
	for (size_t cut = 0; cut < len; cut++) {
		uint8_t *some = malloc(cut ? cut : 1);

		memcpy(some, packed, cut);
		assert_false(unpack_page(some, cut, out));
		free(some);
	}
	assert_false(unpack_page(packed, len + 1, out));
}

/* Whatever comes, nothing is read or written outside; the sanitizer watches. */
static void noise_is_harmless(void **state)
{
	for (unsigned turn = 0; turn < 20000; turn++) {
		size_t len = 1 + (unsigned)random() % 64;
		uint8_t *some = malloc(len), *target = malloc(PAGE_SIZE);

		for (size_t i = 0; i < len; i++)
			some[i] = (uint8_t)random();
		(void)!unpack_page(some, len, target);
		free(target);
		free(some);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(round_trip, make, drop),
		cmocka_unit_test_setup_teardown(noise_does_not_fit, make, drop),
		cmocka_unit_test_setup_teardown(cut_and_long_ones_are_refused, make, drop),
		cmocka_unit_test_setup_teardown(noise_is_harmless, make, drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
