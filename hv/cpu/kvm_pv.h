/*
 * The part of KVM's paravirtual interface that stock Linux kernels use when they find it: the clock, the
 * lock kick/wait pair, and where vCPUs take turns the time that others had. Public ABI: Linux
 * Documentation/virt/kvm/x86/{cpuid,msr,hypercalls}.rst.
 */
#ifndef HV_CPU_KVM_PV_H
#define HV_CPU_KVM_PV_H

#include "hv/cpu/cpu_policy.h"

#define KVM_CPUID_BASE 0x40000000u

#define MSR_KVM_WALL_CLOCK_OLD  0x11u
#define MSR_KVM_SYSTEM_TIME_OLD 0x12u
#define MSR_KVM_WALL_CLOCK      0x4b564d00u
#define MSR_KVM_SYSTEM_TIME     0x4b564d01u
#define MSR_KVM_STEAL_TIME      0x4b564d03u

struct cpuid_regs kvm_pv_cpuid(const struct vcpu *v, uint32_t leaf);

/* The MSRs above; ERR_INVALID means #GP. */
int kvm_pv_msr_read(struct vcpu *v, uint32_t msr, uint64_t *value);
int kvm_pv_msr_write(struct vcpu *v, uint32_t msr, uint64_t value);

/*
 * The vCPU, which the calling CPU has, is about to lose the CPU to another, or has got it: so it stands in
 * the guest's memory, if that is here and need not be waited for.
 */
void kvm_pv_turn(struct vcpu *v, bool gets);

/* Carries out the hypercall in the vCPU's registers and leaves the result in RAX. */
void kvm_pv_hypercall(struct vcpu *v);

#endif
