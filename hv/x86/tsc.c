#include "hv/x86/tsc.h"
#include "hv/base/bits.h"
#include "hv/base/log.h"
#include "hv/x86/cpu.h"
#include "hv/x86/platform.h"

#define PIT_HZ      1193182u
#define PM_TIMER_HZ 3579545u
#define PIT_CH2     0x42
#define PIT_MODE    0x43
#define PORT_B      0x61 /* bit 0: channel 2's gate, bit 1: speaker, bit 5: channel 2's output */
#define GATE        0x01
#define SPEAKER     0x02
#define OUTPUT      0x20

#define PIT_FULL      0xffffu
#define PM_TIMER_MASK 0xffffffu /* 24 bits at least */

#define MEASURE_MS   20u
#define ROUNDS       3u
#define TRIES        9u
#define SAMPLE_TRIES 8u
/* Several times what a measurement takes, in port reads of about a microsecond. */
#define POLLS_MAX    1000000u

static struct {
	uint64_t start;
	uint64_t hz;
} tsc;

void tsc_start(uint64_t start_tsc)
{
	tsc.start = start_tsc ? start_tsc : rdtsc();
}

uint64_t tsc_hz(void)
{
	return tsc.hz;
}

bool tsc_invariant(void)
{
	return cpuid_has(0x80000007) && (cpuid(0x80000007, 0).edx & CPUID_EXT7_EDX_INVTSC);
}

uint64_t tsc_to_ns(uint64_t ticks)
{
	return tsc.hz ? mul_div(ticks, NS_PER_S, tsc.hz) : 0;
}

uint64_t ns_to_tsc(uint64_t ns)
{
	return mul_div(ns, tsc.hz, NS_PER_S);
}

uint64_t tsc_now_ns(void)
{
	return tsc_to_ns(rdtsc() - tsc.start);
}

struct tsc_sample tsc_sample(uint32_t (*read)(void))
{
	struct tsc_sample best = {0};
	uint64_t width = UINT64_MAX;

	for (unsigned i = 0; i < SAMPLE_TRIES; i++) {
		uint64_t before = rdtsc_ordered();
		uint32_t count = read();
		uint64_t after = rdtsc_ordered();

		if (after - before >= width)
			continue;
		width = after - before;
		best = (struct tsc_sample){before + width / 2, count};
	}
	return best;
}

/* How far channel 2 has counted from PIT_FULL; UINT32_MAX when it is past its end. */
static uint32_t read_pit(void)
{
	uint8_t low, high;

	outb(PIT_MODE, 0x80); /* latch channel 2 */
	low = inb(PIT_CH2);
	high = inb(PIT_CH2);
	return inb(PORT_B) & OUTPUT ? UINT32_MAX : PIT_FULL - (uint32_t)(high << 8 | low);
}

static uint32_t read_pm_timer(void)
{
	return inl((uint16_t)platform_get()->pm_timer) & PM_TIMER_MASK;
}

/* One measurement of the TSC by a counter of `hz`; 0 when that stands still or has run past its end. */
static uint64_t measure_by(uint32_t (*read)(void), uint32_t hz, uint32_t mask)
{
	struct tsc_sample first = tsc_sample(read), last;
	uint32_t count = first.count;

	for (unsigned polls = 0; ((count - first.count) & mask) < hz / 1000 * MEASURE_MS; polls++) {
		if (count == UINT32_MAX || polls == POLLS_MAX)
			return 0;
		count = read();
	}
	last = tsc_sample(read);
	if (last.count == UINT32_MAX)
		return 0;
	return mul_div(last.tsc - first.tsc, hz, (last.count - first.count) & mask);
}

static uint64_t measure_by_pit(void)
{
	outb(PORT_B, (inb(PORT_B) & ~SPEAKER) | GATE);
	outb(PIT_MODE, 0xb0); /* channel 2, low then high byte, mode 0, binary */
	outb(PIT_CH2, PIT_FULL & 0xff);
	outb(PIT_CH2, PIT_FULL >> 8);
	return measure_by(read_pit, PIT_HZ, UINT32_MAX);
}

/* The median of some rounds: each can be off when an SMI or an emulator's host takes the CPU away. */
static uint64_t measure(void)
{
	uint64_t rates[ROUNDS] = {0};
	unsigned count = 0;

	for (unsigned tries = 0; count < ROUNDS && tries < TRIES; tries++) {
		uint64_t hz = measure_by_pit();
		unsigned at = count;

		if (!hz && platform_get()->pm_timer)
			hz = measure_by(read_pm_timer, PM_TIMER_HZ, PM_TIMER_MASK);
		if (!hz)
			continue;
		for (count++; at && rates[at - 1] > hz; at--)
			rates[at] = rates[at - 1];
		rates[at] = hz;
	}
	return count ? rates[count / 2] : 0;
}

/* What CPUID says: leaf 15h (crystal and ratio), else the base frequency of leaf 16h; 0: nothing. */
static uint64_t told_hz(void)
{
	struct cpuid_regs r;

	if (cpuid_has(0x15)) {
		r = cpuid(0x15, 0);
		if (r.eax && r.ebx && r.ecx)
			return mul_div(r.ecx, r.ebx, r.eax);
	}
	if (cpuid_has(0x16))
		return (cpuid(0x16, 0).eax & 0xffff) * 1000000ull;
	return 0;
}

void tsc_calibrate(void)
{
	uint64_t measured = measure(), told = told_hz();
	uint64_t off = measured > told ? measured - told : told - measured;
	bool agree = told && off <= told / 200;

	tsc.hz = agree || !measured ? told : measured;
	if (!tsc.hz) {
		tsc.hz = 1000000000;
		log_warn(LOG_X86, "neither the PIT nor the PM timer runs and CPUID tells no rate; "
				  "taking the TSC as 1000 MHz, so all times may be wrong");
	}
	log_info(LOG_X86, "TSC at %llu.%03llu MHz (measured %llu kHz, CPUID says %llu kHz), %s",
		 (unsigned long long)tsc.hz / 1000000, (unsigned long long)tsc.hz / 1000 % 1000,
		 (unsigned long long)measured / 1000, (unsigned long long)told / 1000,
		 tsc_invariant() ? "invariant" : "not told to be invariant");
}

void tsc_delay_us(unsigned us)
{
	uint64_t until = rdtsc() + ns_to_tsc(us * NS_PER_US);

	while (rdtsc() < until)
		cpu_pause();
}
