/* hv/vmx/ept.c and hv/virt/nested.c: mapping, splitting, asking back; read back as the CPU would walk it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/virt/nested.h"
#include "hv/vmx/ept.h"
#include "hv/vmx/vmx_caps.h"
#include "hv/x86/pmem.h"

struct vmx_caps vmx_caps;

/*
 * The table's pages come from malloc. Their "physical" address is what the direct map turns into the
 * pointer: the sum wraps around.
 */
static void *pages[64];
static unsigned page_count, page_limit;

hpa_t pmem_alloc_zeroed(unsigned order)
{
	void *p;

	assert_int_equal(order, 0);
	if (page_count == page_limit)
		return PMEM_NONE;
	p = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	memset(p, 0, PAGE_SIZE);
	pages[page_count++] = p;
	return (uintptr_t)p - PAGING_DIRECT_MAP;
}

static int setup(void **state)
{
	vmx_caps = (struct vmx_caps){.ept_vpid = EPT_CAP_2M, .phys_bits = 52, .linear_bits = 48};
	page_limit = ARRAY_LEN(pages);
	return 0;
}

static int teardown(void **state)
{
	while (page_count)
		free(pages[--page_count]);
	return 0;
}

/* The leaf entry for `gpa`, 0 when there is none; *level is 1 or 2. */
static uint64_t hardware_walk(struct npt *npt, gpa_t gpa, unsigned *level)
{
	uint64_t entry = ept_pointer(npt);

	assert_int_equal(entry & 0xfff,
			 0x1e); /* write-back tables, 4 levels, no accessed/dirty flags */
	for (*level = 4; *level > 0; --*level) {
		const uint64_t *table = phys_to_virt(entry & BITS(51, 12));

		entry = table[gpa >> (12 + 9 * (*level - 1)) & 511];
		if (!(entry & 7))
			return 0;
		if (*level == 1 || entry & BIT(7))
			return entry;
	}
	return 0;
}

static void maps_small_pages(void **state)
{
	struct npt *npt = ept_create(NULL);
	unsigned level;
	hpa_t hpa;

	assert_int_equal(nested_query(npt, 0x5000, &hpa), NPT_NONE);
	assert_int_equal(ept_map(npt, 0x5000, 0x123000, 0, NPT_RWX), 0);
	/* Write-back, the guest's PAT ignored. */
	assert_int_equal(hardware_walk(npt, 0x5000, &level), 0x123000 | 0x77);
	assert_int_equal(level, 1);
	assert_int_equal(nested_query(npt, 0x5abc, &hpa), NPT_RWX);
	assert_int_equal(hpa, 0x123abc);
	assert_int_equal(nested_query(npt, 0x6000, &hpa), NPT_NONE);
	assert_int_equal(nested_query(npt, BIT(48), &hpa), NPT_NONE);

	assert_int_equal(ept_map(npt, 0x5000, 0x123000, 0, NPT_RX), 0);
	assert_int_equal(nested_query(npt, 0x5000, NULL), NPT_RX);
	assert_int_equal(ept_map(npt, 0x5000, 0, 0, NPT_NONE), 0);
	assert_int_equal(hardware_walk(npt, 0x5000, &level), 0);
	/* The top of what a guest can address. */
	assert_int_equal(ept_map(npt, BIT(48) - 4096, 0x7000, 0, NPT_READ), 0);
	assert_int_equal(nested_query(npt, BIT(48) - 1, &hpa), NPT_READ);
	assert_int_equal(hpa, 0x7fff);
}

static void splits_large_pages(void **state)
{
	struct npt *npt = ept_create(NULL);
	unsigned level;
	hpa_t hpa;

	assert_int_equal(ept_map(npt, MIB(4), MIB(64), 9, NPT_RX), 0);
	assert_int_equal(hardware_walk(npt, MIB(4) + 0x12345, &level), MIB(64) | 0x80 | 0x75);
	assert_int_equal(level, 2);
	assert_int_equal(nested_query(npt, MIB(4) + 0x12345, &hpa), NPT_RX);
	assert_int_equal(hpa, MIB(64) + 0x12345);

	assert_int_equal(ept_map(npt, MIB(4) + 0x3000, 0x9000, 0, NPT_RWX), 0);
	assert_int_equal(nested_query(npt, MIB(4) + 0x3001, &hpa), NPT_RWX);
	assert_int_equal(hpa, 0x9001);
	for (unsigned i = 0; i < 512; i++) {
		if (i == 3)
			continue;
		assert_int_equal(hardware_walk(npt, MIB(4) + i * 4096ull, &level),
				 (MIB(64) + i * 4096ull) | 0x75);
		assert_int_equal(level, 1);
	}
	/* Its neighbours are not touched. */
	assert_int_equal(nested_query(npt, MIB(4) - 1, NULL), NPT_NONE);
	assert_int_equal(nested_query(npt, MIB(6), NULL), NPT_NONE);

	/* Large again: in its 512 entries, for the table page can't be reused. */
	unsigned before = page_count;

	assert_int_equal(ept_map(npt, MIB(4), MIB(32), 9, NPT_RWX), 0);
	assert_int_equal(page_count, before);
	assert_int_equal(nested_query(npt, MIB(6) - 1, &hpa), NPT_RWX);
	assert_int_equal(hpa, MIB(34) - 1);
	assert_int_equal(hardware_walk(npt, MIB(4) + 0x3000, &level), (MIB(32) + 0x3000) | 0x77);
	assert_int_equal(ept_map(npt, MIB(4), 0, 9, NPT_NONE), 0);
	assert_int_equal(nested_query(npt, MIB(4) + 0x3000, NULL), NPT_NONE);
}

static void unmapping_nothing_takes_no_memory(void **state)
{
	struct npt *npt = ept_create(NULL);
	unsigned before = page_count;

	assert_int_equal(ept_map(npt, GIB(7), 0, 0, NPT_NONE), 0);
	assert_int_equal(page_count, before);
}

static void lack_of_memory_leaves_what_was(void **state)
{
	struct npt *npt = ept_create(NULL);
	struct why why;
	hpa_t hpa;

	assert_int_equal(ept_map(npt, MIB(2), MIB(8), 9, NPT_RWX), 0);
	page_limit = page_count;
	assert_int_equal(ept_map(npt, MIB(2) + 0x1000, 0x5000, 0, NPT_RX), ERR_NOMEM);
	assert_int_equal(ept_map(npt, GIB(600), 0x5000, 0, NPT_RX), ERR_NOMEM);
	assert_int_equal(nested_query(npt, MIB(2) + 0x1000, &hpa), NPT_RWX);
	assert_int_equal(hpa, MIB(8) + 0x1000);
	assert_null(ept_create(&why));
	assert_non_null(strstr(why.text, "no memory"));
}

static void apic_page(void **state)
{
	struct npt *npt = ept_create(NULL);
	hpa_t hpa;

	assert_true(ept_apic_access_page(npt) == PMEM_NONE);
	assert_int_equal(ept_map_apic(npt, 0xfee00000), 0);
	assert_int_equal(nested_query(npt, 0xfee00080, &hpa), NPT_READ | NPT_WRITE);
	assert_int_equal(hpa, ept_apic_access_page(npt) + 0x80);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(maps_small_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(splits_large_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(unmapping_nothing_takes_no_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(lack_of_memory_leaves_what_was, setup, teardown),
		cmocka_unit_test_setup_teardown(apic_page, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
