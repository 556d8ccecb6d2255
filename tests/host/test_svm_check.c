/* hv/svm/svm_check.c: a good VMCB passes, and each way to break it is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/svm/svm_check.h"
#include "hv/x86/msr.h"

static const struct svm_caps caps = {.phys_bits = 40, .linear_bits = 48};

/* Real mode as after RESET, or 64-bit code. */
static struct vmcb good(bool long_mode)
{
	struct vmcb b = {
		.control = {.intercepts = {[4] = 1},
			    .asid = 1,
			    .iopm_base = 0x100000,
			    .msrpm_base = 0x104000,
			    .nested = NP_ENABLE,
			    .nested_cr3 = 0x200000},
		.save = {.cr0 = CR0_ET,
			 .efer = EFER_SVME,
			 .dr6 = DR6_RESET,
			 .dr7 = 0x400,
			 .pat = 0x0007040600070406ull},
	};

	if (long_mode) {
		b.save.cr0 = CR0_PE | CR0_ET | CR0_PG;
		b.save.cr4 = CR4_PAE;
		b.save.efer = EFER_SVME | EFER_LME | EFER_LMA;
		b.save.cs.attr = 0x29b; /* L, present, code */
	}
	return b;
}

static uint64_t event(unsigned type, unsigned vector)
{
	return EVENT_VALID | EVENT_TYPE_FIELD(type) | vector;
}

static void good_states_pass(void **state)
{
	struct vmcb b = good(false);
	struct why why;

	assert_int_equal(svm_check_guest(&b, &caps, &why), 0);
	b = good(true);
	assert_int_equal(svm_check_guest(&b, &caps, &why), 0);
	for (unsigned v = 0; v < 32; v++) {
		if (v == 2 || v == 4 || v == 5)
			continue;
		b.control.event_inject = event(3, v);
		assert_int_equal(svm_check_guest(&b, &caps, &why), 0);
	}
	b.control.event_inject = event(0, 255);
	assert_int_equal(svm_check_guest(&b, &caps, &why), 0);
	/* Without nested paging the guest's PAT is not looked at. */
	b.control.nested = 0;
	b.save.pat = 0x0707070702070707ull;
	assert_int_equal(svm_check_guest(&b, &caps, &why), 0);
}

#define BREAKS(long_mode, change, sentence)                                      \
	do {                                                                     \
		struct vmcb b = good(long_mode);                                 \
		struct why why;                                                  \
                                                                                 \
		b.change;                                                        \
		assert_int_equal(svm_check_guest(&b, &caps, &why), ERR_INVALID); \
		assert_non_null(strstr(why.text, sentence));                     \
	} while (0)

static void broken_registers_are_named(void **state)
{
	BREAKS(false, save.cr0 |= BIT(32), "CR0 is 0x100000010; its upper half");
	BREAKS(false, save.cr0 |= CR0_NW, "NW is 1");
	BREAKS(true, save.cr3 = BIT(40), "CR3 is 0x10000000000, beyond the 40");
	BREAKS(false, save.cr4 = CR4_VMXE, "CR4 is 0x2000; bits 0x2000");
	BREAKS(false, save.cr4 = BIT(23), "CR4.CET is 1");
	BREAKS(false, save.dr6 |= BIT(32), "DR6 is");
	BREAKS(false, save.dr7 |= BIT(32), "DR7 is");
	BREAKS(false, save.efer = 0, "EFER is 0; SVME must be 1");
	BREAKS(false, save.efer |= BIT(9), "EFER is 0x1200; bits 0x200");
	BREAKS(true, save.cr4 = 0, "CR4.PAE is 0");
	BREAKS(true, save.cr0 = CR0_PG, "CR0.PE is 0");
	BREAKS(true, save.cs.attr |= ATTR_DB, "CS attributes are 0x69b: L and D");
	BREAKS(false, save.pat = 0x0007040600070402ull, "the guest's PAT is");
	BREAKS(false, save.pat = 0x0807040600070406ull, "the guest's PAT is");
}

static void broken_controls_are_named(void **state)
{
	BREAKS(false, control.intercepts[4] = 0, "VMRUN is not intercepted");
	BREAKS(false, control.asid = 0, "the ASID is 0");
	BREAKS(false, control.iopm_base = BIT(40) - 0x2000, "the I/O permission map");
	BREAKS(false, control.msrpm_base = BIT(40) - 0x1000, "the MSR permission map");
	BREAKS(false, control.nested_cr3 = BIT(40), "the nested page table");
	BREAKS(false, control.event_inject = event(1, 3), "type 1 does not exist");
	BREAKS(false, control.event_inject = event(5, 1), "type 5 does not exist");
	BREAKS(false, control.event_inject = event(3, 2), "exception 2, which does not exist");
	BREAKS(false, control.event_inject = event(3, 32), "exception 32, which does not exist");
	BREAKS(true, control.event_inject = event(3, 5), "which 64-bit code can't raise");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_states_pass),
		cmocka_unit_test(broken_registers_are_named),
		cmocka_unit_test(broken_controls_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
