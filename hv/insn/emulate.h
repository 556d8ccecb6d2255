/*
 * Carries out one guest instruction in software: one that touched device memory, a string I/O
 * instruction, or one on a control register. Decoding is Zydis's; the guest's registers, segments and paging are honoured as the
 * CPU would.
 */
#ifndef HV_INSN_EMULATE_H
#define HV_INSN_EMULATE_H

#include "hv/core/vm.h"

/*
 * Emulates the instruction at the vCPU's RIP; injects the exception it raises, if any. An instruction
 * that is not in the table stops the machine with a sentence.
 */
void emulate(struct vcpu *v);

/*
 * The length of the instruction at the vCPU's RIP, for a CPU that does not report it. 0 when it is not
 * there to be decoded any more; the fault of the fetch is then injected, or the machine stopped.
 */
unsigned emulate_insn_length(struct vcpu *v);

#endif
