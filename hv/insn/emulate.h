/*
 * Carries out one guest instruction in software: one that touched device memory, a string I/O
 * instruction, or one on a control register. Decoding is Zydis's; the guest's registers, segments and
 * paging are honoured as the CPU would.
 */
#ifndef HV_INSN_EMULATE_H
#define HV_INSN_EMULATE_H

#include "hv/core/vm.h"

/*
 * Emulates the instruction at the vCPU's RIP if it is one that `exit` can come from: VM_EXIT_NPF and
 * VM_EXIT_APIC_ACCESS of one that accesses memory, VM_EXIT_IO of INS or OUTS in that direction and
 * size, VM_EXIT_EMULATE of one on a control register. Injects the exception it raises, if any. When
 * the bytes have changed since and are another, nothing is done, and the guest goes on with them.
 * Bytes that are no instruction get #UD. An instruction on device memory that is not in the table
 * stops the machine with a sentence; a program of the guest's gets #UD for it.
 */
void emulate(struct vcpu *v, const struct vm_exit *exit);

/*
 * For CPUs that do not say how long the instruction is that exited: the length of what is at the vCPU's
 * RIP, if such an exit can come from it. Else 0; then there is nothing to do about the exit, and the
 * fault is injected, if there is one.
 */
unsigned emulate_insn_length(struct vcpu *v, enum vm_exit_kind kind);

#endif
