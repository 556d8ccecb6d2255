/*
 * Carries out one guest instruction in software: one that touched device memory, or a string I/O
 * instruction. Decoding is Zydis's; the guest's registers, segments and paging are honoured as the
 * CPU would.
 */
#ifndef HV_CORE_EMULATE_H
#define HV_CORE_EMULATE_H

#include "hv/core/vm.h"

/*
 * Emulates the instruction at the vCPU's RIP; injects the exception it raises, if any. An instruction
 * that is not in the table stops the machine with a sentence.
 */
void emulate(struct vcpu *v);

#endif
