/* The loop around a vCPU's stays in the guest. */
#include "hv/core/vcpu.h"
#include "hv/core/arch.h"
#include "hv/core/intr.h"
#include "hv/core/turns.h"
#include "hv/core/vtlb.h"
#include "hv/x86/cpu.h"

static bool wants_service(struct vcpu *v)
{
	return v->recheck || apic_post_pending(&v->post);
}

/*
 * A kick that comes after the look at `post` is an interrupt that waits: interrupts are off here, so it
 * ends the entry or the idle at once.
 */
void vcpu_run(struct vm_cpu *c)
{
	struct vcpu *v = c->current;
	struct vm *vm = c->vm;
	const struct vm_ram *ram = vm->ram;
	struct vm_exit exit;

	while (!atomic_load_explicit(&vm->stop, memory_order_relaxed)) {
		if (UNLIKELY(vm->boundary))
			vm->boundary(v);
		if (wants_service(v)) {
			intr_service(v);
			/* Whatever may make another the one to run asks for service. */
			if (UNLIKELY(c->count > 1) && turns_next(c)) {
				v = c->current;
				continue;
			}
		}
		if (UNLIKELY(v->state != VCPU_RUNNING)) {
			/* Serving can itself give the vCPU work: a device's interrupt, for one. */
			if (!wants_service(v))
				arch_idle();
			v->recheck = true;
			continue;
		}
		if (v->vtlb && v->virt.tlb_dropped)
			vtlb_load(v);
		if (ram->enter && !ram->enter(v))
			continue;
		vm->ops->run(&v->virt, 0, &exit);
		/*
		 * The guest's non-temporal stores may still be in this CPU's write-combining buffers, which
		 * no manual says that an exit empties. They come before anything that is told of this stay:
		 * that the CPU is out of the guest, a right given back, an interrupt, a device's register.
		 */
		cpu_drain_stores();
		if (ram->leave)
			ram->leave(v, &exit);
		v->vid_stale = v->use_vid;
		v->exits[exit.kind]++;
		vcpu_exit(v, &exit);
	}
}
