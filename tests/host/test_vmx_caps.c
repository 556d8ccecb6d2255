/* hv/vmx: what is made of the capability registers of various CPUs, and what the pre-flight says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/log.h"
#include "hv/virt/preflight.h"
#include "hv/vmx/vmx_caps.h"
#include "hv/x86/msr.h"

#define PIN_MUST   0x16u
#define PROC_MUST  0x04006172u
#define EXIT_MUST  0x00036dfbu
#define ENTRY_MUST 0x000011fbu

#define PROC2_WESTMERE                                                                 \
	(PROC2_APIC_ACCESS | PROC2_EPT | PROC2_DT_EXIT | PROC2_RDTSCP | PROC2_X2APIC | \
	 PROC2_VPID | PROC2_WBINVD_EXIT | PROC2_UNRESTRICTED)

static uint64_t word(uint32_t must, uint32_t may)
{
	return (uint64_t)(must | may) << 32 | must;
}

/* A Sandy Bridge's: EPT and unrestricted guest, no APIC-register virtualization. */
static struct vmx_raw sandy_bridge(void)
{
	return (struct vmx_raw){
		.vmx = true,
		.feature_control = FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX,
		.basic = 0x00da040000000010ull,
		.word[WORD_PIN] = word(PIN_MUST, PIN_INTERRUPT_EXIT | PIN_NMI_EXIT |
							 PIN_VIRTUAL_NMIS | PIN_TIMER),
		.word[WORD_PROC] = word(PROC_MUST, 0xfff9fffeu),
		.word[WORD_PROC2] = word(0, PROC2_WESTMERE),
		.word[WORD_EXIT] = word(EXIT_MUST, 0x007fffffu),
		.word[WORD_ENTRY] = word(ENTRY_MUST, 0x0000ffffu),
		.misc = 0x1e5,
		.cr0_fixed0 = 0x80000021,
		.cr0_fixed1 = 0xffffffff,
		.cr4_fixed0 = 0x2000,
		.cr4_fixed1 = 0x627ff,
		.ept_vpid = 0xf0106114141ull,
		.phys_bits = 36,
		.linear_bits = 48,
	};
}

static struct vmx_raw skylake(void)
{
	struct vmx_raw raw = sandy_bridge();

	raw.word[WORD_PROC2] =
		word(0, PROC2_WESTMERE | PROC2_APIC_REGISTERS | PROC2_INTERRUPT_DELIVERY |
				PROC2_PAUSE_LOOP_EXIT | PROC2_INVPCID | PROC2_XSAVES);
	return raw;
}

static void settles_a_sandy_bridge(void **state)
{
	struct vmx_raw raw = sandy_bridge();
	struct virt_features f;
	struct vmx_caps caps;
	struct why why;

	assert_int_equal(vmx_caps_settle(&raw, &caps, &why), 0);
	assert_int_equal(caps.revision, 0x10);
	assert_int_equal(caps.word[WORD_PIN], PIN_MUST | PIN_INTERRUPT_EXIT | PIN_NMI_EXIT |
						      PIN_VIRTUAL_NMIS | PIN_TIMER);
	assert_true(caps.word[WORD_PROC] & PROC_HLT_EXIT);
	assert_true(caps.word[WORD_PROC] & PROC_SECONDARY);
	assert_true(caps.word[WORD_PROC] & PROC_CR8_LOAD_EXIT);
	/* Switched at run time, so not on to begin with. */
	assert_false(caps.word[WORD_PROC] &
		     (PROC_INTERRUPT_WINDOW | PROC_NMI_WINDOW | PROC_TPR_SHADOW));
	assert_false(caps.word[WORD_PROC] &
		     (PROC_CR3_LOAD_EXIT | PROC_INVLPG_EXIT | PROC_RDTSC_EXIT));
	assert_int_equal(caps.word[WORD_PROC2], PROC2_EPT | PROC2_UNRESTRICTED | PROC2_VPID |
							PROC2_RDTSCP | PROC2_WBINVD_EXIT);
	assert_false(caps.word[WORD_EXIT] & EXIT_ACK_INTERRUPT);
	assert_true(caps.word[WORD_EXIT] & EXIT_HOST_64);
	assert_false(caps.word[WORD_ENTRY] & ENTRY_GUEST_64);
	assert_int_equal(caps.timer_shift, 5);
	assert_int_equal(caps.activity_states, 15);

	vmx_caps_features(&caps, &f);
	assert_true(f.tpr_shadow && f.apic_access_page && f.large_pages && f.preemption_timer);
	assert_false(f.apic_registers || f.interrupt_delivery || f.x2apic);
}

static void offers_all_of_a_skylake(void **state)
{
	struct vmx_raw raw = skylake();
	struct virt_features f;
	struct vmx_caps caps;

	assert_int_equal(vmx_caps_settle(&raw, &caps, NULL), 0);
	assert_true(caps.word[WORD_PROC2] & PROC2_PAUSE_LOOP_EXIT);
	assert_true(caps.word[WORD_PROC2] & PROC2_XSAVES);
	assert_false(caps.word[WORD_PROC2] & PROC2_INTERRUPT_DELIVERY);
	vmx_caps_features(&caps, &f);
	assert_true(f.apic_registers && f.interrupt_delivery && f.x2apic);
}

/* Its virtual-interrupt delivery is broken, and so is what host interrupts do to a closed guest. */
static void mistrusts_bochs(void **state)
{
	struct vmx_raw raw = skylake();
	struct virt_features f;
	struct vmx_caps caps;

	assert_int_equal(vmx_caps_settle(&raw, &caps, NULL), 0);
	assert_false(caps.closed_guest_deaf);
	raw.basic = 0x00d8100000000010ull;
	assert_int_equal(vmx_caps_settle(&raw, &caps, NULL), 0);
	assert_true(caps.closed_guest_deaf);
	vmx_caps_features(&caps, &f);
	assert_true(f.apic_registers && f.x2apic);
	assert_false(f.interrupt_delivery);
	raw.hypervisor = true; /* KVM in KVM */
	assert_int_equal(vmx_caps_settle(&raw, &caps, NULL), 0);
	assert_false(caps.closed_guest_deaf);
	vmx_caps_features(&caps, &f);
	assert_true(f.interrupt_delivery);
}

static void uses_vpid_only_with_invvpid(void **state)
{
	struct vmx_raw raw = sandy_bridge();
	struct vmx_caps caps;

	raw.ept_vpid &= ~EPT_CAP_INVVPID;
	assert_int_equal(vmx_caps_settle(&raw, &caps, NULL), 0);
	assert_false(caps.word[WORD_PROC2] & PROC2_VPID);
}

static void expect_refusal(const struct vmx_raw *raw, const char *part)
{
	struct vmx_caps caps;
	struct preflight report;
	struct why why;

	assert_int_equal(vmx_caps_settle(raw, &caps, &why), ERR_UNSUPPORTED);
	if (!strstr(why.text, part))
		fail_msg("'%s' does not say '%s'", why.text, part);
	preflight_init(&report);
	vmx_caps_preflight(raw, &report);
	assert_false(preflight_passed(&report));
	assert_non_null(strstr(preflight_first_missing(&report), part));
}

static void names_what_is_missing(void **state)
{
	struct vmx_raw none = {0}, raw = sandy_bridge();

	expect_refusal(&none, "this CPU has no VT-x (CPUID.1:ECX.VMX is 0); "
			      "Amalgam needs an Intel CPU with VT-x and EPT");

	raw.feature_control = FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_SMX;
	expect_refusal(&raw, "locked VT-x off (IA32_FEATURE_CONTROL is 0x3); enable");

	raw = sandy_bridge(); /* a Penryn */
	raw.word[WORD_PROC2] = word(0, PROC2_APIC_ACCESS | PROC2_WBINVD_EXIT);
	expect_refusal(&raw, "VT-x without EPT");

	raw = sandy_bridge(); /* a Lynnfield */
	raw.word[WORD_PROC2] = word(0, PROC2_WESTMERE & ~PROC2_UNRESTRICTED);
	expect_refusal(&raw, "no unrestricted guest");

	raw = sandy_bridge();
	raw.ept_vpid &= ~EPT_CAP_WB;
	expect_refusal(&raw, "no 4-level write-back tables");

	raw = sandy_bridge();
	raw.ept_vpid &= ~(EPT_CAP_INVEPT_ONE | EPT_CAP_INVEPT_ALL);
	expect_refusal(&raw, "without a usable INVEPT");

	raw = sandy_bridge();
	raw.word[WORD_PIN] &= ~((uint64_t)PIN_VIRTUAL_NMIS << 32);
	expect_refusal(&raw, "can't switch 'virtual NMIs' on");

	raw = sandy_bridge();
	raw.word[WORD_PROC] |= PROC_CR3_LOAD_EXIT;
	expect_refusal(&raw, "can't switch 'CR3-load exiting' off");
}

/* IA32_FEATURE_CONTROL, SDM vol. 3, 24.7: locked decides, unlocked is ours. */
static void heeds_the_firmwares_lock(void **state)
{
	static const struct {
		uint64_t control;
		const char *found; /* NULL: refused */
	} rows[] = {
		{0, "left to us by the firmware"},
		{FEATURE_CONTROL_VMX, "left to us by the firmware"},
		{FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX, "enabled by the firmware"},
		{FEATURE_CONTROL_LOCK, NULL},
		{FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_SMX, NULL},
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct vmx_raw raw = sandy_bridge();
		struct preflight report;
		struct vmx_caps caps;

		raw.feature_control = rows[i].control;
		if (!rows[i].found) {
			expect_refusal(&raw,
				       "firmware has locked VT-x off (IA32_FEATURE_CONTROL is");
			expect_refusal(&raw, "enable Intel Virtualization Technology in the "
					     "firmware setup and switch the machine off and on");
			continue;
		}
		assert_int_equal(vmx_caps_settle(&raw, &caps, NULL), 0);
		preflight_init(&report);
		vmx_caps_preflight(&raw, &report);
		assert_true(preflight_passed(&report));
		assert_string_equal(report.lines[0].text, rows[i].found);
	}
}

static void report_is_printed(void **state)
{
	struct log_reader reader = {0};
	struct vmx_raw raw = sandy_bridge();
	struct preflight report;
	static char text[16384];
	size_t n = 0, got;

	while (log_read(&reader, text, sizeof(text)))
		;
	raw.word[WORD_PROC2] = word(0, PROC2_WESTMERE & ~PROC2_UNRESTRICTED);
	preflight_init(&report);
	vmx_caps_preflight(&raw, &report);
	preflight_print(&report);
	while ((got = log_read(&reader, text + n, sizeof(text) - 1 - n)))
		n += got;
	text[n] = '\0';
	assert_non_null(strstr(text, "preflight: EPT: 4 levels, write-back\n"));
	assert_non_null(
		strstr(text, "ERROR: preflight: unrestricted guest: this CPU has no unrestricted"));
	assert_non_null(strstr(text, "preflight: APIC-register virtualization: "
				     "not there, software serves"));
	assert_non_null(strstr(text, "this node can't run Amalgam: 1 requirement is missing\n"));
}

static void report_keeps_count_when_full(void **state)
{
	struct preflight report;

	preflight_init(&report);
	for (unsigned i = 0; i < PREFLIGHT_LINES; i++)
		preflight_found(&report, "thing", "there");
	preflight_missing(&report, "other", "gone");
	assert_int_equal(report.left_out, 1);
	assert_false(preflight_passed(&report));
	assert_null(preflight_first_missing(&report));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settles_a_sandy_bridge),
		cmocka_unit_test(offers_all_of_a_skylake),
		cmocka_unit_test(mistrusts_bochs),
		cmocka_unit_test(uses_vpid_only_with_invvpid),
		cmocka_unit_test(names_what_is_missing),
		cmocka_unit_test(heeds_the_firmwares_lock),
		cmocka_unit_test(report_is_printed),
		cmocka_unit_test(report_keeps_count_when_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
