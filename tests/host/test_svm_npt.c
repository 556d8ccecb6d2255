/* hv/svm/npt.c: what the CPU's walker finds in the tables. Their tree is test_vmx_ept's to test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/virt/nested.h"
#include "hv/svm/svm_vcpu.h"
#include "hv/x86/pmem.h"

/* APM vol. 2, 5.3 */
#define P  0x01ull
#define RW 0x02ull
#define US 0x04ull
#define A  0x20ull
#define D  0x40ull
#define PS 0x80ull
#define NX BIT(63)

struct svm_caps svm_caps = {.phys_bits = 52, .linear_bits = 48};

static void *pages[64];
static unsigned page_count, page_limit;

/* The "physical" address of a page is what the direct map turns into its pointer: the sum wraps around. */
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
	page_limit = ARRAY_LEN(pages);
	return 0;
}

static int teardown(void **state)
{
	while (page_count)
		free(pages[--page_count]);
	return 0;
}

/* The leaf entry for `gpa`, 0 when there is none. Tables on the way allow all, to user accesses too. */
static uint64_t hardware_walk(struct npt *npt, gpa_t gpa, unsigned *level)
{
	uint64_t entry = npt->root;

	for (*level = 4; *level > 0; --*level) {
		const uint64_t *table = phys_to_virt(entry & BITS(51, 12));

		entry = table[gpa >> (12 + 9 * (*level - 1)) & 511];
		if (!(entry & P))
			return 0;
		if (*level == 1 || entry & PS)
			return entry;
		assert_int_equal(entry & ~BITS(51, 12), P | RW | US | A);
	}
	return 0;
}

/* No entry is left for the CPU to set accessed or dirty in. */
static void rights(void **state)
{
	static const struct {
		enum npt_perm perm;
		uint64_t entry;
	} rows[] = {
		{NPT_READ, P | US | A | D | NX},
		{NPT_READ | NPT_WRITE, P | RW | US | A | D | NX},
		{NPT_RX, P | US | A | D},
		{NPT_RWX, P | RW | US | A | D},
	};
	struct npt *npt = npt_create(NULL);
	unsigned level;
	hpa_t hpa;

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(npt_map(npt, 0x5000, 0x123000, 0, rows[i].perm), 0);
		assert_true(hardware_walk(npt, 0x5000, &level) == (0x123000 | rows[i].entry));
		assert_int_equal(level, 1);
		assert_int_equal(nested_query(npt, 0x5abc, &hpa), rows[i].perm);
		assert_int_equal(hpa, 0x123abc);
	}
	assert_int_equal(npt_map(npt, 0x5000, 0, 0, NPT_NONE), 0);
	assert_int_equal(hardware_walk(npt, 0x5000, &level), 0);
	assert_int_equal(nested_query(npt, 0x5000, NULL), NPT_NONE);
}

/* The no-execute bit is above the address, and goes into all parts. */
static void splits_keep_rights(void **state)
{
	struct npt *npt = npt_create(NULL);
	unsigned level;
	hpa_t hpa;

	assert_int_equal(npt_map(npt, MIB(4), MIB(64), 9, NPT_READ | NPT_WRITE), 0);
	assert_true(hardware_walk(npt, MIB(4) + 0x12345, &level) ==
		    (MIB(64) | PS | P | RW | US | A | D | NX));
	assert_int_equal(level, 2);
	assert_int_equal(npt_map(npt, MIB(4) + 0x3000, 0x9000, 0, NPT_RWX), 0);
	assert_int_equal(nested_query(npt, MIB(4) + 0x3001, &hpa), NPT_RWX);
	assert_int_equal(hpa, 0x9001);
	for (unsigned i = 0; i < 512; i++) {
		if (i == 3)
			continue;
		assert_true(hardware_walk(npt, MIB(4) + i * 4096ull, &level) ==
			    ((MIB(64) + i * 4096ull) | P | RW | US | A | D | NX));
		assert_int_equal(level, 1);
	}
	assert_int_equal(npt_map_apic(npt, 0xfee00000), ERR_UNSUPPORTED);
}

static void lack_of_memory_leaves_what_was(void **state)
{
	struct npt *npt = npt_create(NULL);
	hpa_t hpa;

	assert_int_equal(npt_map(npt, MIB(2), MIB(8), 9, NPT_RWX), 0);
	page_limit = page_count;
	assert_int_equal(npt_map(npt, MIB(2) + 0x1000, 0x5000, 0, NPT_RX), ERR_NOMEM);
	assert_int_equal(nested_query(npt, MIB(2) + 0x1000, &hpa), NPT_RWX);
	assert_int_equal(hpa, MIB(8) + 0x1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rights, setup, teardown),
		cmocka_unit_test_setup_teardown(splits_keep_rights, setup, teardown),
		cmocka_unit_test_setup_teardown(lack_of_memory_leaves_what_was, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
