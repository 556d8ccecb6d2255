/* Starting and stopping the other CPUs of this node. */
#ifndef HV_X86_SMP_H
#define HV_X86_SMP_H

#include "hv/base/err.h"

/*
 * Starts every other CPU that discovery found, or, where no table lists them, all that answer a
 * broadcast. Each calls entry() on its own stack, interrupts off, its local APIC ready; when entry
 * returns, the CPU halts. A CPU that does not come up is named in the log and left out. Returns 0 when
 * pcpu_count() is final; an error only when none could have been started (no low memory).
 */
int smp_start(void (*entry)(void), struct why *why) MUST_CHECK;

/* Stops every other CPU for good by NMI. For panic, and before power off or reset. */
void smp_stop_others(void);

#endif
