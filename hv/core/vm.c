#include "hv/core/vm.h"
#include "hv/base/fmt.h"
#include "hv/core/arch.h"
#include "hv/x86/tsc.h"

struct vcpu *arch_vcpu(void)
{
	struct vm_cpu *c = arch_cpu();

	return c ? c->current : NULL;
}

void vcpu_kick(struct vcpu *target)
{
	struct vm_cpu *c = target->cpu;

	if (!c)
		return;
	if (c != arch_cpu()) {
		arch_kick(c);
		return;
	}
	if (!c->current)
		return;
	/* Whoever says something to another may well wait for its answer next. */
	if (UNLIKELY(target != c->current))
		c->sched.favoured = target->slot;
	c->current->recheck = true;
}

void vm_cpu_kick(struct vm_cpu *target)
{
	if (target != arch_cpu())
		arch_kick(target);
	else if (target->current)
		target->current->recheck = true;
}

void vm_cpu_wake_by(struct vm_cpu *c, uint64_t deadline)
{
	/*
	 * One that fires early costs an exit; arming costs more than that where the CPU is emulated. One
	 * whose time is over is not counted on: its interrupt waits, or an emulator has lost it.
	 */
	if (c->armed > arch_tsc() && c->armed <= deadline)
		return;
	c->armed = deadline;
	arch_timer_arm(deadline);
}

static void kick_all(struct vm *vm)
{
	for (unsigned i = 0; i < vm->host_cpus; i++)
		vm_cpu_kick(&vm->cpus[i]);
}

void vm_stop(struct vm *vm, enum vm_stop how)
{
	unsigned running = VM_RUNNING;

	if (atomic_compare_exchange_strong(&vm->stop, &running, how))
		kick_all(vm);
}

void vm_fail(struct vm *vm, const char *fmt, ...)
{
	bool first;
	va_list ap;

	spin_lock(&vm->stop_lock);
	first = atomic_load(&vm->stop) == VM_RUNNING && !vm->stop_why.text[0];
	if (first) {
		va_start(ap, fmt);
		fmt_vprint(vm->stop_why.text, sizeof(vm->stop_why.text), fmt, ap);
		va_end(ap);
	}
	spin_unlock(&vm->stop_lock);
	if (first)
		vm_stop(vm, VM_FAILED);
}

uint64_t vm_guest_tsc(const struct vm *vm)
{
	return arch_tsc() - vm->tsc_base;
}

uint64_t vm_now_ns(const struct vm *vm)
{
	return tsc_to_ns(vm_guest_tsc(vm));
}
