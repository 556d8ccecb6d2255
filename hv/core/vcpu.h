/* The vCPUs' life on a physical CPU. */
#ifndef HV_CORE_VCPU_H
#define HV_CORE_VCPU_H

#include "hv/base/bits.h"
#include "hv/core/vm.h"

/* Enters the guest again and again until the machine stops. `c` is the calling CPU, and has a vCPU. */
void vcpu_run(struct vm_cpu *c);

/* Exit handlers, indexed by enum vm_exit_kind; exits.c, or those of a host program. */
typedef void (*vcpu_exit_fn)(struct vcpu *v, const struct vm_exit *exit);
extern const vcpu_exit_fn vcpu_exit_handlers[VM_EXIT_KINDS];
extern const char *const vcpu_exit_names[VM_EXIT_KINDS];

/* Exits by an instruction that its handler steps over. */
#define VCPU_INSN_EXITS                                                                       \
	(BIT(VM_EXIT_CPUID) | BIT(VM_EXIT_HLT) | BIT(VM_EXIT_PAUSE) | BIT(VM_EXIT_MSR_READ) | \
	 BIT(VM_EXIT_MSR_WRITE) | BIT(VM_EXIT_XSETBV) | BIT(VM_EXIT_HYPERCALL) |              \
	 BIT(VM_EXIT_CACHE))

/*
 * Finds the length of the instruction of such an exit, for a CPU that does not tell. False: there is another
 * instruction now, which has got what it deserves.
 */
bool vcpu_exit_measure(struct vcpu *v, struct vm_exit *exit);

/* Does what an exit asks for. */
static inline void vcpu_exit(struct vcpu *v, struct vm_exit *exit)
{
	if (UNLIKELY(!exit->insn_len) && VCPU_INSN_EXITS >> exit->kind & 1 &&
	    !vcpu_exit_measure(v, exit))
		return;
	vcpu_exit_handlers[exit->kind](v, exit);
}

void vcpu_inject(struct vcpu *v, uint8_t vector, uint32_t code);

/* MSRs; msr.c. ERR_INVALID: #GP. */
int vcpu_msr_read(struct vcpu *v, uint32_t msr, uint64_t *value) MUST_CHECK;
int vcpu_msr_write(struct vcpu *v, uint32_t msr, uint64_t value) MUST_CHECK;

#endif
