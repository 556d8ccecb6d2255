/*
 * A vCPU that comes from another CPU of the node: what that one's TLB had been cleared of says nothing of
 * this one's. No schedule shows it as long as no vCPU moves while a machine runs.
 */
#include "tests/glue/glue.h"

static unsigned flushes, offsets;

static void count_flush(struct npt *npt)
{
	flushes++;
}

static void count_offset(struct virt_vcpu *v, uint64_t offset)
{
	offsets++;
}

static const struct virt_ops ops = {.npt_flush = count_flush, .tsc_offset_set = count_offset};

/* Into the guest and out again; how many flushes that took. */
static unsigned stay(struct vcpu *v, struct vm_cpu *c)
{
	const struct vm_exit exit = {.kind = VM_EXIT_INTERRUPT};
	unsigned before = flushes;

	v->cpu = c;
	c->current = v;
	if (!share_ram.enter(v) || !c->in_guest)
		glue_wrong("a CPU enters the guest, and does not say so");
	share_ram.leave(v, &exit);
	if (c->in_guest)
		glue_wrong("a CPU has left the guest, and says that it is there");
	return flushes - before;
}

void moved_check(void)
{
	static struct vm vm;
	struct vm_cpu *here = &vm.cpus[0], *there = &vm.cpus[1];
	struct vcpu *v = &vm.vcpus[0], *other = &vm.vcpus[1];

	vm.ops = &ops;
	v->vm = other->vm = &vm;
	atomic_store(&vm.epoch, 1);
	if (stay(v, here) != 1 || offsets != 1)
		glue_wrong("rights were taken away, and the next entry keeps the TLB");
	if (stay(v, there) != 1)
		glue_wrong("a vCPU has moved, and uses what its new CPU's TLB still has");
	if (stay(v, here) || stay(other, here) || stay(other, there))
		glue_wrong("an entry drops what the TLB of this CPU may keep");
}
