/* hv/virt/reset.c against SDM vol. 3, table 10-1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/virt/reset.h"
#include "hv/x86/msr.h"

static struct virt_vcpu v;
static struct virt_seg seg[SEG_COUNT];
static unsigned sets[SEG_COUNT];

static void seg_set(struct virt_vcpu *cpu, enum virt_seg_id id, const struct virt_seg *s)
{
	assert_ptr_equal(cpu, &v);
	seg[id] = *s;
	sets[id]++;
}

static void check_segments(const struct reset_start *start)
{
	memset(sets, 0, sizeof(sets));
	memset(seg, 0x5a, sizeof(seg));
	reset_segments(&v, start, seg_set);
	for (enum virt_seg_id id = 0; id < SEG_COUNT; id++) {
		assert_int_equal(sets[id], 1);
		assert_int_equal(seg[id].limit, 0xffff);
		if (id == SEG_CS)
			continue;
		assert_int_equal(seg[id].selector, 0);
		assert_int_equal(seg[id].base, 0);
	}
	/* Read/write data and, for CS, code that can be read; both accessed. TSS and LDT. */
	for (enum virt_seg_id id = SEG_ES; id <= SEG_TR; id++) {
		uint8_t type = id == SEG_CS || id == SEG_TR ? 11 : id == SEG_LDTR ? 2 : 3;

		assert_int_equal(seg[id].type, type);
		assert_int_equal(seg[id].s, id <= SEG_GS);
		assert_true(seg[id].present);
		assert_false(seg[id].db || seg[id].g || seg[id].l || seg[id].dpl);
	}
	assert_int_equal(seg[SEG_CS].selector, start->cs);
	assert_int_equal(seg[SEG_CS].base, start->cs_base);
}

static void power_on(void **state)
{
	assert_int_equal(reset_power_on.cr0, 0x60000010);
	assert_int_equal(reset_power_on.cs_base + reset_power_on.rip, 0xfffffff0);
	assert_int_equal(reset_power_on.cs, 0xf000);
	check_segments(&reset_power_on);
	v.gpr[GPR_RAX] = v.gpr[GPR_R15] = v.cr2 = 7;
	reset_registers(&v, 0x306c3);
	for (unsigned i = 0; i < GPR_COUNT; i++)
		assert_int_equal(v.gpr[i], i == GPR_RDX ? 0x306c3 : 0);
	assert_int_equal(v.cr2, 0);
}

/* INIT leaves CR0's cache bits as they were, and sets the rest. */
static void startup(void **state)
{
	struct reset_start start = reset_startup(CR0_PG | CR0_PE | CR0_NE | CR0_CD, 0x9a);

	assert_int_equal(start.cr0, CR0_CD | CR0_ET);
	assert_int_equal(reset_startup(CR0_PE, 0xff).cr0, CR0_ET);
	assert_int_equal(start.cs, 0x9a00);
	assert_int_equal(start.cs_base, 0x9a000);
	assert_int_equal(start.rip, 0);
	check_segments(&start);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(power_on),
		cmocka_unit_test(startup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
