#include "hv/cluster/remote.h"
#include "hv/base/log.h"
#include "hv/base/string.h"
#include "hv/cluster/mutant.h"
#include "hv/core/arch.h"
#include "hv/core/intr.h"

STATIC_ASSERT(VM_MAX_CPUS <= 64 && VM_MAX_NODES <= 64, "sets of vCPUs and of nodes are words");

/* --- Waiting for answers --- */

static bool answered_all(const struct vcpu *v)
{
	return !atomic_load(&v->vm->remote->missing[v->index]);
}

/* Before the question goes out. A vCPU has one question at a time. */
static void expect(struct vcpu *v, enum node_kind kind, uint64_t nodes)
{
	struct remote *r = v->vm->remote;

	r->awaited[v->index] = kind;
	atomic_store(&r->missing[v->index], nodes);
}

/* Who should answer may have stopped; remote_next_life() forgets the question. */
static bool wait_answers(struct vcpu *v)
{
	return link_await(v->vm->link, v, answered_all, false);
}

/* The vCPU whose question a node may answer so; NULL: nobody asked that of it. */
static struct vcpu *asker(struct vm *vm, unsigned cpu, unsigned from, enum node_kind kind)
{
	struct remote *r = vm->remote;

	if (vm_place(vm, cpu) != VM_HERE || r->awaited[cpu] != kind ||
	    !(atomic_load(&r->missing[cpu]) & BIT(from))) {
		link_strange(vm->link, from, kind, "an answer that nobody waits for");
		return NULL;
	}
	return &vm->vcpus[cpu];
}

static void answered(struct vcpu *v, unsigned from)
{
	atomic_fetch_and(&v->vm->remote->missing[v->index],
			 GLUE_MUTANT(GLUE_ANY_ANSWER) ? 0 : ~BIT(from));
	link_awake(v);
}

/* The vCPU that a message is for, which must be here. */
static struct vcpu *addressed(struct vm *vm, unsigned cpu, unsigned from, enum node_kind kind)
{
	if (vm_place(vm, cpu) == VM_HERE)
		return &vm->vcpus[cpu];
	link_strange(vm->link, from, kind, "something for a vCPU that is not here");
	return NULL;
}

/* Does the vCPU live on the node that speaks for it? */
static bool speaks_for(struct vm *vm, unsigned cpu, unsigned from, enum node_kind kind)
{
	if (vm_place(vm, cpu) == VM_ELSEWHERE && places_node(&vm->places, cpu) == from)
		return true;
	link_strange(vm->link, from, kind, "something in the name of a vCPU that it does not have");
	return false;
}

/* --- Interrupts --- */

static void post(struct vcpu *from, unsigned cpu, const struct apic_msg *msg)
{
	const struct vm *vm = from->vm;
	const struct node_ipi ipi = {.cpu = (uint16_t)cpu,
				     .kind = (uint8_t)msg->kind,
				     .vector = msg->vector,
				     .level_trigger = msg->level_trigger,
				     .assert_level = msg->assert};

	link_post(vm->link, from, places_node(&vm->places, cpu), NODE_IPI, &ipi, sizeof(ipi));
}

void remote_ipi(struct vm *vm, unsigned from, const void *body, size_t len)
{
	const struct node_ipi *ipi = body;
	const struct apic_msg msg = {.kind = (enum apic_delivery)(ipi->kind & 7),
				     .vector = ipi->vector,
				     .level_trigger = ipi->level_trigger & 1,
				     .assert = ipi->assert_level & 1};
	struct vcpu *v = addressed(vm, ipi->cpu, from, NODE_IPI);

	if (v && apic_post_msg(&v->post, &msg) && !GLUE_MUTANT(GLUE_IPI_UNTOLD))
		vcpu_kick(v);
}

static void unhalt(struct vcpu *from, unsigned cpu)
{
	const struct node_unhalt u = {(uint16_t)cpu};

	link_post(from->vm->link, from, places_node(&from->vm->places, cpu), NODE_UNHALT, &u,
		  sizeof(u));
}

void remote_unhalted(struct vm *vm, unsigned from, const void *body, size_t len)
{
	const struct node_unhalt *u = body;
	struct vcpu *v = addressed(vm, u->cpu, from, NODE_UNHALT);

	if (v && !GLUE_MUTANT(GLUE_UNHALT_DROPPED))
		intr_unhalt(v);
}

static void dest_tell(struct vcpu *v, const struct apic_dest *dest)
{
	const struct vm_nodes *n = &v->vm->nodes;
	const struct node_dest d = {.dest = apic_dest_pack(dest), .cpu = (uint16_t)v->index};

	expect(v, NODE_DEST_OK, BITS(n->count - 1, 0) & ~BIT(n->self));
	link_post_all(v->vm->link, v, NODE_DEST, &d, sizeof(d));
	wait_answers(v);
}

void remote_dest(struct vm *vm, unsigned from, const void *body, size_t len)
{
	const struct node_dest *d = body;
	struct apic_dest dest;

	if (!speaks_for(vm, d->cpu, from, NODE_DEST))
		return;
	apic_dest_unpack(d->dest, &dest);
	if (!GLUE_MUTANT(GLUE_DEST_UNTOLD))
		apic_book_update(&vm->book, d->cpu, &dest);
	link_send_held(vm->link, from, NODE_DEST_OK, d, sizeof(*d));
}

void remote_dest_ok(struct vm *vm, unsigned from, const void *body, size_t len)
{
	const struct node_dest *d = body;
	struct vcpu *v = asker(vm, d->cpu, from, NODE_DEST_OK);

	if (v)
		answered(v, from);
}

static void eoi(struct vcpu *v, uint8_t vector)
{
	const struct node_eoi e = {vector};

	link_post(v->vm->link, v, v->vm->nodes.head, NODE_EOI, &e, sizeof(e));
}

/* What this head's first CPU, which is the one that calls, is to do outside the link's lock. */
static void call_server(struct vm *vm)
{
	vm_cpu_kick(&vm->cpus[0]);
}

void remote_eoi_came(struct vm *vm, unsigned from, const void *body, size_t len)
{
	const struct node_eoi *e = body;
	struct remote *r = vm->remote;

	if (!vm_is_head(vm)) {
		link_strange(vm->link, from, NODE_EOI, "an EOI, which is for the head");
		return;
	}
	atomic_fetch_or(&r->eois[e->vector / 64], BIT(e->vector % 64));
	atomic_store(&r->eoi_came, true);
	call_server(vm);
}

/* --- Devices --- */

static uint64_t io(struct vcpu *v, uint64_t address, unsigned size, unsigned flags, uint64_t value)
{
	const struct vm *vm = v->vm;
	const struct node_io io = {.address = address,
				   .value = value,
				   .cpu = (uint16_t)v->index,
				   .size = (uint8_t)size,
				   .flags = (uint8_t)flags};

	v->remote_io++;
	expect(v, NODE_IO_DONE, BIT(vm->nodes.head));
	link_post(vm->link, v, vm->nodes.head, NODE_IO, &io, sizeof(io));
	return wait_answers(v) ? vm->remote->answer[v->index] : UINT64_MAX;
}

static bool access_valid(const struct node_io *io)
{
	return io->size && io->size <= 8 && !(io->size & (io->size - 1)) &&
	       !(io->flags & ~(VM_IO_WRITE | VM_IO_MMIO)) &&
	       (io->flags & VM_IO_MMIO || (io->size <= 4 && io->address <= UINT16_MAX));
}

void remote_io_asked(struct vm *vm, unsigned from, const void *body, size_t len)
{
	struct remote *r = vm->remote;
	struct node_io io;

	memcpy(&io, body, sizeof(io));
	if (!speaks_for(vm, io.cpu, from, NODE_IO))
		return;
	if (!vm_is_head(vm) || !access_valid(&io) || atomic_load(&r->io_asked) & BIT(io.cpu)) {
		link_strange(vm->link, from, NODE_IO, "an access to a device that can't be");
		return;
	}
	r->io[io.cpu] = io;
	atomic_fetch_or(&r->io_asked, BIT(io.cpu));
	call_server(vm);
}

void remote_io_done(struct vm *vm, unsigned from, const void *body, size_t len)
{
	const struct node_io *io = body;
	struct vcpu *v = asker(vm, io->cpu, from, NODE_IO_DONE);

	if (!v)
		return;
	vm->remote->answer[v->index] = io->value;
	answered(v, from);
}

static void serve_io(struct vm *vm, struct node_io *io)
{
	if (io->flags & VM_IO_WRITE)
		vm->io->head_write(vm, io->address, io->size, io->flags & VM_IO_MMIO, io->value);
	else
		io->value = vm->io->head_read(vm, io->address, io->size, io->flags & VM_IO_MMIO);
	link_send(vm->link, places_node(&vm->places, io->cpu), NODE_IO_DONE, io, sizeof(*io));
}

static void serve_eois(struct vm *vm)
{
	struct remote *r = vm->remote;

	if (!atomic_exchange(&r->eoi_came, false))
		return;
	for (unsigned i = 0; i < ARRAY_LEN(r->eois); i++)
		for (uint64_t set = atomic_exchange(&r->eois[i], 0); set; set &= set - 1)
			vm->io->head_eoi(vm, (uint8_t)(i * 64 + bit_lowest(set)));
}

/*
 * A vCPU's EOI comes before the access to a device that it makes next, and acts before it: EOIs are looked at
 * after the accesses are taken and carried out before them. That an EOI overtakes another vCPU's access does
 * no harm: nobody has seen that access done.
 */
static void serve(struct vm *vm)
{
	struct remote *r = vm->remote;
	uint64_t asked;

	link_poll(vm->link);
	if (!vm_is_head(vm))
		return;
	asked = atomic_exchange(&r->io_asked, 0);
	if (!GLUE_MUTANT(GLUE_EOI_LATE))
		serve_eois(vm);
	for (; asked; asked &= asked - 1) {
		struct node_io io = r->io[bit_lowest(asked)];

		serve_io(vm, &io);
		if (GLUE_MUTANT(GLUE_SERVED_TWICE))
			serve_io(vm, &io);
	}
	if (GLUE_MUTANT(GLUE_EOI_LATE))
		serve_eois(vm);
}

static uint64_t deadline(const struct vm_cpu *c)
{
	return link_deadline(c->vm->link, c);
}

static void wait(struct vm *vm)
{
	link_wait(vm->link);
}

const struct vm_far remote_far = {
	.post = post,
	.unhalt = unhalt,
	.dest = dest_tell,
	.eoi = eoi,
	.io = io,
	.serve = serve,
	.deadline = deadline,
	.wait = wait,
};
