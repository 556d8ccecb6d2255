/* The rate of the TSC, measured and told. */
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

#define MEASURE_MS 20u
#define ROUNDS     3u
#define TRIES      9u
/* Several times what a measurement takes, in port reads of about a microsecond. */
#define POLLS_MAX  1000000u

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
	uint64_t hz = agree || !measured ? told : measured;

	tsc_set_hz(hz ? hz : 1000000000);
	if (!hz)
		log_warn(LOG_X86, "neither the PIT nor the PM timer runs and CPUID tells no rate; "
				  "taking the TSC as 1000 MHz, so all times may be wrong");
	log_info(LOG_X86, "TSC at %llu.%03llu MHz (measured %llu kHz, CPUID says %llu kHz), %s",
		 (unsigned long long)tsc_hz() / 1000000, (unsigned long long)tsc_hz() / 1000 % 1000,
		 (unsigned long long)measured / 1000, (unsigned long long)told / 1000,
		 tsc_invariant() ? "invariant" : "not told to be invariant");
}
