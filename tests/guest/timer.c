/*
 * Clocks and timers: 8254, PM timer, CMOS clock, kvm-clock, and the TSC across CPUs. Ratios have wide
 * margins.
 */
#include "tests/guest/lib/acpi.h"
#include "tests/guest/lib/apic.h"
#include "tests/guest/lib/pc.h"
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/trap.h"

#define VEC_RTC 0x61

/*
 * Two readings of a clock, each with the TSC just before and just after it. Whoever runs the machine may
 * stop it at any point for any time: what lay between the readings is known only to be no less than
 * from after the first to before the second, and no more than from before the first to after the second.
 */
struct reading {
	uint64_t before, after, clock;
};

#define READING(expr)                \
	({                           \
		struct reading r_;   \
                                     \
		r_.before = rdtsc(); \
		r_.clock = (expr);   \
		r_.after = rdtsc();  \
		r_;                  \
	})

static uint32_t us_between(uint64_t first, uint64_t last)
{
	return (uint32_t)((last - first) * 1000 / tsc_per_ms());
}

/* `got` ticks of `per_s` went by between the readings, give or take a factor of two. */
static void check_rate(const char *what, uint32_t got, uint32_t per_s, const struct reading *a,
		       const struct reading *b)
{
	uint32_t least = (uint32_t)(us_between(a->after, b->before) * (uint64_t)per_s / 1000000);
	uint32_t most = (uint32_t)(us_between(a->before, b->after) * (uint64_t)per_s / 1000000);

	CHECK(got >= least / 2 && got / 2 <= most, "%s: %u, expected %u to %u", what, got, least,
	      most);
}

/* The counter comes round after 55 ms, so a turn in which the machine stood still that long says nothing. */
static void test_pit_counts(void)
{
	struct reading a, b;

	pit_set(0, 2, 0); /* 65536 */
	delay_us(500);
	for (unsigned i = 0; i < 100; i++) {
		a = READING(pit_read(0));
		delay_us(5000);
		b = READING(pit_read(0));
		if (us_between(a.before, b.after) > 50000)
			continue;
		check_rate("PIT ticks", (uint16_t)(a.clock - b.clock), PIT_HZ, &a, &b);
		return;
	}
	test_skip("the machine stood still again and again");
}

/* Mode 2 reloads: the count stays in 1..n. */
static void test_pit_reload(void)
{
	uint32_t turns = 0;
	uint64_t end;
	uint16_t last = 0;

	pit_set(0, 2, 1000);
	delay_us(2000);
	end = rdtsc() + tsc_per_ms() * 1000ull;
	while (turns < 5 && rdtsc() < end) {
		uint16_t v = pit_read(0);

		CHECK(v >= 1 && v <= 1000, "count %u of 1000", v);
		turns += v > last;
		last = v;
	}
	CHECK(turns == 5, "%u reloads", turns);
}

/* Mode 3 counts by two: even values, the output toggles each half. */
static void test_pit_square(void)
{
	bool high = false, low = false;

	pit_set(0, 3, 2000);
	CHECK_EQ(pit_status(0) & 0x3f, 0x36);
	(void)WAIT((pit_status(0) & 0x80 ? (high = true) : (low = true), high && low), 2000);
	CHECK(high && low, "the output stays %s", high ? "high" : "low");
	for (unsigned i = 0; i < 100; i++) {
		uint16_t v = pit_read(0);

		CHECK(v <= 2000 && (v % 2 == 0 || machine.tcg), "count %u of 2000", v);
	}
}

static void test_pit_terminal(void)
{
	pit_set(2, 0, 5000);
	CHECK(!(pit_status(2) & 0x80), "the output is high at once");
	CHECK_EQ(pit_status(2) & 0x3f, 0x30);
	CHECK(WAIT(pit_status(2) & 0x80, 1000), "the output never goes high");
	delay_us(1000);
	CHECK(pit_status(2) & 0x80, "the output goes low again");
}

/* A latched count stays as it is until it is read; a status latch likewise. 8254 data sheet */
static void test_pit_latch(void)
{
	uint8_t low, high, again;

	pit_set(0, 2, 0);
	delay_us(200);
	outb(0x43, 0x00);
	low = inb(0x40);
	delay_us(3000);
	high = inb(0x40);
	outb(0x43, 0xc2); /* read-back: status and count of channel 0 */
	again = inb(0x40);
	CHECK_EQ(again & 0x3f, 0x34);
	again = inb(0x40);
	CHECK(((uint16_t)(high << 8 | low) - (uint16_t)(inb(0x40) << 8 | again)) % 65536 > 1000,
	      "no 3 ms between the latches");
}

/* Access by low byte only: the count is one byte. */
static void test_pit_one_byte(void)
{
	outb(0x43, 0x14); /* channel 0, low byte, mode 2 */
	outb(0x40, 200);
	delay_us(1000);
	CHECK_EQ(pit_status(0) & 0x3f, 0x14);
	for (unsigned i = 0; i < 100; i++) {
		uint8_t v = inb(0x40);

		CHECK(v >= 1 && v <= 200, "count %u of 200", v);
	}
}

static void test_pm_timer(void)
{
	const struct acpi_fadt *fadt = acpi_fadt();
	uint32_t mask, ticks = 0;
	struct reading first, last, now;
	uint16_t port;

	if (!fadt || !fadt->pm_tmr)
		test_skip("no PM timer");
	port = (uint16_t)fadt->pm_tmr;
	mask = fadt->flags & FADT_TIMER_32 ? 0xffffffff : 0xffffff;
	first = last = READING(inl(port));
	do {
		now = READING(inl(port));
		CHECK(((now.clock - last.clock) & mask) <= mask / 2, "back from %#llx to %#llx",
		      last.clock, now.clock);
		ticks += (uint32_t)(now.clock - last.clock) & mask;
		last = now;
	} while (us_between(first.after, last.before) < 20000);
	CHECK((last.clock & ~(uint64_t)mask) == 0, "bits beyond the timer: %#llx", last.clock);
	check_rate("PM timer ticks", ticks, 3579545, &first, &last);
}

static unsigned bcd(uint8_t v)
{
	return (v >> 4) * 10u + (v & 15u);
}

static unsigned rtc_seconds(void)
{
	while (cmos_read(0x0a) & 0x80)
		cpu_pause();
	return bcd(cmos_read(0));
}

static void test_rtc_time(void)
{
	uint8_t b = cmos_read(0x0b);
	unsigned before;

	CHECK(!(b & 0x80), "register B %#x: updates are stopped", b);
	CHECK(!(b & 0x04), "register B %#x: firmware leaves BCD", b);
	CHECK(cmos_read(0x0d) & 0x80, "register D %#x: the battery is dead", cmos_read(0x0d));
	CHECK(bcd(cmos_read(8)) >= 1 && bcd(cmos_read(8)) <= 12, "month %#x", cmos_read(8));
	CHECK(bcd(cmos_read(7)) >= 1 && bcd(cmos_read(7)) <= 31, "day %#x", cmos_read(7));
	CHECK(bcd(cmos_read(4) & 0x7f) <= 24, "hour %#x", cmos_read(4));
	before = rtc_seconds();
	CHECK(WAIT(rtc_seconds() != before, 3000), "the seconds stand still at %u", before);
	CHECK_EQ(rtc_seconds(), (before + 1) % 60);
}

static volatile uint32_t rtc_flags, rtc_quiet, rtc_ignored;

/* Reading register C acknowledges; without it no further interrupt comes. */
static void on_rtc(struct regs *r)
{
	if (rtc_quiet)
		rtc_ignored++;
	else
		rtc_flags |= cmos_read(0x0c);
	lapic_eoi();
}

static void rtc_irq_on(uint8_t rate, uint8_t enable)
{
	rtc_flags = rtc_quiet = rtc_ignored = 0;
	trap_hook(VEC_RTC, on_rtc);
	cmos_write(0x0a, 0x20 | rate);
	cmos_write(0x0b, 0x02 | enable);
	ioapic_route(acpi_isa_irq(8).gsi, VEC_RTC, (uint8_t)lapic_id());
	(void)cmos_read(0x0c); /* last: an edge that came before the route is lost */
	irq_on();
}

static void rtc_irq_off(void)
{
	irq_off();
	cmos_write(0x0a, 0x26);
	cmos_write(0x0b, 0x02);
	(void)cmos_read(0x0c);
}

static void test_rtc_periodic(void)
{
	uint64_t start = rdtsc();
	uint32_t ms;

	rtc_irq_on(6, 0x40); /* 1024 Hz */
	CHECK(WAIT(trap_count[VEC_RTC] >= 50, 5000), "%u interrupts", trap_count[VEC_RTC]);
	ms = (uint32_t)((rdtsc() - start) / tsc_per_ms());
	CHECK_EQ(rtc_flags & 0xc0, 0xc0);
	CHECK(ms >= 20, "50 interrupts at 1024 Hz in %u ms", ms);
	rtc_quiet = 1;
	CHECK(WAIT(rtc_ignored, 5000), "no interrupt after 50");
	delay_us(10000);
	if (!machine.tcg) /* where a line that stays high counts as an edge each time */
		CHECK_EQ(rtc_ignored, 1);
	rtc_irq_off();
}

static void test_rtc_update(void)
{
	rtc_irq_on(6, 0x10);
	CHECK(WAIT(trap_count[VEC_RTC] >= 1, 3000), "no update-ended interrupt");
	CHECK_EQ(rtc_flags & 0x90, 0x90);
	rtc_irq_off();
}

/* CMOS RAM above the clock holds what is written. */
static void test_cmos_ram(void)
{
	uint8_t old = cmos_read(0x40);

	cmos_write(0x40, 0x5a);
	CHECK_EQ(cmos_read(0x40), 0x5a);
	cmos_write(0x40, 0xa5);
	CHECK_EQ(cmos_read(0x40), 0xa5);
	cmos_write(0x40, old);
}

/* linux/Documentation/virt/kvm/x86/msr.rst names the MSRs; the layout is the pvclock ABI's. */
#define MSR_KVM_WALL_CLOCK  0x4b564d00u
#define MSR_KVM_SYSTEM_TIME 0x4b564d01u

struct pvclock {
	uint32_t version, pad;
	uint64_t tsc, ns;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad2[2];
} PACKED;
_Static_assert(sizeof(struct pvclock) == 32, "pvclock_vcpu_time_info");

static struct pvclock pv[MAX_CPUS] ALIGNED(64);
static struct {
	uint32_t version, sec, ns;
} wall ALIGNED(64);

static bool kvm_clock_offered(void)
{
	struct cpuid id = cpuid(0x40000000, 0);

	return id.b == 0x4b4d564b && id.c == 0x564b4d56 && id.d == 0x4d &&
	       (cpuid(0x40000001, 0).a & BIT32(3));
}

static uint64_t pv_read(volatile struct pvclock *p)
{
	uint32_t version;
	uint64_t ns;

	do {
		while ((version = p->version) & 1)
			cpu_pause();
		fence();
		uint64_t delta = rdtsc() - p->tsc;

		delta = p->shift >= 0 ? delta << p->shift : delta >> -p->shift;
		/* 64 x 32 bits, upper part */
		ns = p->ns + (delta >> 32) * p->mul + (((delta & 0xffffffff) * p->mul) >> 32);
		fence();
	} while (p->version != version);
	return ns;
}

static void clock_on(void *arg)
{
	wrmsr(MSR_KVM_SYSTEM_TIME, (uint32_t)&pv[cpu_self()->index] | 1);
}

static void test_kvm_clock(void)
{
	struct reading a, b;
	uint64_t ns, last;

	if (!kvm_clock_offered()) {
		CHECK(!machine.amalgam, "not offered");
		test_skip("no kvm-clock");
	}
	clock_on(NULL);
	CHECK(WAIT(pv[0].version && !(pv[0].version & 1), 1000), "version %u", pv[0].version);
	a = READING(pv_read(&pv[0]));
	delay_us(20000);
	b = READING(pv_read(&pv[0]));
	check_rate("us of kvm-clock", (uint32_t)((b.clock - a.clock) / 1000), 1000000, &a, &b);
	last = b.clock;
	for (unsigned i = 0; i < 20000; i++) {
		ns = pv_read(&pv[0]);
		CHECK(ns >= last, "back from %llu to %llu", last, ns);
		last = ns;
	}
	wrmsr(MSR_KVM_WALL_CLOCK, (uint32_t)&wall);
	CHECK(wall.version && !(wall.version & 1), "wall clock version %u", wall.version);
	CHECK(wall.sec > 1500000000u || !machine.amalgam, "wall clock %u s", wall.sec);
	CHECK(wall.ns < 1000000000u, "wall clock %u ns", wall.ns);
}

static volatile uint64_t shared_ns;
static volatile uint32_t shared_turn, shared_back;

/* Each CPU in turn reads its clock and compares with what the other one read before it. */
static void chase(uint32_t me, uint64_t (*now)(void), uint32_t rounds)
{
	for (uint32_t i = 0; i < rounds; i++) {
		if (!WAIT((shared_turn & 1) == me, 5000))
			return;
		uint64_t t = now();

		if (t < shared_ns)
			shared_back++;
		shared_ns = t;
		fence();
		shared_turn++;
	}
}

static uint64_t pv_now(void)
{
	return pv_read(&pv[cpu_self()->index]);
}

static void chase_tsc(void *arg)
{
	chase(1, rdtsc, *(uint32_t *)arg);
}

static void chase_pv(void *arg)
{
	clock_on(NULL);
	chase(1, pv_now, *(uint32_t *)arg);
}

static void chase_all(void (*other)(void *arg), uint64_t (*now)(void))
{
	uint32_t rounds = 2000;

	for (unsigned i = 1; i < cpu_count; i++) {
		shared_ns = 0;
		shared_turn = shared_back = 0;
		smp_call(i, other, &rounds);
		chase(0, now, rounds);
		smp_wait(i, 60000);
		CHECK(shared_turn == 2 * rounds, "CPU %u: %u turns", i, shared_turn);
		CHECK(shared_back == 0, "CPU %u: time went back %u times", i, shared_back);
	}
}

/* No CPU sees the TSC of a message's reader behind that of its writer. */
static void test_tsc_warp(void)
{
	smp_start_all(2);
	chase_all(chase_tsc, rdtsc);
}

static void test_kvm_clock_warp(void)
{
	if (!kvm_clock_offered())
		test_skip("no kvm-clock");
	smp_start_all(2);
	clock_on(NULL);
	chase_all(chase_pv, pv_now);
}

const struct test guest_tests[] = {
	{"pit-counts", test_pit_counts},
	{"pit-reload", test_pit_reload},
	{"pit-square", test_pit_square},
	{"pit-terminal", test_pit_terminal},
	{"pit-latch", test_pit_latch},
	{"pit-one-byte", test_pit_one_byte},
	{"pm-timer", test_pm_timer},
	{"rtc-time", test_rtc_time},
	{"rtc-periodic", test_rtc_periodic},
	{"rtc-update", test_rtc_update},
	{"cmos-ram", test_cmos_ram},
	{"kvm-clock", test_kvm_clock},
	{"tsc-warp", test_tsc_warp},
	{"kvm-clock-warp", test_kvm_clock_warp},
	{NULL, NULL},
};
