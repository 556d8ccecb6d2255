#include "hv/core/turns.h"

#include "hv/core/arch.h"
#include "hv/core/intr.h"
#include "hv/cpu/kvm_pv.h"
#include "hv/x86/tsc.h"

/*
 * A tick of the guest's is 1 to 10 ms, so whoever shares a CPU with a few sees most of its own. Under the
 * shortest slice a switch, some thousand instructions and what the caches lose by it, is under a percent.
 */
#define SLICE_MIN_NS NS_PER_MS
#define SLICE_MAX_NS (6 * NS_PER_MS)
#define GRAIN_NS     (100 * NS_PER_US)

STATIC_ASSERT(VM_MAX_CPUS <= SCHED_MAX, "any number of a machine's vCPUs may live on one CPU");

void turns_place(struct vm *vm, unsigned host_cpus)
{
	const struct sched_limits limits = {.slice_min = ns_to_tsc(SLICE_MIN_NS),
					    .slice_max = ns_to_tsc(SLICE_MAX_NS),
					    .grain = ns_to_tsc(GRAIN_NS)};

	vm->host_cpus = MIN(host_cpus, vm->nodes.local_cpus);
	for (unsigned i = 0; i < vm->host_cpus; i++) {
		struct vm_cpu *c = &vm->cpus[i];

		c->vm = vm;
		c->index = i;
		atomic_store(&c->touching, NO_GFN);
		sched_init(&c->sched, &limits);
	}
	for (unsigned i = 0; i < vm->nodes.local_cpus; i++) {
		struct vcpu *v = &vm->vcpus[vm->nodes.first_cpu + i];
		struct vm_cpu *c = &vm->cpus[i % vm->host_cpus];

		v->cpu = c;
		v->slot = c->count;
		c->vcpus[c->count++] = v;
	}
}

void turns_switch(struct vcpu *v)
{
	const struct virt_ops *ops = v->vm->ops;
	struct vm_cpu *c = v->cpu;

	if (v == c->current)
		return;
	if (c->current) {
		kvm_pv_turn(c->current, false);
		if (v->vm->ram->rest)
			v->vm->ram->rest(c->current);
		ops->vcpu_save(&c->current->virt);
	}
	c->current = v;
	ops->vcpu_load(&v->virt);
	/*
	 * Its own may be of before a step of the clock. A step that comes from here on raises the epoch
	 * after it, and vm_ram.enter() sees that.
	 */
	ops->tsc_offset_set(&v->virt, -v->vm->tsc_base);
	kvm_pv_turn(v, true);
	v->recheck = true;
	v->switches++;
}

/* Somebody or something waits for it, and it does not run. */
static bool is_called(struct vcpu *v)
{
	return apic_post_pending(&v->post) ||
	       (v->state == VCPU_HALTED && atomic_load(&v->pv_unhalt));
}

struct wishes {
	uint64_t ready, called; /* as sched_choose() takes them */
	uint64_t tick;          /* host TSC of the next timer of those that are not ready */
};

static void ask_all(const struct vm_cpu *c, struct wishes *w)
{
	uint64_t guest_now = vm_guest_tsc(c->vm);

	*w = (struct wishes){.tick = UINT64_MAX};
	for (unsigned i = 0; i < c->count; i++) {
		struct vcpu *v = c->vcpus[i];
		bool called = is_called(v);

		if (called && v != c->current)
			w->called |= BIT(i);
		if (called || v->state == VCPU_RUNNING || v->due <= guest_now ||
		    (v == c->current && v->recheck))
			w->ready |= BIT(i);
		else
			w->tick = MIN(w->tick, intr_host_tsc(c->vm, v->due));
	}
}

/* For who runs, or for nobody. */
static void wake_by(struct vm_cpu *c, const struct wishes *w, bool idle)
{
	const struct vcpu *v = c->current;
	uint64_t at = MIN(c->due, sched_end(&c->sched, w->ready, w->called));

	if (idle)
		at = MIN(at, w->tick);
	else
		at = MIN(at,
			 MIN(intr_host_tsc(c->vm, v->due), MAX(w->tick, sched_tick(&c->sched))));
	if (at != UINT64_MAX)
		vm_cpu_wake_by(c, at);
}

bool turns_next(struct vm_cpu *c)
{
	struct wishes w;
	unsigned next;

	ask_all(c, &w);
	next = sched_choose(&c->sched, w.ready, w.called, arch_tsc());
	if (next != SCHED_NONE && c->vcpus[next] != c->current) {
		turns_switch(c->vcpus[next]);
		return true;
	}
	wake_by(c, &w, next == SCHED_NONE);
	return false;
}
