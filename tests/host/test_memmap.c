/* hv/x86/memmap.c: overlaps, ragged edges, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/x86/memmap.h"
#include "tests/host/plat.h"

static struct memmap map;
static struct why why;

#define BUILD(...)                                                                \
	do {                                                                      \
		const struct handoff_range in[] = {__VA_ARGS__};                  \
		assert_int_equal(memmap_build(&map, in, ARRAY_LEN(in), &why), 0); \
	} while (0)

static void is(unsigned i, uint64_t base, uint64_t end, uint32_t kind)
{
	assert_true(i < map.count);
	assert_int_equal(map.ranges[i].base, base);
	assert_int_equal(map.ranges[i].base + map.ranges[i].size, end);
	assert_int_equal(map.ranges[i].kind, kind);
}

static void sorts_and_joins(void **state)
{
	BUILD({0x200000, 0x100000, HANDOFF_RAM, 0}, {0x100000, 0x100000, HANDOFF_RAM, 0},
	      {0, 0x9f000, HANDOFF_RAM, 0});
	assert_int_equal(map.count, 2);
	is(0, 0, 0x9f000, HANDOFF_RAM);
	is(1, 0x100000, 0x300000, HANDOFF_RAM);
}

static void careful_kinds_win(void **state)
{
	BUILD({0, 0x100000, HANDOFF_RAM, 0}, {0x10000, 0x20000, HANDOFF_RESERVED, 0},
	      {0x20000, 0x20000, HANDOFF_FILE, 0}, {0x28000, 0x1000, HANDOFF_CORE, 0},
	      {0x80000, 0x80000, HANDOFF_NVS, 0});
	is(0, 0, 0x10000, HANDOFF_RAM);
	is(1, 0x10000, 0x20000, HANDOFF_RESERVED);
	is(2, 0x20000, 0x28000, HANDOFF_FILE);
	is(3, 0x28000, 0x29000, HANDOFF_CORE);
	is(4, 0x29000, 0x40000, HANDOFF_FILE);
	is(5, 0x40000, 0x80000, HANDOFF_RAM);
	is(6, 0x80000, 0x100000, HANDOFF_NVS);
	assert_int_equal(map.count, 7);
}

static void ram_shrinks_and_the_rest_grows_to_pages(void **state)
{
	BUILD({0x1001, 0x3fff, HANDOFF_RAM, 0}, {0x8fff, 2, HANDOFF_RESERVED, 0},
	      {0x20001, 0xffe, HANDOFF_RAM, 0}, {0x30000, 0, HANDOFF_FILE, 0});
	assert_int_equal(map.count, 2);
	is(0, 0x2000, 0x5000, HANDOFF_RAM);
	is(1, 0x8000, 0xa000, HANDOFF_RESERVED);
}

static void the_top_of_the_address_space_is_no_trap(void **state)
{
	BUILD({0x100000, 0x100000, HANDOFF_RAM, 0},
	      {UINT64_MAX - 0x1fff, UINT64_MAX, HANDOFF_RESERVED, 0},
	      {UINT64_MAX, 1, HANDOFF_RESERVED, 0}, {0x150000, 0x1000, 77, 0});
	is(map.count - 1, UINT64_MAX - 0x1fff, UINT64_MAX & PAGE_MASK, HANDOFF_RESERVED);
	is(1, 0x150000, 0x151000, HANDOFF_RESERVED);
	assert_int_equal(memmap_top(&map), 0x200000);
}

static void most_ranges_still_fit(void **state)
{
	static struct handoff_range in[HANDOFF_RANGES];

	in[0] = (struct handoff_range){0, GIB(1), HANDOFF_RAM, 0};
	for (unsigned i = 1; i < HANDOFF_RANGES; i++)
		in[i] = (struct handoff_range){i * 0x3000ull, 0x1000, HANDOFF_BAD, 0};
	assert_int_equal(memmap_build(&map, in, HANDOFF_RANGES, &why), 0);
	assert_int_equal(map.count, 2 * HANDOFF_RANGES - 1);
	assert_int_equal(memmap_build(&map, in, HANDOFF_RANGES + 1, &why), ERR_INVALID);
	assert_non_null(strstr(why.text, "385"));
}

static void no_ram_is_an_error(void **state)
{
	const struct handoff_range in[] = {{0, 0x100000, HANDOFF_RESERVED, 0},
					   {0x100800, 0x900, 1, 0}};

	assert_int_equal(memmap_build(&map, in, 2, &why), ERR_INVALID);
	assert_non_null(strstr(why.text, "no RAM"));
}

static void largest_ram_respects_its_limits(void **state)
{
	struct handoff_range r;

	BUILD({0, 0x9f000, HANDOFF_RAM, 0}, {MIB(1), MIB(15), HANDOFF_RAM, 0},
	      {MIB(32), MIB(10), HANDOFF_RAM, 0}, {GIB(4), GIB(4), HANDOFF_RAM, 0});
	assert_true(memmap_largest_ram(&map, MIB(1), GIB(4), &r));
	assert_int_equal(r.base, MIB(1));
	assert_int_equal(r.size, MIB(15));
	assert_true(memmap_largest_ram(&map, MIB(8), GIB(4), &r));
	assert_int_equal(r.base, MIB(32));
	assert_false(memmap_largest_ram(&map, MIB(42), GIB(4), &r));
	assert_true(memmap_largest_ram(&map, 0, GIB(5), &r));
	assert_int_equal(r.size, GIB(1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sorts_and_joins),
		cmocka_unit_test(careful_kinds_win),
		cmocka_unit_test(ram_shrinks_and_the_rest_grows_to_pages),
		cmocka_unit_test(the_top_of_the_address_space_is_no_trap),
		cmocka_unit_test(most_ranges_still_fit),
		cmocka_unit_test(no_ram_is_an_error),
		cmocka_unit_test(largest_ram_respects_its_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
