/* IA32_APIC_BASE and its modes, the x2APIC MSRs, what raises #GP. */
#include "tests/host/apic_rig.h"

#define XAPIC  0xfee00800ull
#define X2APIC 0xfee00c00ull
#define OFF    0xfee00000ull

static uint32_t msr_of(uint32_t offset)
{
	return MSR_X2APIC_FIRST + offset / 16;
}

static int setup_x2apic(void **state)
{
	rig_setup(state);
	for (unsigned cpu = 0; cpu < RIG_CPUS; cpu++)
		if (rig_wrmsr(cpu, MSR_APIC_BASE, X2APIC) != 0)
			return -1;
	return 0;
}

/* SDM vol. 3, figure 11-27: from, to, is it legal? */
static void mode_transitions(void **state)
{
	static const uint64_t modes[] = {OFF, XAPIC, X2APIC, 0xfee00400};
	static const bool legal[3][4] = {
		/* off -> */ {true, true, false, false},
		/* xAPIC -> */ {true, true, true, false},
		/* x2APIC -> */ {true, false, true, false},
	};

	for (unsigned from = 0; from < 3; from++) {
		for (unsigned to = 0; to < 4; to++) {
			rig_setup(state);
			if (from != 1)
				assert_int_equal(rig_wrmsr(1, MSR_APIC_BASE, modes[from]), 0);
			assert_int_equal(rig_wrmsr(1, MSR_APIC_BASE, modes[to]),
					 legal[from][to] ? 0 : ERR_INVALID);
			assert_int_equal(rig_rdmsr(1, MSR_APIC_BASE),
					 modes[legal[from][to] ? to : from]);
		}
	}
}

static void base_refuses_reserved_bits(void **state)
{
	const uint64_t bad[] = {BIT(0), BIT(7), BIT(9), BIT(36), BIT(63)};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(rig_wrmsr(0, MSR_APIC_BASE, XAPIC | bad[i]), ERR_INVALID);
	/* The BSP flag is fixed. */
	assert_int_equal(rig_wrmsr(0, MSR_APIC_BASE, XAPIC), 0);
	assert_int_equal(rig_rdmsr(0, MSR_APIC_BASE), XAPIC | APIC_BASE_BSP);
	assert_int_equal(rig_wrmsr(1, MSR_APIC_BASE, XAPIC | APIC_BASE_BSP), 0);
	assert_int_equal(rig_rdmsr(1, MSR_APIC_BASE), XAPIC);
	assert_int_equal(rig_wrmsr(1, MSR_APIC_BASE, 0xf12345800), 0);
	assert_int_equal(lapic_gpa(&rig.lapic[1]), 0xf12345000);
	rig_reset(0);
	assert_int_equal(rig_wrmsr(0, MSR_APIC_BASE, X2APIC), ERR_INVALID);
}

static void switching_off_forgets_everything(void **state)
{
	struct lapic_actions act;

	rig_post(1, 0x44);
	assert_int_equal(rig_pull(1), 0x44);
	rig_write(1, LAPIC_LDR, 0x02000000);
	rig_write(1, LAPIC_LVT_TIMER, 0x55);
	rig_write(1, LAPIC_TIMER_INITIAL, 55);
	assert_int_equal(lapic_msr_write(&rig.lapic[1], MSR_APIC_BASE, OFF, 0, &act), 0);
	assert_true(act.mode_changed && act.dest_changed && act.timer_changed);
	rig_act(1, &act);
	assert_int_equal(lapic_pending(&rig.lapic[1]), -1);
	assert_int_equal(lapic_timer_deadline(&rig.lapic[1]), UINT64_MAX);
	/* Off the bus: nothing comes in, INIT neither; the NMI pin does. */
	assert_int_equal(rig_route(&(struct apic_msg){.kind = APIC_NMI, .dest = 1}, 0), 0);
	rig.kicks += apic_post_msg(&rig.post[1], &(struct apic_msg){.kind = APIC_INIT});
	rig.kicks += apic_post_lint(&rig.post[1], 1, true);
	rig_post(1, 0x45);
	assert_int_equal(rig_pull(1), -1);
	assert_false(rig.ev[1].init);
	assert_true(rig.ev[1].nmi);
	assert_int_equal(rig_wrmsr(1, MSR_APIC_BASE, XAPIC), 0);
	assert_int_equal(rig_read(1, LAPIC_LDR), 0);
	assert_int_equal(rig_read(1, LAPIC_SVR), 0xff);
	assert_int_equal(rig_read(1, LAPIC_ID), 0x01000000);
	/* Nothing new: nothing happens. */
	assert_int_equal(lapic_msr_write(&rig.lapic[1], MSR_APIC_BASE, XAPIC, 0, &act), 0);
	assert_false(act.mode_changed || act.dest_changed);
}

static void x2apic_keeps_registers_and_shows_ids(void **state)
{
	struct lapic_config config = rig.lapic[2].config;

	config.apic_id = 0x1234a;
	lapic_init(&rig.lapic[2], rig_page[2], &config);
	rig_enable(2);
	rig_write(2, LAPIC_LVT_PERF, 0x400);
	rig_write(2, LAPIC_ICR_HIGH, 0x77000000);
	assert_int_equal(rig_read(2, LAPIC_ID), 0x4a000000);
	assert_int_equal(rig_wrmsr(2, MSR_APIC_BASE, X2APIC), 0);
	assert_int_equal(rig_rdmsr(2, msr_of(LAPIC_ID)), 0x1234a);
	assert_int_equal(rig_rdmsr(2, msr_of(LAPIC_LDR)), 0x12340400);
	assert_int_equal(rig_rdmsr(2, msr_of(LAPIC_SVR)), 0x1ff);
	assert_int_equal(rig_rdmsr(2, msr_of(LAPIC_LVT_PERF)), 0x400);
	assert_int_equal(rig_rdmsr(2, msr_of(LAPIC_ICR_LOW)), 0);
	/* Hardware that virtualizes MSRs reads the page. */
	assert_int_equal(rig.lapic[2].regs[LAPIC_ICR_HIGH / 4], 0);
	/* INIT does not leave x2APIC mode. */
	lapic_reset_init(&rig.lapic[2]);
	assert_int_equal(rig_rdmsr(2, msr_of(LAPIC_ID)), 0x1234a);
	assert_int_equal(rig_rdmsr(2, msr_of(LAPIC_LDR)), 0x12340400);
	assert_int_equal(rig_rdmsr(2, msr_of(LAPIC_SVR)), 0xff);
}

/* SDM vol. 3, table 11-6: r, w. Everything else in 800-8ff faults both ways. */
static void msr_access_rights(void **state)
{
	static const struct {
		uint8_t index;
		const char *rights;
	} table[] = {
		{0x02, "r"},  {0x03, "r"},  {0x08, "rw"}, {0x0a, "r"},  {0x0b, "w"},  {0x0d, "r"},
		{0x0f, "rw"}, {0x10, "r"},  {0x17, "r"},  {0x18, "r"},  {0x1f, "r"},  {0x20, "r"},
		{0x27, "r"},  {0x28, "rw"}, {0x2f, "rw"}, {0x30, "rw"}, {0x32, "rw"}, {0x33, "rw"},
		{0x34, "rw"}, {0x35, "rw"}, {0x36, "rw"}, {0x37, "rw"}, {0x38, "rw"}, {0x39, "r"},
		{0x3e, "rw"}, {0x3f, "w"},
	};

	for (unsigned index = 0; index < 0x100; index++) {
		const char *rights = index > 0x10 && index < 0x28 ? "r" : "";
		uint64_t value = index == 0x3f ? 0x20 : 0;

		for (size_t i = 0; i < ARRAY_LEN(table); i++)
			if (table[i].index == index)
				rights = table[i].rights;
		assert_int_equal(rig_rdmsr_faults(0, MSR_X2APIC_FIRST + index),
				 !strchr(rights, 'r'));
		assert_int_equal(rig_wrmsr(0, MSR_X2APIC_FIRST + index, value) == ERR_INVALID,
				 !strchr(rights, 'w'));
	}
	assert_int_equal(rig_wrmsr(0, 0x900, 0), ERR_NOTFOUND);
	assert_int_equal(rig_wrmsr(0, 0x7ff, 0), ERR_NOTFOUND);
}

static void msrs_fault_outside_x2apic_mode(void **state)
{
	for (unsigned index = 0; index < 0x100; index++) {
		assert_true(rig_rdmsr_faults(0, MSR_X2APIC_FIRST + index));
		assert_int_equal(rig_wrmsr(0, MSR_X2APIC_FIRST + index, 0), ERR_INVALID);
	}
}

static void reserved_bits_fault_one_by_one(void **state)
{
	const struct {
		uint32_t offset;
		uint64_t allowed;
	} regs[] = {
		{LAPIC_TPR, 0xff},
		{LAPIC_EOI, 0},
		{LAPIC_SVR, 0x13ff},
		{LAPIC_ESR, 0},
		{LAPIC_LVT_CMCI, 0x117ff},
		{LAPIC_ICR_LOW, 0xffffffff000cdfffull},
		{LAPIC_LVT_TIMER, 0x710ff},
		{LAPIC_LVT_THERMAL, 0x117ff},
		{LAPIC_LVT_PERF, 0x117ff},
		{LAPIC_LVT_LINT0, 0x1f7ff},
		{LAPIC_LVT_LINT1, 0x1f7ff},
		{LAPIC_LVT_ERROR, 0x110ff},
		{LAPIC_TIMER_INITIAL, 0xffffffff},
		{LAPIC_TIMER_DIVIDE, 0xb},
		{LAPIC_SELF_IPI, 0xff},
	};

	for (size_t i = 0; i < ARRAY_LEN(regs); i++) {
		for (unsigned bit = 0; bit < 64; bit++) {
			bool allowed = regs[i].allowed >> bit & 1;

			assert_int_equal(rig_wrmsr(0, msr_of(regs[i].offset), BIT(bit)),
					 allowed ? 0 : ERR_INVALID);
		}
	}
}

static void icr_is_one_64_bit_register(void **state)
{
	struct lapic_actions act;
	struct lapic *l = &rig.lapic[0];

	assert_int_equal(lapic_msr_write(l, 0x830, 0x00000003000000fdull, 0, &act), 0);
	assert_true(act.send_ipi);
	assert_int_equal(act.ipi.dest, 3);
	assert_int_equal(rig_rdmsr(0, 0x830), 0x00000003000000fdull);
	/* 0xff is an id like others here, and broadcast has 32 bits. */
	assert_int_equal(lapic_msr_write(l, 0x830, 0x000000ff000000fdull, 0, &act), 0);
	assert_int_equal(act.ipi.dest, 0xff);
	assert_int_equal(lapic_msr_write(l, 0x830, 0xffffffff000048fdull, 0, &act), 0);
	assert_int_equal(act.ipi.dest, APIC_DEST_ALL);
	assert_true(act.ipi.logical);
	/* Stored by hardware. */
	l->regs[0x300 / 4] = 0x0fe;
	l->regs[0x304 / 4] = 2;
	lapic_write_done(l, 0x300, 0, &act);
	assert_true(act.send_ipi);
	assert_int_equal(act.ipi.dest, 2);
	assert_int_equal(act.ipi.vector, 0xfe);
}

static void self_ipi_and_eoi(void **state)
{
	assert_int_equal(rig_wrmsr(0, msr_of(LAPIC_SELF_IPI), 0x77), 0);
	assert_int_equal(rig_take(0), 0x77);
	assert_int_equal(rig_wrmsr(0, msr_of(LAPIC_EOI), 1), ERR_INVALID);
	assert_true(rig_rdmsr(0, msr_of(LAPIC_ISR) + 3) == 1u << 0x17);
	assert_int_equal(rig_wrmsr(0, msr_of(LAPIC_EOI), 0), 0);
	assert_int_equal(rig_rdmsr(0, msr_of(LAPIC_ISR) + 3), 0);
	assert_int_equal(rig_wrmsr(0, msr_of(LAPIC_SELF_IPI), 0xf), 0);
	assert_int_equal(rig_take(0), -1);
	assert_int_equal(rig_wrmsr(0, msr_of(LAPIC_ESR), 0), 0);
	assert_int_equal(rig_rdmsr(0, msr_of(LAPIC_ESR)), 0x20);
	assert_int_equal(rig_wrmsr(0, msr_of(LAPIC_TPR), 0x35), 0);
	assert_int_equal(rig_rdmsr(0, msr_of(LAPIC_PPR)), 0x35);
}

static void features_not_given_fault(void **state)
{
	rig_reset(LAPIC_HAS_X2APIC);
	assert_int_equal(rig_wrmsr(0, MSR_APIC_BASE, X2APIC), 0);
	assert_int_equal(rig_wrmsr(0, msr_of(LAPIC_SVR), 0x11ff), ERR_INVALID);
	assert_int_equal(rig_wrmsr(0, msr_of(LAPIC_LVT_TIMER), 0x400ec), ERR_INVALID);
	assert_true(rig_rdmsr_faults(0, msr_of(LAPIC_LVT_CMCI)));
	assert_true(rig_rdmsr_faults(0, MSR_TSC_DEADLINE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mode_transitions),
		cmocka_unit_test_setup(base_refuses_reserved_bits, rig_setup),
		cmocka_unit_test_setup(switching_off_forgets_everything, rig_setup),
		cmocka_unit_test_setup(x2apic_keeps_registers_and_shows_ids, rig_setup),
		cmocka_unit_test_setup(msr_access_rights, setup_x2apic),
		cmocka_unit_test_setup(msrs_fault_outside_x2apic_mode, rig_setup),
		cmocka_unit_test_setup(reserved_bits_fault_one_by_one, setup_x2apic),
		cmocka_unit_test_setup(icr_is_one_64_bit_register, setup_x2apic),
		cmocka_unit_test_setup(self_ipi_and_eoi, setup_x2apic),
		cmocka_unit_test(features_not_given_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
