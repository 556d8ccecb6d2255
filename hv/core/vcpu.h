/* One vCPU's life on its physical CPU. */
#ifndef HV_CORE_VCPU_H
#define HV_CORE_VCPU_H

#include "hv/core/vm.h"

/* Enters the guest again and again until the machine stops. The calling CPU is the vCPU's own. */
void vcpu_run(struct vcpu *v);

/* Exit handlers, indexed by enum vm_exit_kind; exits.c, or those of a host program. */
typedef void (*vcpu_exit_fn)(struct vcpu *v, const struct vm_exit *exit);
extern const vcpu_exit_fn vcpu_exit_handlers[VM_EXIT_KINDS];
extern const char *const vcpu_exit_names[VM_EXIT_KINDS];

void vcpu_inject(struct vcpu *v, uint8_t vector, uint32_t code);

/* MSRs; msr.c. ERR_INVALID: #GP. */
int vcpu_msr_read(struct vcpu *v, uint32_t msr, uint64_t *value) MUST_CHECK;
int vcpu_msr_write(struct vcpu *v, uint32_t msr, uint64_t value) MUST_CHECK;

#endif
