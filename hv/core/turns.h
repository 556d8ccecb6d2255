/*
 * Several vCPUs on one CPU take turns: hv/core/sched.h says whose it is, this says what a turn is of.
 *
 * A vCPU is changed for another at one place only, the head of the run loop. There it has nothing of its
 * own on the CPU's stack, holds no lock and touches no page; what it is lies in struct vcpu, in the vendor's
 * control structure, and in the CPU's registers, which virt_ops.vcpu_save() takes. So a vCPU that waits for
 * a page or an answer of another node in the middle of an exit (link_await) keeps its CPU, which serves the
 * wire meanwhile. A CPU with one vCPU never comes here.
 */
#ifndef HV_CORE_TURNS_H
#define HV_CORE_TURNS_H

#include "hv/core/vm.h"

/* Once, before any of the CPUs has begun: they are numbered, and the vCPUs of this node live on them. */
void turns_place(struct vm *vm, unsigned host_cpus);

/* The vCPU, which lives on the calling CPU, is the one whose state that has. Interrupts are off. */
void turns_switch(struct vcpu *v);

/*
 * After the service of the calling CPU's vCPU: who goes on, and when the timer fires. True when it is another
 * than before, which wants service then.
 */
bool turns_next(struct vm_cpu *c);

#endif
