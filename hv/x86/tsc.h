/* The node's clock: the time-stamp counter, calibrated once. */
#ifndef HV_X86_TSC_H
#define HV_X86_TSC_H

#include "hv/base/compiler.h"

/* Time starts here; call as early as possible with the TSC at which the loader began, or 0. */
void tsc_start(uint64_t start_tsc);
/*
 * Measures the rate against the PIT's channel 2, or the ACPI PM timer when there is no PIT, and takes
 * the rate CPUID tells instead when it is within 0.5 % of that. Logs both.
 */
void tsc_calibrate(void);

void tsc_set_hz(uint64_t hz);
uint64_t tsc_hz(void);
/* Does it tick at one rate in all power states (CPUID 80000007h EDX bit 8)? */
bool tsc_invariant(void);

uint64_t tsc_to_ns(uint64_t ticks);
uint64_t ns_to_tsc(uint64_t ns);
/* ns since tsc_start; 0 before tsc_calibrate has a rate to go by. */
uint64_t tsc_now_ns(void);

/* A counter read at a known time: the tightest of several tries, so that an interruption does no harm. */
struct tsc_sample {
	uint64_t tsc;
	uint32_t count;
};

struct tsc_sample tsc_sample(uint32_t (*read)(void));

/* Spins. */
void tsc_delay_us(unsigned us);

#endif
