#include "hv/cpu/kvm_pv.h"
#include "hv/base/gmem.h"
#include "hv/base/log.h"
#include "hv/core/arch.h"
#include "hv/core/intr.h"
#include "hv/core/memory.h"
#include "hv/x86/tsc.h"

/* CPUID 0x40000001 EAX */
#define FEATURE_NOP_IO_DELAY BIT(1) /* port 0x80 writes are not needed */
#define FEATURE_CLOCKSOURCE  BIT(0)
#define FEATURE_CLOCKSOURCE2 BIT(3)
#define FEATURE_STEAL_TIME   BIT(5)
#define FEATURE_PV_UNHALT    BIT(7)
#define FEATURE_SCHED_YIELD  BIT(13)
#define FEATURE_CLOCK_STABLE BIT(24) /* the clock agrees on all vCPUs */

#define HYPERCALL_KICK_CPU    5
#define HYPERCALL_SCHED_YIELD 11
#define KVM_ENOSYS            1000
#define KVM_EPERM             1
#define KVM_EINVAL            22

#define PVCLOCK_TSC_STABLE 1u

struct pvclock_time {
	uint32_t version; /* odd while it is being written */
	uint32_t pad0;
	uint64_t tsc_timestamp;
	uint64_t system_time;
	uint32_t tsc_to_system_mul; /* ns = ((tsc << shift) * mul) >> 32 */
	int8_t tsc_shift;
	uint8_t flags;
	uint8_t pad[2];
} PACKED;
ASSERT_SIZE(struct pvclock_time, 32);

struct pvclock_wall {
	uint32_t version, sec, nsec;
} PACKED;
ASSERT_SIZE(struct pvclock_wall, 12);

struct pvsteal {
	uint64_t steal;   /* ns */
	uint32_t version; /* odd while it is being written */
	uint32_t flags;
	uint8_t preempted; /* others need not spin for this vCPU */
	uint8_t pad[47];
} PACKED;
ASSERT_SIZE(struct pvsteal, 64);
ASSERT_OFFSET(struct pvsteal, preempted, 16);

#define STEAL_ENABLED 1ull
#define STEAL_ZERO    0x3eull /* of the MSR; the structure is aligned to its size */

struct cpuid_regs kvm_pv_cpuid(const struct vcpu *v, uint32_t leaf)
{
	/* Who has a CPU to itself loses it to nobody, and need not ask whether others have. */
	uint64_t turns = v->cpu && v->cpu->count > 1 ? FEATURE_STEAL_TIME | FEATURE_SCHED_YIELD : 0;

	if (leaf == KVM_CPUID_BASE) /* "KVMKVMKVM\0\0\0" */
		return (struct cpuid_regs){KVM_CPUID_BASE + 1, 0x4b4d564b, 0x564b4d56, 0x4d};
	if (leaf == KVM_CPUID_BASE + 1)
		return (struct cpuid_regs){(uint32_t)(FEATURE_CLOCKSOURCE | FEATURE_NOP_IO_DELAY |
						      FEATURE_CLOCKSOURCE2 | FEATURE_PV_UNHALT |
						      FEATURE_CLOCK_STABLE | turns),
					   0, 0, 0};
	return (struct cpuid_regs){0, 0, 0, 0};
}

/* The largest multiplier below 2^32 (the best precision) and the shift that goes with it. */
static void clock_scale(uint64_t hz, uint32_t *mul, int8_t *shift)
{
	int s = 0;

	while (hz > 2 * NS_PER_S) {
		hz >>= 1;
		s--;
	}
	while (hz <= NS_PER_S) {
		hz <<= 1;
		s++;
	}
	*mul = (uint32_t)mul_div(NS_PER_S, BIT(32), hz);
	*shift = (int8_t)s;
}

/* Writes all of it or nothing: a WRMSR that faults has done nothing. */
static int publish(const struct vm *vm, gpa_t gpa, const void *what, uint32_t len)
{
	if (!memory_is_ram(vm, gpa) || !memory_is_ram(vm, gpa + len - 1))
		return ERR_RANGE;
	return gmem_write(gpa, what, len);
}

/*
 * Every vCPU gets the same numbers, counted from guest TSC 0, and the guest TSCs agree; so the clock is
 * the same function of the TSC everywhere and can't step back between CPUs. It is written once.
 */
static int publish_time(const struct vm *vm, gpa_t gpa)
{
	struct pvclock_time t = {.version = 2, .flags = PVCLOCK_TSC_STABLE};
	uint32_t mul;
	int8_t shift;

	clock_scale(vm->tsc_hz, &mul, &shift);
	t.tsc_to_system_mul = mul;
	t.tsc_shift = shift;
	return publish(vm, gpa, &t, sizeof(t));
}

static int publish_wall(struct vm *vm, gpa_t gpa)
{
	struct pvclock_wall w = {.version = 2, .sec = (uint32_t)vm->wall_start};

	return publish(vm, gpa, &w, sizeof(w));
}

static int set_steal(struct vcpu *v, uint64_t value)
{
	if (value & STEAL_ZERO ||
	    (value & STEAL_ENABLED && !memory_is_ram(v->vm, value & ~STEAL_ENABLED)))
		return ERR_INVALID;
	v->kvm_steal_msr = value;
	return 0;
}

void kvm_pv_turn(struct vcpu *v, bool gets)
{
	struct vm *vm = v->vm;
	struct pvsteal *s;

	if (gets && v->robbed_at)
		v->stolen += tsc_to_ns(arch_tsc() - v->robbed_at);
	v->robbed_at = !gets && v->state == VCPU_RUNNING ? arch_tsc() : 0;
	if (!(v->kvm_steal_msr & STEAL_ENABLED))
		return;
	s = vm->ram->acquire_here(vm, v->kvm_steal_msr & ~STEAL_ENABLED);
	if (!s)
		return;
	s->version++;
	atomic_thread_fence(memory_order_release);
	s->steal = v->stolen;
	s->preempted = !gets;
	atomic_thread_fence(memory_order_release);
	s->version++;
	vm->ram->release(vm);
}

int kvm_pv_msr_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	bool clock = msr == MSR_KVM_SYSTEM_TIME || msr == MSR_KVM_SYSTEM_TIME_OLD;

	if (msr == MSR_KVM_STEAL_TIME)
		*value = v->kvm_steal_msr;
	else
		*value = clock ? v->kvm_clock_msr : v->kvm_wall_msr;
	return 0;
}

int kvm_pv_msr_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
	bool clock = msr == MSR_KVM_SYSTEM_TIME || msr == MSR_KVM_SYSTEM_TIME_OLD;
	int err = 0;

	if (msr == MSR_KVM_STEAL_TIME)
		return set_steal(v, value);
	if (!clock)
		err = publish_wall(v->vm, value);
	else if (value & 1) /* enabled; bit 0 is not part of the address */
		err = publish_time(v->vm, value & ~1ull);
	if (!err) {
		*(clock ? &v->kvm_clock_msr : &v->kvm_wall_msr) = value;
		return 0;
	}
	/* Once: a guest must not be able to flood the log. */
	if (v->kvm_clocks_refused++ == 0)
		log_warn(LOG_VCPU,
			 "vCPU %u put a KVM clock page at %#llx, where there is no RAM; "
			 "it gets #GP",
			 v->index, (unsigned long long)value);
	return ERR_INVALID;
}

static struct vcpu *find(struct vm *vm, uint32_t apic_id)
{
	for (unsigned i = 0; i < vm->cpu_count; i++)
		if (vm->apic_ids[i] == apic_id)
			return &vm->vcpus[i];
	return NULL;
}

/* The vCPU waits for another, which has no turn. One that lives elsewhere gets nothing by that. */
static void yield_to(struct vcpu *v, const struct vcpu *to)
{
	if (to == v || to->cpu != v->cpu)
		return;
	v->cpu->sched.favoured = to->slot;
	vcpu_give_way(v);
}

static int64_t about(struct vcpu *v, uint32_t call, uint32_t apic_id)
{
	struct vcpu *target = find(v->vm, apic_id);

	if (!target)
		return -KVM_EINVAL;
	if (call == HYPERCALL_KICK_CPU)
		intr_unhalt(target);
	else
		yield_to(v, target);
	return 0;
}

void kvm_pv_hypercall(struct vcpu *v)
{
	struct virt_seg ss;
	uint64_t *gpr = v->virt.gpr;
	uint32_t call = (uint32_t)gpr[GPR_RAX];
	int64_t result;

	v->hypercalls++;
	v->vm->ops->seg_get(&v->virt, SEG_SS, &ss);
	if (ss.dpl != 0)
		result = -KVM_EPERM;
	else if (call == HYPERCALL_KICK_CPU)
		result = about(v, call, (uint32_t)gpr[GPR_RCX]);
	else if (call == HYPERCALL_SCHED_YIELD)
		result = about(v, call, (uint32_t)gpr[GPR_RBX]);
	else
		result = -KVM_ENOSYS;
	/* Once: a guest must not be able to flood the log. */
	if (result == -KVM_ENOSYS && v->hypercalls_unknown++ == 0)
		log_warn(LOG_VCPU,
			 "vCPU %u made hypercall %u, which is not offered; it gets -ENOSYS",
			 v->index, (uint32_t)gpr[GPR_RAX]);
	gpr[GPR_RAX] = (uint64_t)result;
}
