/*
 * The CPU below a vCPU, as the rooms that work on the machine need it. hv/core/arch.c has it for x86;
 * host programs that run several nodes have a double of their own, where threads are the CPUs.
 */
#ifndef HV_CORE_ARCH_H
#define HV_CORE_ARCH_H

#include "hv/base/types.h"

struct vcpu;
struct vm_cpu;

/* The calling CPU; NULL before the machine has it. */
struct vm_cpu *arch_cpu(void);
/* The vCPU that it runs, or ran last; NULL before it has one. hv/core/vm.c, on any CPU. */
struct vcpu *arch_vcpu(void);

/* The calling CPU's time-stamp counter; hv/x86/tsc.h makes ns of it. */
uint64_t arch_tsc(void);

/* Ends the stay of a CPU, which is another, in the guest or in arch_idle(). */
void arch_kick(const struct vm_cpu *c);

/* The same for the calling CPU as soon as its counter has reached `tsc`; takes the place of what was set. */
void arch_timer_arm(uint64_t tsc);

/* Sleeps until an interrupt has come. Interrupts are off before and after, so none is missed. */
void arch_idle(void);

#endif
