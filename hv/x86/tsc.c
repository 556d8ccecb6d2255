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

#define MEASURE_MS 20u
#define ROUNDS     3u
/* Several times what a measurement takes, in port reads of about a microsecond. */
#define POLLS_MAX  1000000u

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

/* Ticks of the TSC while channel 2 counts MEASURE_MS down in mode 0; 0 when its output never rises. */
static uint64_t measure_pit(void)
{
	uint16_t count = PIT_HZ * MEASURE_MS / 1000;
	uint64_t begin, end;
	unsigned polls = 0;

	outb(PORT_B, (inb(PORT_B) & ~SPEAKER) | GATE);
	outb(PIT_MODE, 0xb0); /* channel 2, low then high byte, mode 0, binary */
	outb(PIT_CH2, (uint8_t)count);
	outb(PIT_CH2, (uint8_t)(count >> 8));
	begin = rdtsc_ordered();
	/* A machine without a PIT reads all ones, output bit included: that shows as an instant end. */
	while (!(inb(PORT_B) & OUTPUT) && polls < POLLS_MAX)
		polls++;
	end = rdtsc_ordered();
	if (polls < 10 || polls == POLLS_MAX)
		return 0;
	return mul_div(end - begin, PIT_HZ, count);
}

/* The same against the ACPI PM timer, which counts up in 24 bits at least. */
static uint64_t measure_pm_timer(uint16_t port)
{
	uint32_t mask = 0xffffff, first = inl(port) & mask, passed = 0;
	uint64_t begin = rdtsc_ordered();
	unsigned polls = 0;

	while (passed < PM_TIMER_HZ * MEASURE_MS / 1000 && polls < POLLS_MAX) {
		passed = (inl(port) - first) & mask;
		polls++;
	}
	if (polls == POLLS_MAX)
		return 0;
	return mul_div(rdtsc_ordered() - begin, PM_TIMER_HZ, passed);
}

/* The smallest of some rounds: an SMI or an emulator's pause only ever adds. */
static uint64_t measure(void)
{
	const struct platform *pf = platform_get();
	uint64_t best = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t hz = measure_pit();

		if (!hz && pf->pm_timer)
			hz = measure_pm_timer((uint16_t)pf->pm_timer);
		if (hz && (!best || hz < best))
			best = hz;
	}
	return best;
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
