/* The local APIC of one CPU: registers, priorities, timer, modes. SDM vol. 3, chapter 11. */
#include "tests/guest/lib/apic.h"
#include "tests/guest/lib/pc.h"
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/trap.h"

static void self_ipi(unsigned vector)
{
	lapic_ipi(0, ICR_SELF | vector);
}

/* Lets whatever is deliverable be delivered. */
static void irq_window(void)
{
	irq_on();
	irq_off();
}

static void eoi_only(struct regs *r)
{
	lapic_eoi();
}

static void test_registers(void)
{
	uint32_t version = lapic_read(LAPIC_VERSION);

	CHECK((version & 0xf0) == 0x10, "version %#x", version);
	CHECK((version >> 16 & 0xff) >= 3, "version %#x: too few LVT entries", version);
	for (unsigned v = 0; v < 256; v += 0x31) {
		lapic_write(LAPIC_TPR, v);
		CHECK_EQ(lapic_read(LAPIC_TPR), v);
	}
	lapic_write(LAPIC_TPR, 0);
	lapic_write(LAPIC_LDR, 0x55aa1234);
	CHECK_EQ(lapic_read(LAPIC_LDR) >> 24, 0x55);
	lapic_write(LAPIC_DFR, 0x0fffffff);
	CHECK_EQ(lapic_read(LAPIC_DFR) >> 28, 0);
	lapic_write(LAPIC_DFR, 0xffffffff);
	CHECK_EQ(lapic_read(LAPIC_DFR), 0xffffffff);
	lapic_write(LAPIC_LVT_TIMER, LVT_MASKED | LVT_PERIODIC | 0x77);
	CHECK_EQ(lapic_read(LAPIC_LVT_TIMER), LVT_MASKED | LVT_PERIODIC | 0x77);
	lapic_write(LAPIC_LVT_ERROR, LVT_MASKED | 0x78);
	CHECK_EQ(lapic_read(LAPIC_LVT_ERROR), LVT_MASKED | 0x78);
	lapic_write(LAPIC_ICR_HIGH, 0x12000000);
	CHECK_EQ(lapic_read(LAPIC_ICR_HIGH), 0x12000000);
	lapic_write(LAPIC_TIMER_DIVIDE, 0xb);
	CHECK_EQ(lapic_read(LAPIC_TIMER_DIVIDE), 0xb);
}

static void test_read_only(void)
{
	uint32_t version = lapic_read(LAPIC_VERSION), ppr = lapic_read(LAPIC_PPR);

	lapic_write(LAPIC_VERSION, ~version);
	CHECK_EQ(lapic_read(LAPIC_VERSION), version);
	lapic_write(LAPIC_PPR, 0xf0);
	CHECK_EQ(lapic_read(LAPIC_PPR), ppr);
	lapic_write(LAPIC_ISR, 0xffffffff);
	CHECK_EQ(lapic_read(LAPIC_ISR), 0);
	lapic_write(LAPIC_IRR + 0x40, 0xffffffff);
	CHECK_EQ(lapic_read(LAPIC_IRR + 0x40), 0);
}

/* SDM vol. 3, 11.5.3: a write latches what was gathered since the last one. */
static void test_esr(void)
{
	if (machine.tcg)
		test_skip("QEMU reports no illegal vectors");
	lapic_write(LAPIC_ESR, 0);
	lapic_write(LAPIC_ESR, 0);
	CHECK_EQ(lapic_read(LAPIC_ESR), 0);
	trap_hook(VEC_USER, eoi_only);
	lapic_write(LAPIC_LVT_ERROR, VEC_USER);
	self_ipi(5);
	irq_window();
	if (!machine.bochs) /* which raises no error interrupt */
		CHECK_EQ(trap_count[VEC_USER], 1);
	CHECK_EQ(trap_count[5], 0);
	lapic_write(LAPIC_ESR, 0);
	/* Seen on its way out, on its way in, or both. */
	CHECK(lapic_read(LAPIC_ESR) & (BIT32(5) | BIT32(6)), "send of vector 5: ESR %#x",
	      lapic_read(LAPIC_ESR));
	lapic_write(LAPIC_ESR, 0);
	CHECK_EQ(lapic_read(LAPIC_ESR), 0);
}

static void test_self_ipi(void)
{
	trap_hook(VEC_USER, eoi_only);
	self_ipi(VEC_USER);
	CHECK(lapic_bit(LAPIC_IRR, VEC_USER), "not in IRR while interrupts are off");
	CHECK_EQ(trap_count[VEC_USER], 0);
	self_ipi(VEC_USER); /* merges with the first */
	irq_window();
	CHECK_EQ(trap_count[VEC_USER], 1);
	CHECK(!lapic_bit(LAPIC_IRR, VEC_USER), "still in IRR");
	CHECK(!lapic_bit(LAPIC_ISR, VEC_USER), "still in service after EOI");
}

static void test_all_vectors(void)
{
	/* Not the spurious vector, whose EOI is nobody's promise. */
	for (unsigned v = 0x20; v < VEC_SPURIOUS; v++) {
		trap_hook(v, eoi_only);
		self_ipi(v);
	}
	irq_window();
	for (unsigned v = 0x20; v < VEC_SPURIOUS; v++)
		CHECK(trap_count[v] == 1, "vector %#x came %u times", v, trap_count[v]);
}

static void test_tpr(void)
{
	trap_hook(0x55, eoi_only);
	lapic_write(LAPIC_TPR, 0x50);
	CHECK_EQ(lapic_read(LAPIC_PPR), 0x50);
	self_ipi(0x55);
	irq_window();
	CHECK_EQ(trap_count[0x55], 0);
	CHECK(lapic_bit(LAPIC_IRR, 0x55), "lost");
	irq_on();
	lapic_write(LAPIC_TPR, 0x4f);
	CHECK(WAIT(trap_count[0x55] == 1, 1000), "not delivered when TPR falls");
	irq_off();
	lapic_write(LAPIC_TPR, 0);
}

static unsigned order[8], order_count;
static uint32_t ppr_seen[8];

static void note(unsigned vector)
{
	if (order_count < ARRAY_LEN(order)) {
		ppr_seen[order_count] = lapic_read(LAPIC_PPR);
		order[order_count++] = vector;
	}
}

static void note_and_eoi(struct regs *r)
{
	note(r->vector);
	lapic_eoi();
}

/* In service at 0x60: 0x81 nests, 0x65 is of the same class and waits, 0x45 waits too. */
static void nest(struct regs *r)
{
	note(r->vector);
	self_ipi(0x45);
	self_ipi(0x65);
	self_ipi(0x81);
	irq_window();
	CHECK_EQ(order_count, 2);
	CHECK(lapic_bit(LAPIC_ISR, 0x60), "0x60 not in service");
	CHECK(!lapic_bit(LAPIC_ISR, 0x81), "0x81 in service after its EOI");
	CHECK(lapic_bit(LAPIC_IRR, 0x65) && lapic_bit(LAPIC_IRR, 0x45), "waiting vectors lost");
	lapic_eoi();
}

static void test_nesting(void)
{
	static const unsigned want[] = {0x60, 0x81, 0x65, 0x45};

	order_count = 0;
	trap_hook(0x60, nest);
	trap_hook(0x45, note_and_eoi);
	trap_hook(0x65, note_and_eoi);
	trap_hook(0x81, note_and_eoi);
	self_ipi(0x60);
	irq_window();
	CHECK_EQ(order_count, 4);
	for (unsigned i = 0; i < ARRAY_LEN(want); i++) {
		CHECK(order[i] == want[i], "interrupt %u was %#x, not %#x", i, order[i], want[i]);
		CHECK_EQ(ppr_seen[i], want[i] & 0xf0);
	}
}

static void test_priority_order(void)
{
	static const uint8_t sent[] = {0x31, 0xe0, 0x52, 0x90, 0x91, 0x33};
	static const uint8_t want[] = {0xe0, 0x91, 0x90, 0x52, 0x33, 0x31};

	order_count = 0;
	for (unsigned i = 0; i < ARRAY_LEN(sent); i++) {
		trap_hook(sent[i], note_and_eoi);
		self_ipi(sent[i]);
	}
	irq_window();
	CHECK_EQ(order_count, ARRAY_LEN(want));
	for (unsigned i = 0; i < ARRAY_LEN(want); i++)
		CHECK(order[i] == want[i], "interrupt %u was %#x, not %#x", i, order[i], want[i]);
}

/* EOI clears the highest vector in service, whichever handler sends it. */
static void late_eoi(struct regs *r)
{
	note(r->vector);
}

static void test_eoi_order(void)
{
	order_count = 0;
	trap_hook(0x50, late_eoi);
	trap_hook(0x70, late_eoi);
	self_ipi(0x50);
	irq_window();
	self_ipi(0x70);
	irq_window();
	CHECK_EQ(order_count, 2);
	CHECK_EQ(lapic_read(LAPIC_PPR), 0x70);
	lapic_eoi();
	CHECK(lapic_bit(LAPIC_ISR, 0x50) && !lapic_bit(LAPIC_ISR, 0x70),
	      "EOI cleared the wrong bit");
	CHECK_EQ(lapic_read(LAPIC_PPR), 0x50);
	lapic_eoi();
	CHECK_EQ(lapic_read(LAPIC_PPR), 0);
	lapic_eoi(); /* one too many does nothing */
	CHECK_EQ(lapic_read(LAPIC_PPR), 0);
}

/* A halted CPU is woken by its own timer. */
static void test_halt(void)
{
	trap_hook(VEC_USER, eoi_only);
	lapic_write(LAPIC_TIMER_DIVIDE, 0xb);
	for (unsigned i = 1; i <= 20; i++) {
		lapic_write(LAPIC_LVT_TIMER, VEC_USER);
		lapic_write(LAPIC_TIMER_INITIAL, 20000);
		while (trap_count[VEC_USER] < i)
			irq_sleep();
	}
	CHECK_EQ(trap_count[VEC_USER], 20);
}

static void test_one_shot(void)
{
	uint32_t a, b;

	trap_hook(VEC_USER, eoi_only);
	lapic_write(LAPIC_TIMER_DIVIDE, 0xb);
	lapic_write(LAPIC_LVT_TIMER, LVT_MASKED | VEC_USER);
	lapic_write(LAPIC_TIMER_INITIAL, 0xffffffff);
	a = lapic_read(LAPIC_TIMER_CURRENT);
	delay_us(100);
	b = lapic_read(LAPIC_TIMER_CURRENT);
	CHECK(b < a, "count went from %#x to %#x", a, b);
	lapic_write(LAPIC_LVT_TIMER, VEC_USER);
	lapic_write(LAPIC_TIMER_INITIAL, 1000);
	irq_on();
	CHECK(WAIT(trap_count[VEC_USER] == 1, 2000), "no interrupt");
	CHECK_EQ(lapic_read(LAPIC_TIMER_CURRENT), 0);
	delay_us(5000);
	irq_off();
	CHECK_EQ(trap_count[VEC_USER], 1);
}

static void test_periodic(void)
{
	uint32_t seen;

	trap_hook(VEC_USER, eoi_only);
	lapic_write(LAPIC_TIMER_DIVIDE, 0xb);
	lapic_write(LAPIC_LVT_TIMER, LVT_PERIODIC | VEC_USER);
	lapic_write(LAPIC_TIMER_INITIAL, 100000);
	irq_on();
	CHECK(WAIT(trap_count[VEC_USER] >= 5, 5000), "%u interrupts", trap_count[VEC_USER]);
	lapic_write(LAPIC_TIMER_INITIAL, 0);
	delay_us(1000); /* one may be on its way */
	seen = trap_count[VEC_USER];
	delay_us(5000);
	irq_off();
	CHECK_EQ(trap_count[VEC_USER], seen);
	CHECK_EQ(lapic_read(LAPIC_TIMER_CURRENT), 0);
}

/*
 * Ticks the timer counts in a million of TSC ticks. Whoever runs the machine may stop it in the middle of a
 * measurement, so it counts only when the longest and the shortest time it can have taken are about equal.
 */
static uint32_t timer_rate(uint32_t divide)
{
	uint64_t armed, begun, ended;
	uint32_t ticks;

	lapic_write(LAPIC_TIMER_DIVIDE, divide);
	for (unsigned i = 0; i < 100; i++) {
		armed = rdtsc();
		lapic_write(LAPIC_TIMER_INITIAL, 0xffffffff);
		begun = rdtsc();
		delay_us(5000);
		ended = rdtsc();
		ticks = 0xffffffff - lapic_read(LAPIC_TIMER_CURRENT);
		if (rdtsc() - armed < (ended - begun) / 8 * 9)
			return (uint32_t)(ticks * 1000000ull / (ended - begun));
	}
	test_skip("the machine stood still again and again");
}

static void test_divide(void)
{
	uint32_t by1, by16;

	lapic_write(LAPIC_LVT_TIMER, LVT_MASKED | VEC_USER);
	by1 = timer_rate(0xb);
	by16 = timer_rate(0x3);
	CHECK(by1 / 20 < by16 && by16 < by1 / 12, "by 1: %u ticks, by 16: %u", by1, by16);
}

static void test_masked_timer(void)
{
	trap_hook(VEC_USER, eoi_only);
	lapic_write(LAPIC_TIMER_DIVIDE, 0xb);
	lapic_write(LAPIC_LVT_TIMER, LVT_MASKED | VEC_USER);
	lapic_write(LAPIC_TIMER_INITIAL, 1000);
	irq_on();
	CHECK(WAIT(lapic_read(LAPIC_TIMER_CURRENT) == 0, 1000), "does not run down when masked");
	delay_us(1000);
	irq_off();
	CHECK_EQ(trap_count[VEC_USER], 0);
}

static void test_deadline(void)
{
	uint64_t deadline, armed;
	uint32_t fired;

	if (!(cpuid(1, 0).c & BIT32(24)))
		test_skip("no TSC-deadline timer");
	trap_hook(VEC_USER, eoi_only);
	lapic_write(LAPIC_LVT_TIMER, LVT_DEADLINE | VEC_USER);
	deadline = rdtsc() + tsc_per_ms() * 2;
	wrmsr(MSR_TSC_DEADLINE, deadline);
	armed = rdmsr(MSR_TSC_DEADLINE);
	CHECK(armed == deadline || (!armed && rdtsc() >= deadline), "reads back %llu", armed);
	CHECK_EQ(lapic_read(LAPIC_TIMER_CURRENT), 0);
	irq_on();
	while (!trap_count[VEC_USER] && rdtsc() < deadline + tsc_per_ms() * 1000ull)
		cpu_pause();
	CHECK(rdtsc() >= deadline, "came too early");
	CHECK_EQ(trap_count[VEC_USER], 1);
	CHECK(rdmsr(MSR_TSC_DEADLINE) == 0 || machine.bochs, "armed after it fired");
	wrmsr(MSR_TSC_DEADLINE, 1); /* in the past: at once */
	CHECK(WAIT(trap_count[VEC_USER] == 2, 1000), "a deadline in the past does not fire");
	do {
		deadline = rdtsc() + tsc_per_ms() * 5ull;
		wrmsr(MSR_TSC_DEADLINE, deadline);
		wrmsr(MSR_TSC_DEADLINE, 0); /* disarms */
	} while (rdtsc() >= deadline);      /* too late */
	fired = trap_count[VEC_USER];
	delay_us(10000);
	irq_off();
	CHECK_EQ(trap_count[VEC_USER], fired);
	lapic_write(LAPIC_LVT_TIMER, LVT_MASKED);
}

/* SDM vol. 3, 11.4.7.2: software-disabled, every LVT is masked and stays so. */
static void test_software_disable(void)
{
	if (machine.tcg)
		test_skip("QEMU leaves the LVTs alone");
	lapic_write(LAPIC_LVT_TIMER, VEC_USER);
	lapic_write(LAPIC_SVR, 0xff);
	CHECK(lapic_read(LAPIC_LVT_TIMER) & LVT_MASKED, "LVT timer %#x",
	      lapic_read(LAPIC_LVT_TIMER));
	lapic_write(LAPIC_LVT_ERROR, VEC_USER);
	CHECK(lapic_read(LAPIC_LVT_ERROR) & LVT_MASKED, "LVT error %#x can be unmasked",
	      lapic_read(LAPIC_LVT_ERROR));
	lapic_write(LAPIC_SVR, SVR_ENABLE | 0xff);
	CHECK(lapic_read(LAPIC_LVT_TIMER) & LVT_MASKED, "LVT timer unmasked by itself");
	lapic_write(LAPIC_LVT_TIMER, VEC_USER);
	CHECK(!(lapic_read(LAPIC_LVT_TIMER) & LVT_MASKED), "LVT timer stays masked");
}

/* Bits 16 of x2APIC's rules: each MSR that must fault, does. SDM vol. 3, 11.12.1.2 and 11.12.1.3 */
static void check_x2apic_msrs(void)
{
	static const struct {
		uint16_t msr;
		bool write;
		uint64_t value;
	} bad[] = {
		{0x802, true, 0},                           /* ID is read-only */
		{0x803, true, 0},                           /* so is the version */
		{0x80b, false, 0},                          /* EOI is write-only */
		{0x80b, true, 1},                           /* and takes 0 alone */
		{0x80d, true, 0},                           /* LDR is read-only */
		{0x80e, false, 0},                          /* no DFR */
		{0x80e, true, 0},     {0x808, true, 0x100}, /* reserved bits */
		{0x828, true, 1},                           /* ESR takes 0 alone */
		{0x831, false, 0},                          /* no high half of ICR */
		{0x831, true, 0},     {0x83f, false, 0},    /* self IPI is write-only */
		{0x83f, true, 0x100},                       /* reserved bits */
		{0x804, false, 0},                          /* reserved registers */
		{0x840, false, 0},    {0x8ff, true, 0},
	};
	uint64_t v;

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		int vector = bad[i].write ? wrmsr_try(bad[i].msr, bad[i].value)
					  : rdmsr_try(bad[i].msr, &v);

		CHECK(vector == VEC_GP, "%s of MSR %#x: vector %d", bad[i].write ? "write" : "read",
		      bad[i].msr, vector);
	}
}

static int apic_base_try(uint64_t bits)
{
	return wrmsr_try(MSR_APIC_BASE, LAPIC_BASE | APIC_BASE_BSP | bits);
}

#define HOLE ((volatile uint32_t *)(LAPIC_BASE + LAPIC_SVR))

/* Nothing is where the page was: what is written does not stay. */
static void check_no_page(void)
{
	if (!machine.amalgam)
		return;
	*HOLE = 0x12345678;
	CHECK_EQ(*HOLE, 0xffffffff);
}

static void test_x2apic(void)
{
	uint32_t id = lapic_id(), ldr;

	if (!(cpuid(1, 0).c & BIT32(21)))
		test_skip("no x2APIC");
	if (machine.bochs)
		test_skip("Bochs has no logical id in x2APIC mode and can't be switched back");
	CHECK(apic_base_try(APIC_BASE_X2APIC) == VEC_GP, "x2APIC without the enable bit");
	REQUIRE(apic_base_try(APIC_BASE_ENABLE | APIC_BASE_X2APIC) == -1, "can't be enabled");
	CHECK_EQ(lapic_id(), id);
	ldr = (uint32_t)rdmsr(0x80d);
	CHECK_EQ(ldr, (id & 0xffff0) << 12 | 1u << (id & 0xf));
	check_x2apic_msrs();
	check_no_page();
	trap_hook(VEC_USER, eoi_only);
	wrmsr(0x83f, VEC_USER);
	irq_window();
	CHECK_EQ(trap_count[VEC_USER], 1);
	lapic_ipi(id, VEC_USER);
	irq_window();
	CHECK_EQ(trap_count[VEC_USER], 2);
	lapic_ipi(ldr, ICR_LOGICAL | VEC_USER);
	irq_window();
	CHECK_EQ(trap_count[VEC_USER], 3);
	CHECK(apic_base_try(APIC_BASE_ENABLE) == VEC_GP, "x2APIC to xAPIC directly");
	CHECK(apic_base_try(APIC_BASE_X2APIC) == VEC_GP, "x2APIC with the enable bit cleared");
	CHECK(apic_base_try(0) == -1, "x2APIC to disabled");
	check_no_page();
	CHECK(apic_base_try(APIC_BASE_ENABLE | APIC_BASE_X2APIC) == VEC_GP, "disabled to x2APIC");
	CHECK(apic_base_try(APIC_BASE_ENABLE) == -1, "disabled to xAPIC");
	lapic_reset();
	CHECK_EQ(lapic_id(), id);
}

static void test_global_disable(void)
{
	if (machine.tcg || machine.bochs)
		test_skip("this emulator's APIC can't be enabled again");
	wrmsr(MSR_APIC_BASE, LAPIC_BASE | APIC_BASE_BSP);
	CHECK(!(cpuid(1, 0).d & BIT32(9)), "CPUID still shows the APIC");
	check_no_page();
	wrmsr(MSR_APIC_BASE, LAPIC_BASE | APIC_BASE_BSP | APIC_BASE_ENABLE);
	CHECK(cpuid(1, 0).d & BIT32(9), "CPUID does not show the APIC again");
	CHECK_EQ(lapic_read(LAPIC_SVR) & (SVR_ENABLE | 0xff), 0xff);
	lapic_reset();
	test_self_ipi();
}

static void see_own_page(void *arg)
{
	*(volatile uint32_t *)arg = lapic_read(LAPIC_ID) >> 24;
	lapic_write(LAPIC_ESR, 0);
	lapic_write(LAPIC_LVT_ERROR, LVT_MASKED | VEC_USER);
}

/* One CPU's LAPIC is in another mode than the next one's. */
static void test_mixed_modes(void)
{
	volatile uint32_t seen = ~0u;

	if (!machine.amalgam)
		test_skip("emulators' LAPICs are in one mode all or can't be switched back");
	smp_start_all(2);
	REQUIRE(apic_base_try(APIC_BASE_ENABLE | APIC_BASE_X2APIC) == -1, "can't be enabled");
	smp_call(1, see_own_page, (void *)&seen);
	smp_wait(1, 5000);
	CHECK_EQ(seen, cpu_get(1)->apic_id);
	check_no_page();
	CHECK(apic_base_try(0) == -1, "x2APIC to disabled");
	CHECK(apic_base_try(APIC_BASE_ENABLE) == -1, "disabled to xAPIC");
	lapic_reset();
	CHECK_EQ(*(volatile uint32_t *)(LAPIC_BASE + LAPIC_ID) >> 24, cpu_get(0)->apic_id);
	smp_call(1, see_own_page, (void *)&seen);
	smp_wait(1, 5000);
	CHECK_EQ(seen, cpu_get(1)->apic_id);
	test_self_ipi();
}

static void test_apic_base_reserved(void)
{
	if (machine.tcg)
		test_skip("QEMU ignores reserved bits");
	for (unsigned bit = 0; bit < 8; bit++)
		CHECK(apic_base_try(APIC_BASE_ENABLE | BIT32(bit)) == VEC_GP, "bit %u", bit);
	CHECK(apic_base_try(APIC_BASE_ENABLE | BIT(63)) == VEC_GP, "bit 63");
}

const struct test guest_tests[] = {
	{"registers", test_registers},
	{"read-only", test_read_only},
	{"esr", test_esr},
	{"self-ipi", test_self_ipi},
	{"all-vectors", test_all_vectors},
	{"tpr", test_tpr},
	{"nesting", test_nesting},
	{"priority-order", test_priority_order},
	{"eoi-order", test_eoi_order},
	{"halt", test_halt},
	{"one-shot", test_one_shot},
	{"periodic", test_periodic},
	{"divide", test_divide},
	{"masked-timer", test_masked_timer},
	{"deadline", test_deadline},
	{"software-disable", test_software_disable},
	{"x2apic", test_x2apic},
	{"global-disable", test_global_disable},
	{"mixed-modes", test_mixed_modes},
	{"apic-base-reserved", test_apic_base_reserved},
	{NULL, NULL},
};
