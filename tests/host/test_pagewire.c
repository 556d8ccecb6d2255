/*
 * net/pages/pagewire.c and delta.c: two ends that exchange pages as nodes do; each gets what the other has.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/pages/delta.h"
#include "net/pages/pagewire.h"

#define PAGES 300u /* more than there are slots */

static struct pagewire ends[2];
static struct pagewire_scratch scratch;
static void *memory[2];
static uint64_t pages[PAGES][PAGE_SIZE / 8];

static int make(void **state)
{
	srandom(1);
	for (unsigned i = 0; i < 2; i++) {
		memory[i] = malloc(PAGEWIRE_BYTES);
		pagewire_init(&ends[i], memory[i]);
	}
	memset(pages, 0, sizeof(pages));
	return 0;
}

static int drop(void **state)
{
	free(memory[0]);
	free(memory[1]);
	return 0;
}

static unsigned any(unsigned below)
{
	return (unsigned)random() % below;
}

static void change(uint64_t *page, unsigned words)
{
	for (unsigned i = 0; i < words; i++)
		page[any(PAGE_SIZE / 8)] = (uint64_t)random() << 32 | (uint64_t)random();
}

/* As over a wire: what arrives is a copy of just that length. */
static void travel(unsigned from, gfn_t gfn, uint64_t *page)
{
	uint64_t out[PAGE_SIZE / 8];
	struct page_parcel parcel;
	void *copy;

	pagewire_send(&ends[from], &scratch, gfn, page, &parcel);
	assert_true(parcel.len <= PAGE_SIZE &&
		    (parcel.form == PAGE_PLAIN || parcel.len <= PAGEWIRE_MAX));
	copy = malloc(parcel.len ? parcel.len : 1);
	memcpy(copy, parcel.bytes, parcel.len);
	parcel.bytes = copy;
	assert_true(pagewire_receive(&ends[!from], &parcel, out));
	assert_memory_equal(out, page, PAGE_SIZE);
	free(copy);
}

static void every_page_arrives(void **state)
{
	for (unsigned turn = 0; turn < 20000; turn++) {
		unsigned hot = any(4) ? any(20) : any(PAGES);

		change(pages[hot], any(3) ? any(40) : any(600));
		travel(any(2), hot, pages[hot]);
	}
	for (unsigned i = 0; i < 2; i++)
		for (unsigned form = 0; form < PAGE_FORMS; form++)
			assert_true(ends[i].count[form] > 100);
}

static void what_changed_is_small(void **state)
{
	struct page_parcel parcel;

	change(pages[0], 600);
	pagewire_send(&ends[0], &scratch, 7, pages[0], &parcel);
	assert_int_equal(parcel.form, PAGE_PLAIN);
	pages[0][100] ^= 1;
	pages[0][101] ^= 1;
	pages[0][511] ^= 1;
	pagewire_send(&ends[0], &scratch, 7, pages[0], &parcel);
	assert_int_equal(parcel.form, PAGE_DELTA);
	assert_int_equal(parcel.len, 2 * 4 + 3 * 8);
	pagewire_send(&ends[0], &scratch, 7, pages[0], &parcel);
	assert_int_equal(parcel.form, PAGE_DELTA);
	assert_int_equal(parcel.len, 0);
}

static void room_is_kept(void **state)
{
	uint8_t *out;
	size_t len;

	pages[1][3] = 1;
	pages[1][9] = 1;
	for (size_t room = 0; room < 24; room++) {
		out = malloc(room ? room : 1);
		assert_false(delta_make(pages[0], pages[1], out, room, &len));
		free(out);
	}
	out = malloc(24);
	assert_true(delta_make(pages[0], pages[1], out, 24, &len));
	assert_int_equal(len, 24);
	free(out);
}

/* Whatever comes, nothing is read or written outside; the sanitizer watches. */
static void noise_is_harmless(void **state)
{
	unsigned refused = 0;

	for (unsigned turn = 0; turn < 20000; turn++) {
		size_t len = any(64);
		uint8_t *some = malloc(len ? len : 1), *page = malloc(PAGE_SIZE);
		struct page_parcel parcel = {(enum page_form)any(5), (uint8_t)any(256), some, len};

		for (size_t i = 0; i < len; i++)
			some[i] = any(3) ? 0 : (uint8_t)random();
		if (!pagewire_receive(&ends[0], &parcel, page))
			refused++;
		else
			assert_true(parcel.form == PAGE_DELTA && parcel.slot < PAGEWIRE_SLOTS);
		free(page);
		free(some);
	}
	assert_in_range(refused, 15000, 19990);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_page_arrives, make, drop),
		cmocka_unit_test_setup_teardown(what_changed_is_small, make, drop),
		cmocka_unit_test_setup_teardown(room_is_kept, make, drop),
		cmocka_unit_test_setup_teardown(noise_is_harmless, make, drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
