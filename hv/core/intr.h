/*
 * Interrupts between vCPUs, devices and the hardware: routing of APIC messages, kicks, timers, and what
 * is injected at the next entry.
 */
#ifndef HV_CORE_INTR_H
#define HV_CORE_INTR_H

#include "hv/core/vm.h"

/* No interrupt of a vCPU's timer is later on purpose. */
#define INTR_TICK_LATE_NS NS_PER_S

/* The host vectors this uses; once per node. */
void intr_setup(void);

/* Sends the message to every vCPU it is for. `src` is a vCPU index or APIC_NO_CPU. */
void intr_route(struct vm *vm, const struct apic_msg *msg, uint32_t src);

/* Ends the target's HLT, or its next one (KVM's KICK_CPU). */
void intr_unhalt(struct vcpu *target);

/* The LAPIC of the calling vCPU, brought up to date with what hardware did to its page. */
struct lapic *intr_lapic(struct vcpu *v);

/* A guest TSC as the host's; UINT64_MAX for what is too far away to matter. */
uint64_t intr_host_tsc(const struct vm *vm, uint64_t guest_tsc);

/* Carries out what a LAPIC access of the calling vCPU asked for. */
void intr_apply(struct vcpu *v, const struct lapic_actions *actions);

/* The calling vCPU executed HLT, and is behind it. */
void intr_halt(struct vcpu *v);

/*
 * The calling CPU's look at the world before its vCPU enters the guest: the wire, where it leads; the vCPU's
 * posted messages and its timer; device time, where it leads on the head; then what is injected. Interrupts
 * are off and stay off until the entry or the idle.
 */
void intr_service(struct vcpu *v);

#endif
