/* The clock itself. The log stamps its lines with it, so nothing here logs; tsc_measure.c finds the rate. */
#include "hv/x86/tsc.h"
#include "hv/base/bits.h"
#include "hv/x86/cpu.h"

#define SAMPLE_TRIES 8u

static struct {
	uint64_t start;
	uint64_t hz;
} tsc;

void tsc_start(uint64_t start_tsc)
{
	tsc.start = start_tsc ? start_tsc : rdtsc();
}

void tsc_set_hz(uint64_t hz)
{
	tsc.hz = hz;
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

void tsc_delay_us(unsigned us)
{
	uint64_t until = rdtsc() + ns_to_tsc(us * NS_PER_US);

	while (rdtsc() < until)
		cpu_pause();
}
