/* The LAPIC in xAPIC mode: reset, priorities, EOI, errors, LVT and pins, ICR. */
#include "tests/host/apic_rig.h"

static void reset_state_is_the_manuals(void **state)
{
	const uint32_t lvts[] = {0x2f0, 0x320, 0x330, 0x340, 0x350, 0x360, 0x370};

	assert_int_equal(rig_read(2, LAPIC_ID), 2u << 24);
	assert_int_equal(rig_read(2, LAPIC_VERSION), 0x01060014);
	assert_int_equal(rig_read(2, LAPIC_SVR), 0xff);
	assert_int_equal(rig_read(2, LAPIC_DFR), 0xffffffff);
	assert_int_equal(rig_read(2, LAPIC_LDR), 0);
	for (size_t i = 0; i < ARRAY_LEN(lvts); i++)
		assert_int_equal(rig_read(2, lvts[i]), RIG_MASKED);
	for (uint32_t map = LAPIC_ISR; map < LAPIC_ESR; map += 16)
		assert_int_equal(rig_read(2, map), 0);
	assert_int_equal(rig_read(2, LAPIC_TIMER_DIVIDE), 0);
	assert_int_equal(rig_rdmsr(0, MSR_APIC_BASE), 0xfee00900);
	assert_int_equal(rig_rdmsr(1, MSR_APIC_BASE), 0xfee00800);
	assert_false(rig.lapic[0].wait_sipi);
	assert_true(rig.lapic[1].wait_sipi);
	assert_int_equal(lapic_gpa(&rig.lapic[0]), 0xfee00000);
	assert_int_equal(lapic_timer_deadline(&rig.lapic[0]), UINT64_MAX);
	rig_reset(0);
	assert_int_equal(rig_read(0, LAPIC_VERSION), 0x00050014);
}

static void read_only_registers_stay(void **state)
{
	const uint32_t regs[] = {LAPIC_ID,  LAPIC_VERSION, LAPIC_PPR,          LAPIC_ISR,
				 LAPIC_TMR, LAPIC_IRR,     LAPIC_TIMER_CURRENT};

	for (size_t i = 0; i < ARRAY_LEN(regs); i++) {
		uint32_t before = rig_read(1, regs[i]);

		rig_write(1, regs[i], ~before);
		assert_int_equal(rig_read(1, regs[i]), before);
	}
	rig_write(1, LAPIC_ESR, 0);
	assert_int_equal(rig_read(1, LAPIC_ESR), 0);
}

static void writes_keep_reserved_bits_clear(void **state)
{
	const struct {
		uint32_t offset, want;
	} regs[] = {
		{LAPIC_TPR, 0xff},
		{LAPIC_LDR, 0xff000000},
		{LAPIC_DFR, 0xffffffff},
		{LAPIC_SVR, 0x13ff},
		{LAPIC_ICR_HIGH, 0xff000000},
		{LAPIC_LVT_TIMER, 0x700ff},
		{LAPIC_LVT_THERMAL, 0x107ff},
		{LAPIC_LVT_PERF, 0x107ff},
		{LAPIC_LVT_CMCI, 0x107ff},
		{LAPIC_LVT_LINT0, 0x1a7ff},
		{LAPIC_LVT_LINT1, 0x1a7ff},
		{LAPIC_LVT_ERROR, 0x100ff},
		{LAPIC_TIMER_DIVIDE, 0xb},
	};

	for (size_t i = 0; i < ARRAY_LEN(regs); i++) {
		rig_write(0, regs[i].offset, 0xffffffff);
		assert_int_equal(rig_read(0, regs[i].offset), regs[i].want);
	}
	rig_write(0, LAPIC_DFR, 0);
	assert_int_equal(rig_read(0, LAPIC_DFR), 0x0fffffff);
	rig_reset(0);
	rig_write(0, LAPIC_SVR, 0xffffffff);
	assert_int_equal(rig_read(0, LAPIC_SVR), 0x3ff);
	rig_write(0, LAPIC_LVT_TIMER, 0xffffffff);
	assert_int_equal(rig_read(0, LAPIC_LVT_TIMER), 0x300ff);
}

static void highest_vector_first_and_nests_by_class(void **state)
{
	rig_post(0, 0x31);
	rig_post(0, 0x3f);
	rig_post(0, 0x42);
	assert_int_equal(rig_take(0), 0x42);
	assert_int_equal(rig_read(0, LAPIC_PPR), 0x40);
	assert_int_equal(rig_take(0), -1);
	/* The same class does not nest, a higher one does. */
	rig_post(0, 0x4f);
	assert_int_equal(rig_take(0), -1);
	rig_post(0, 0xf1);
	assert_int_equal(rig_take(0), 0xf1);
	assert_true(rig_bit(0, LAPIC_ISR, 0x42));
	assert_true(rig_bit(0, LAPIC_ISR, 0xf1));
	assert_false(rig_bit(0, LAPIC_IRR, 0xf1));
	/* EOI ends the highest in service. */
	assert_true(rig_eoi(0).recheck);
	assert_false(rig_bit(0, LAPIC_ISR, 0xf1));
	assert_true(rig_bit(0, LAPIC_ISR, 0x42));
	assert_int_equal(rig_take(0), -1);
	rig_eoi(0);
	assert_int_equal(rig_take(0), 0x4f);
	rig_eoi(0);
	assert_int_equal(rig_take(0), 0x3f);
	rig_eoi(0);
	assert_int_equal(rig_take(0), 0x31);
	assert_false(rig_eoi(0).recheck);
	assert_int_equal(rig_take(0), -1);
	/* An EOI with nothing in service does nothing. */
	assert_false(rig_eoi(0).eoi_level);
}

static void a_vector_can_wait_behind_itself(void **state)
{
	rig_post(0, 0x51);
	assert_int_equal(rig_take(0), 0x51);
	rig_post(0, 0x51);
	rig_post(0, 0x51);
	assert_int_equal(rig_take(0), -1);
	assert_true(rig_bit(0, LAPIC_IRR, 0x51));
	rig_eoi(0);
	assert_int_equal(rig_take(0), 0x51);
	rig_eoi(0);
	assert_int_equal(rig_take(0), -1);
}

static void every_vector_goes_round(void **state)
{
	for (unsigned v = 16; v < 256; v++)
		rig_post(3, (uint8_t)v);
	for (unsigned v = 255; v >= 16; v--) {
		assert_int_equal(rig_take(3), v);
		rig_eoi(3);
	}
	assert_int_equal(rig_take(3), -1);
	assert_int_equal(rig.lapic[3].irr_words | rig.lapic[3].isr_words, 0);
}

static void tpr_holds_back_its_class_and_below(void **state)
{
	struct lapic_actions act;

	rig_post(0, 0x55);
	rig_write(0, LAPIC_TPR, 0x50);
	assert_int_equal(rig_pull(0), -1);
	assert_int_equal(rig_read(0, LAPIC_PPR), 0x50);
	assert_int_equal(lapic_tpr_threshold(&rig.lapic[0]), 5);
	assert_true(rig_write(0, LAPIC_TPR, 0x4f).recheck);
	assert_int_equal(rig_read(0, LAPIC_PPR), 0x4f);
	assert_int_equal(lapic_tpr_threshold(&rig.lapic[0]), 0);
	assert_int_equal(rig_take(0), 0x55);
	/* In service it blocks by itself: no exit on TPR is needed. */
	rig_post(0, 0x54);
	assert_int_equal(rig_pull(0), -1);
	assert_int_equal(lapic_tpr_threshold(&rig.lapic[0]), 0);
	rig_write(0, LAPIC_TPR, 0x50);
	assert_int_equal(lapic_tpr_threshold(&rig.lapic[0]), 0);
	/* PPR takes the TPR whole when its class is not below. */
	assert_int_equal(rig_read(0, LAPIC_PPR), 0x50);
	rig_write(0, LAPIC_TPR, 0x57);
	assert_int_equal(rig_read(0, LAPIC_PPR), 0x57);
	lapic_cr8_write(&rig.lapic[0], 0xf, &act);
	assert_true(act.recheck);
	assert_int_equal(rig_read(0, LAPIC_TPR), 0xf0);
	assert_int_equal(lapic_cr8_read(&rig.lapic[0]), 15);
	rig_post(0, 0xff);
	assert_int_equal(rig_pull(0), -1);
}

static void software_disable_masks_and_refuses(void **state)
{
	struct lapic_actions act;

	rig_write(0, LAPIC_LVT_LINT0, 0x700);
	rig_write(0, LAPIC_LVT_TIMER, 0x40);
	rig_post(0, 0x61);
	rig_pull(0);
	act = rig_write(0, LAPIC_SVR, 0xff);
	assert_true(act.dest_changed);
	assert_int_equal(rig_read(0, LAPIC_LVT_LINT0), 0x10700);
	assert_int_equal(rig_read(0, LAPIC_LVT_TIMER), 0x10040);
	/* What was pending stays so, nothing new comes in. */
	assert_int_equal(lapic_pending(&rig.lapic[0]), 0x61);
	rig_post(0, 0x62);
	assert_int_equal(rig_pull(0), 0x61);
	assert_int_equal(rig_route(&(struct apic_msg){.kind = APIC_FIXED, .vector = 0x63}, 1), 0);
	assert_int_equal(rig_route(&(struct apic_msg){.kind = APIC_NMI}, 1), 1);
	/* The mask bits can't be cleared until it is enabled, and are not by enabling. */
	rig_write(0, LAPIC_LVT_LINT0, 0x700);
	assert_int_equal(rig_read(0, LAPIC_LVT_LINT0), 0x10700);
	assert_false(rig_write(0, LAPIC_SVR, 0xfe).dest_changed);
	assert_true(rig_write(0, LAPIC_SVR, 0x1ff).dest_changed);
	assert_int_equal(rig_read(0, LAPIC_LVT_LINT0), 0x10700);
	rig_write(0, LAPIC_LVT_LINT0, 0x700);
	assert_int_equal(rig_read(0, LAPIC_LVT_LINT0), 0x700);
}

static void esr_shows_what_was_logged_up_to_the_write(void **state)
{
	rig_write(0, LAPIC_LVT_ERROR, 0xe1);
	rig_write(0, LAPIC_ICR_LOW, 0x0000f);
	assert_int_equal(rig_read(0, LAPIC_ESR), 0);
	assert_int_equal(rig_take(0), 0xe1);
	rig_eoi(0);
	/* One interrupt until ESR is written. */
	rig_post(0, 15);
	assert_int_equal(rig_take(0), -1);
	rig_write(0, LAPIC_ESR, 0);
	assert_int_equal(rig_read(0, LAPIC_ESR), 0x60);
	rig_read(0, 0x40);
	assert_int_equal(rig_take(0), 0xe1);
	rig_eoi(0);
	assert_int_equal(rig_read(0, LAPIC_ESR), 0x60);
	rig_write(0, LAPIC_ESR, 0xffffffff);
	assert_int_equal(rig_read(0, LAPIC_ESR), 0x80);
	rig_write(0, LAPIC_ESR, 0);
	assert_int_equal(rig_read(0, LAPIC_ESR), 0);
	assert_int_equal(rig_take(0), -1);
}

static void masked_or_illegal_error_vectors_stay_quiet(void **state)
{
	rig_write(0, LAPIC_ICR_LOW, 3);
	assert_int_equal(rig_take(0), -1);
	rig_write(0, LAPIC_ESR, 0);
	rig_write(0, LAPIC_LVT_ERROR, 0x05);
	rig_write(0, LAPIC_ICR_LOW, 3);
	assert_int_equal(rig_take(0), -1);
	rig_write(0, LAPIC_ESR, 0);
	assert_int_equal(rig_read(0, LAPIC_ESR), 0x60);
}

static void reserved_registers_read_zero_and_are_logged(void **state)
{
	const uint32_t reserved[] = {0x000, 0x010, 0x040, 0x0a4, 0x290, 0x3a0, 0x3f0, 0x400, 0xff0};

	for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
		rig_write(0, reserved[i], 0xffffffff);
		rig_write(0, LAPIC_ESR, 0);
		assert_int_equal(rig_read(0, LAPIC_ESR), 0x80);
		rig_write(0, LAPIC_ESR, 0);
		assert_int_equal(rig_read(0, LAPIC_ESR), 0);
		assert_int_equal(rig_read(0, reserved[i]), 0);
		rig_write(0, LAPIC_ESR, 0);
		assert_int_equal(rig_read(0, LAPIC_ESR), 0x80);
	}
	rig_write(0, LAPIC_ESR, 0);
	/* What older processors had is simply 0. */
	assert_int_equal(rig_read(0, LAPIC_APR) | rig_read(0, LAPIC_RRD) | rig_read(0, LAPIC_EOI),
			 0);
	rig_write(0, LAPIC_APR, 1);
	rig_write(0, LAPIC_ESR, 0);
	assert_int_equal(rig_read(0, LAPIC_ESR), 0);
}

static void lint_pins_follow_their_lvt(void **state)
{
	struct lapic *l = &rig.lapic[0];
	struct lapic_events ev = {0};

	/* Masked: the edge is lost. */
	rig_write(0, LAPIC_LVT_LINT1, 0x10400);
	lapic_lint(l, 1, true, &ev);
	rig_write(0, LAPIC_LVT_LINT1, 0x400);
	assert_false(ev.nmi);
	lapic_lint(l, 1, true, &ev);
	assert_false(ev.nmi);
	lapic_lint(l, 1, false, &ev);
	lapic_lint(l, 1, true, &ev);
	assert_true(ev.nmi);
	ev = (struct lapic_events){0};
	rig_write(0, LAPIC_LVT_LINT1, 0x200);
	lapic_lint(l, 1, false, &ev);
	lapic_lint(l, 1, true, &ev);
	assert_true(ev.smi && !ev.nmi);
	/* Fixed; level on LINT1 is not supported and acts as edge. */
	rig_write(0, LAPIC_LVT_LINT1, 0x8044);
	lapic_lint(l, 1, false, &ev);
	lapic_lint(l, 1, true, &ev);
	assert_int_equal(rig_take(0), 0x44);
	assert_false(rig_bit(0, LAPIC_TMR, 0x44));
	rig_eoi(0);
	assert_int_equal(rig_take(0), -1);
	/* INIT by pin. */
	rig_write(0, LAPIC_LVT_LINT1, 0x500);
	lapic_lint(l, 1, false, &ev);
	lapic_lint(l, 1, true, &ev);
	assert_true(ev.init && ev.dest_changed);
	assert_int_equal(rig_read(0, LAPIC_LVT_LINT1), RIG_MASKED);
}

static void lint0_level_waits_for_eoi(void **state)
{
	struct lapic *l = &rig.lapic[0];
	struct lapic_events ev = {0};

	rig_write(0, LAPIC_LVT_LINT0, 0x18045);
	lapic_lint(l, 0, true, &ev);
	assert_int_equal(rig_pull(0), -1);
	/* Unmasking finds the level. */
	rig_write(0, LAPIC_LVT_LINT0, 0x08045);
	assert_int_equal(rig_read(0, LAPIC_LVT_LINT0), 0x0c045);
	assert_int_equal(rig_take(0), 0x45);
	assert_true(rig_bit(0, LAPIC_TMR, 0x45));
	lapic_lint(l, 0, false, &ev);
	lapic_lint(l, 0, true, &ev);
	assert_int_equal(rig_pull(0), -1);
	assert_false(rig_bit(0, LAPIC_IRR, 0x45));
	/* Still high at EOI: again. */
	rig_eoi(0);
	assert_int_equal(rig_take(0), 0x45);
	lapic_lint(l, 0, false, &ev);
	rig_eoi(0);
	assert_int_equal(rig_take(0), -1);
	assert_int_equal(rig_read(0, LAPIC_LVT_LINT0), 0x08045);
	/* Writing the entry does not touch remote IRR, leaving level mode clears it. */
	lapic_lint(l, 0, true, &ev);
	rig_write(0, LAPIC_LVT_LINT0, 0x08045);
	assert_int_equal(rig_read(0, LAPIC_LVT_LINT0), 0x0c045);
	rig_write(0, LAPIC_LVT_LINT0, 0x10700);
	assert_int_equal(rig_read(0, LAPIC_LVT_LINT0), 0x10700);
}

static void pins_outlive_init(void **state)
{
	struct lapic_events ev = {0};

	lapic_lint(&rig.lapic[0], 0, true, &ev);
	lapic_reset_init(&rig.lapic[0]);
	rig_enable(0);
	rig_write(0, LAPIC_LVT_LINT0, 0x08045);
	assert_int_equal(rig_take(0), 0x45);
}

static void extint_needs_open_lint0(void **state)
{
	struct lapic *l = &rig.lapic[0];

	assert_false(lapic_extint_accepted(l));
	rig_write(0, LAPIC_LVT_LINT0, 0x700);
	assert_true(lapic_extint_accepted(l));
	rig_write(0, LAPIC_LVT_LINT0, 0x10700);
	assert_false(lapic_extint_accepted(l));
	rig_write(0, LAPIC_LVT_LINT0, 0x040);
	assert_false(lapic_extint_accepted(l));
	assert_int_equal(rig_wrmsr(0, MSR_APIC_BASE, 0xfee00100), 0);
	assert_int_equal(rig_wrmsr(1, MSR_APIC_BASE, 0xfee00000), 0);
	assert_true(lapic_extint_accepted(&rig.lapic[0]));
	assert_false(lapic_extint_accepted(&rig.lapic[1]));
}

static void virtual_wire_is_what_a_bios_leaves(void **state)
{
	lapic_virtual_wire(&rig.lapic[0]);
	rig_publish(0);
	assert_true(lapic_extint_accepted(&rig.lapic[0]));
	assert_int_equal(rig_read(0, LAPIC_SVR), 0x1ff);
	assert_int_equal(rig_read(0, LAPIC_LVT_LINT1), 0x400);
	assert_int_equal(rig_route(&(struct apic_msg){.kind = APIC_FIXED, .vector = 0x63}, 1), 1);
}

static void icr_makes_messages(void **state)
{
	struct lapic_actions act;

	rig_write(0, LAPIC_ICR_HIGH, 0x02000000);
	act = rig_write(0, LAPIC_ICR_LOW, 0x000fd);
	assert_true(act.send_ipi);
	assert_int_equal(act.ipi.kind, APIC_FIXED);
	assert_int_equal(act.ipi.vector, 0xfd);
	assert_int_equal(act.ipi.dest, 2);
	assert_false(act.ipi.logical);
	assert_false(act.ipi.level_trigger);
	assert_true(act.ipi.assert);
	assert_int_equal(act.ipi.shorthand, APIC_TO_DEST);
	assert_int_equal(rig_read(0, LAPIC_ICR_LOW), 0xfd);
	assert_int_equal(rig_take(2), 0xfd);
	rig_write(0, LAPIC_ICR_HIGH, 0xff000000);
	act = rig_write(0, LAPIC_ICR_LOW, 0x0c9fd);
	assert_int_equal(act.ipi.dest, APIC_DEST_ALL);
	assert_int_equal(act.ipi.kind, APIC_LOWEST);
	assert_true(act.ipi.logical);
	/* Delivery status reads idle. */
	rig_write(0, LAPIC_ICR_LOW, 0xfffff);
	assert_int_equal(rig_read(0, LAPIC_ICR_LOW), 0xccfff);
}

static void icr_shorthands(void **state)
{
	struct lapic_actions act = rig_write(1, LAPIC_ICR_LOW, 0x400a1);

	/* Self is dealt with here. */
	assert_true(!act.send_ipi && act.recheck);
	assert_int_equal(rig_take(1), 0xa1);
	rig_write(1, LAPIC_SVR, 0xff);
	rig_write(1, LAPIC_ICR_LOW, 0x400b1);
	assert_int_equal(rig_take(1), -1);
	rig_enable(1);
	rig_write(1, LAPIC_ICR_LOW, 0x800a2);
	rig_write(1, LAPIC_ICR_LOW, 0xc00a3);
	for (unsigned cpu = 0; cpu < RIG_CPUS; cpu++) {
		rig_pull(cpu);
		assert_true(rig_bit(cpu, LAPIC_IRR, 0xa2));
		assert_int_equal(rig_bit(cpu, LAPIC_IRR, 0xa3), cpu != 1);
	}
}

static void icr_refuses_what_the_tables_call_invalid(void **state)
{
	const uint32_t invalid[] = {
		0x003fd, 0x007fd,                   /* reserved, ExtINT */
		0x0000f, 0x0010f,                   /* illegal vectors */
		0x404fd, 0x405fd, 0x406fd, 0x401fd, /* self: not fixed */
		0x804fd, 0x805fd, 0x806fd, 0x801fd, /* all: not fixed */
		0x08500, 0x88500,                   /* INIT level de-assert */
	};

	rig_write(0, LAPIC_ICR_HIGH, 0x01000000);
	for (size_t i = 0; i < ARRAY_LEN(invalid); i++) {
		assert_false(rig_write(0, LAPIC_ICR_LOW, invalid[i]).send_ipi);
		assert_int_equal(rig_take(0), -1);
	}
	rig_write(0, LAPIC_ESR, 0);
	assert_int_equal(rig_read(0, LAPIC_ESR), 0x20);
	assert_true(rig_write(0, LAPIC_ICR_LOW, 0x0c500).send_ipi);
	assert_true(rig_write(0, LAPIC_ICR_LOW, 0xc4600).send_ipi);
	assert_true(rig_write(0, LAPIC_ICR_LOW, 0xc4400).send_ipi);
}

static void hardware_stored_writes_act_alike(void **state)
{
	struct lapic *l = &rig.lapic[1];
	struct lapic_actions act;

	l->regs[LAPIC_ICR_HIGH / 4] = 0x03abcdef;
	lapic_write_done(l, LAPIC_ICR_HIGH, 0, &act);
	l->regs[LAPIC_ICR_LOW / 4] = 0xfff330fd & ~0xc0000u;
	lapic_write_done(l, LAPIC_ICR_LOW, 0, &act);
	assert_true(act.send_ipi);
	assert_int_equal(act.ipi.dest, 3);
	assert_int_equal(rig_read(1, LAPIC_ICR_LOW), 0xfd & 0xccfff);
	l->regs[LAPIC_LVT_TIMER / 4] = 0xffffffff;
	lapic_write_done(l, LAPIC_LVT_TIMER + 3, 0, &act);
	assert_int_equal(rig_read(1, LAPIC_LVT_TIMER), 0x700ff);
	l->regs[LAPIC_ID / 4] = 0x77777777;
	lapic_write_done(l, LAPIC_ID, 0, &act);
	assert_int_equal(rig_read(1, LAPIC_ID), 0x01000000);
	l->regs[LAPIC_SVR / 4] = 0x0ff;
	lapic_write_done(l, LAPIC_SVR, 0, &act);
	assert_true(act.dest_changed);
	/* An EOI found in the page. */
	rig_enable(1);
	rig_post(1, 0x33);
	assert_int_equal(rig_take(1), 0x33);
	l->regs[LAPIC_EOI / 4] = 0;
	lapic_write_done(l, LAPIC_EOI, 0, &act);
	assert_false(rig_bit(1, LAPIC_ISR, 0x33));
	l->regs[LAPIC_ESR / 4] = 0x1234;
	lapic_write_done(l, LAPIC_ESR, 0, &act);
	assert_int_equal(rig_read(1, LAPIC_ESR), 0);
}

static void hardware_moves_are_taken_over(void **state)
{
	struct lapic *l = &rig.lapic[0];
	struct apic_msg msg = {
		.kind = APIC_FIXED, .vector = 0x91, .level_trigger = true, .assert = true};
	struct lapic_actions act;
	uint64_t exits[4];

	rig.kicks += apic_post_msg(&rig.post[0], &msg);
	rig_post(0, 0x35);
	rig_pull(0);
	assert_true(rig.ev[0].eoi_exits);
	lapic_eoi_exits(l, exits);
	assert_int_equal(exits[2], BIT(0x91 - 128));
	assert_int_equal(exits[0] | exits[1] | exits[3], 0);
	/* Hardware delivers 0x91 and the guest ends it. */
	l->regs[(LAPIC_IRR + 0x40) / 4] = 0;
	l->regs[(LAPIC_ISR + 0x40) / 4] = 1u << 0x11;
	lapic_sync_hw(l);
	assert_int_equal(lapic_highest_isr(l), 0x91);
	assert_int_equal(lapic_highest_irr(l), 0x35);
	assert_int_equal(lapic_pending(l), -1);
	l->regs[(LAPIC_ISR + 0x40) / 4] = 0;
	lapic_sync_hw(l);
	lapic_eoi_done(l, 0x91, &act);
	assert_true(act.eoi_level);
	assert_int_equal(act.eoi_vector, 0x91);
	assert_int_equal(lapic_pending(l), 0x35);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(reset_state_is_the_manuals, rig_setup_cold),
		cmocka_unit_test_setup(read_only_registers_stay, rig_setup),
		cmocka_unit_test_setup(writes_keep_reserved_bits_clear, rig_setup),
		cmocka_unit_test_setup(highest_vector_first_and_nests_by_class, rig_setup),
		cmocka_unit_test_setup(a_vector_can_wait_behind_itself, rig_setup),
		cmocka_unit_test_setup(every_vector_goes_round, rig_setup),
		cmocka_unit_test_setup(tpr_holds_back_its_class_and_below, rig_setup),
		cmocka_unit_test_setup(software_disable_masks_and_refuses, rig_setup),
		cmocka_unit_test_setup(esr_shows_what_was_logged_up_to_the_write, rig_setup),
		cmocka_unit_test_setup(masked_or_illegal_error_vectors_stay_quiet, rig_setup),
		cmocka_unit_test_setup(reserved_registers_read_zero_and_are_logged, rig_setup),
		cmocka_unit_test_setup(lint_pins_follow_their_lvt, rig_setup),
		cmocka_unit_test_setup(lint0_level_waits_for_eoi, rig_setup),
		cmocka_unit_test_setup(pins_outlive_init, rig_setup),
		cmocka_unit_test_setup(extint_needs_open_lint0, rig_setup),
		cmocka_unit_test_setup(virtual_wire_is_what_a_bios_leaves, rig_setup_cold),
		cmocka_unit_test_setup(icr_makes_messages, rig_setup),
		cmocka_unit_test_setup(icr_shorthands, rig_setup),
		cmocka_unit_test_setup(icr_refuses_what_the_tables_call_invalid, rig_setup),
		cmocka_unit_test_setup(hardware_stored_writes_act_alike, rig_setup),
		cmocka_unit_test_setup(hardware_moves_are_taken_over, rig_setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
