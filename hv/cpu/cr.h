/* What the guest may put into its control registers. */
#ifndef HV_CPU_CR_H
#define HV_CPU_CR_H

#include "hv/core/vm.h"

/* Writes CR0, CR3 or CR4 as MOV would; ERR_INVALID and nothing changed: #GP. */
int vcpu_cr_write(struct vcpu *v, uint8_t cr, uint64_t value) MUST_CHECK;

#endif
