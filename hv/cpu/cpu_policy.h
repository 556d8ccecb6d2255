/*
 * What CPU the guest sees: the one place that decides CPUID bits, control register bits and MSRs. A
 * feature is shown when the hardware has it and the tables allow it; what can't work when vCPUs are on
 * different nodes (MONITOR/MWAIT, PMU, VMX, TSC_ADJUST, SGX ...) is in no table, and what one node of a
 * cluster lacks is shown on none.
 */
#ifndef HV_CPU_CPU_POLICY_H
#define HV_CPU_CPU_POLICY_H

#include "hv/cpu/cpu_words.h"
#include "hv/core/vm.h"
#include "hv/x86/cpu.h"

/*
 * Reads the hardware and prepares the answers; once per node, before the first vCPU. `common` is what all
 * nodes of the cluster have, NULL on a node by itself.
 */
void cpu_policy_init(const uint32_t common[CPU_WORDS]);

/* The CR4 bits the guest may set. */
uint64_t cpu_policy_cr4_allowed(void);
/* The XCR0 bits the guest may set; 0 when the CPU has no XSAVE. */
uint64_t cpu_policy_xcr0_allowed(void);
uint64_t cpu_policy_efer_allowed(void);

/* CPUID as vCPU `v` sees it now. */
struct cpuid_regs cpu_policy_cpuid(struct vcpu *v, uint32_t leaf, uint32_t subleaf);

#endif
