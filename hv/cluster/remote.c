#include "hv/cluster/remote.h"
#include "hv/base/log.h"
#include "hv/base/string.h"
#include "hv/dev/devices.h"
#include "hv/core/intr.h"
#include "hv/cluster/link.h"
#include "hv/cluster/wire.h"
#include "hv/x86/cpu.h"
#include "hv/x86/tsc.h"

/* What a node keeps of its RAM for itself. */
#define NODE_KEEPS MIB(16)
/* After the end: the others may still miss this node's last words. */
#define LINGER_NS  (500 * NS_PER_MS)

static struct {
	struct node_config config;
	bool configured;
	/* Lives of the machine for which each node was ready, and that have ended there. */
	unsigned ready[VM_MAX_NODES], stopped[VM_MAX_NODES];
	struct node_stopped last[VM_MAX_NODES];
	unsigned life;
	/* What the vCPUs of other nodes want from this head's devices; one access each at a time. */
	struct node_io io[VM_MAX_CPUS];
	_Atomic uint64_t io_asked;
	_Atomic uint64_t eois[4];
	_Atomic bool eoi_came;
	/* Answers that the waiting vCPU still misses. */
	_Atomic unsigned answers[VM_MAX_CPUS];
	uint64_t answer[VM_MAX_CPUS];
} remote;

/* --- Joining --- */

/* The head's vCPUs come first, then those of the others as the nodes are numbered. */
static int number_cpus(struct vm *vm, const struct cluster *c, struct why *why)
{
	struct vm_nodes *n = &vm->nodes;

	vm->cpu_count = 0;
	for (unsigned turn = 0; turn <= c->count; turn++) {
		unsigned node = turn ? turn - 1 : n->head, cpus = c->members[node].cpus;

		if (turn && node == n->head)
			continue;
		if (vm->cpu_count + cpus > VM_MAX_CPUS)
			return why_set(why, ERR_RANGE,
				       "the nodes have more than %u CPUs together; give some of "
				       "them fewer (cpus=)",
				       VM_MAX_CPUS);
		if (node == n->self) {
			n->first_cpu = vm->cpu_count;
			n->local_cpus = cpus;
		}
		n->most_cpus = MAX(n->most_cpus, cpus);
		for (unsigned i = 0; i < cpus; i++)
			n->of_cpu[vm->cpu_count++] = (uint8_t)node;
	}
	return 0;
}

static uint64_t offer_of(const struct cluster_member *m)
{
	return m->ram > NODE_KEEPS ? m->ram - NODE_KEEPS : 0;
}

/* Leaves a sixteenth of each node for tables and for copies of the others' pages. */
static uint64_t all_memory(const struct cluster *c)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < c->count; i++)
		sum += offer_of(&c->members[i]) / 16 * 15;
	return MIN(sum, GIB(16));
}

static int wait_for(const bool *what, struct why *why)
{
	while (!*what) {
		if (wire_ended())
			return why_set(why, ERR_NOTFOUND, "%s", wire_ended());
		link_poll();
	}
	return 0;
}

static void log_cpus(const struct vm *vm)
{
	for (unsigned i = 0; i < vm->cpu_count; i++)
		log_info(LOG_CLUSTER, "vCPU %u is on node %u%s", i, vm->nodes.of_cpu[i],
			 vm->nodes.of_cpu[i] == vm->nodes.head ? ", the head" : "");
}

int remote_join(struct vm *vm, uint64_t mem, uint64_t offers[VM_MAX_NODES], struct why *why)
{
	const struct cluster *c = wire_cluster();
	bool up = false;
	int err;

	while (!up) {
		if (wire_ended())
			return why_set(why, ERR_NOTFOUND, "%s", wire_ended());
		link_poll();
		up = wire_up(&vm->nodes.self, &vm->nodes.head);
	}
	err = number_cpus(vm, c, why);
	if (err)
		return err;
	for (unsigned i = 0; i < c->count; i++)
		offers[i] = offer_of(&c->members[i]);
	if (vm_is_head(vm)) {
		remote.config.ram_bytes = align_down(mem ? mem : all_memory(c), MIB(2));
		remote.config.tsc_hz = tsc_hz();
		link_send_all(NODE_CONFIG, &remote.config, sizeof(remote.config));
	} else {
		err = wait_for(&remote.configured, why);
	}
	vm->ram_bytes = remote.config.ram_bytes;
	vm->tsc_hz = remote.config.tsc_hz;
	log_cpus(vm);
	return err;
}

void remote_config(struct vm *vm, unsigned from, const void *body, size_t len)
{
	if (from != vm->nodes.head)
		return;
	memcpy(&remote.config, body, len);
	remote.configured = true;
}

/* --- The machine's life --- */

static bool reached(const struct vm *vm, const unsigned *lives)
{
	for (unsigned i = 0; i < vm->nodes.count; i++)
		if (lives[i] < remote.life)
			return false;
	return true;
}

void remote_ready(struct vm *vm, unsigned from, const void *body, size_t len)
{
	remote.ready[from]++;
}

void remote_ready_all(struct vm *vm)
{
	const uint8_t nothing = 0;

	if (!vm_is_head(vm)) {
		link_send(vm->nodes.head, NODE_READY, &nothing, sizeof(nothing));
		return;
	}
	remote.ready[vm->nodes.self]++;
	while (!reached(vm, remote.ready) && !atomic_load(&vm->stop))
		link_poll();
}

/* What another node says has happened there happens here, too. */
static void follow(struct vm *vm, unsigned from)
{
	const struct node_stopped *s = &remote.last[from];

	if (s->how == VM_FAILED)
		vm_fail(vm, "node %u stopped: %s", from, s->text);
	if (s->how == VM_DEBUG_EXIT)
		vm->debug_code = s->code;
	vm_stop(vm, (enum vm_stop)s->how);
}

void remote_stopped(struct vm *vm, unsigned from, const void *body, size_t len)
{
	const struct node_stopped *s = body;

	if (s->how == VM_RUNNING || s->how > VM_FAILED)
		return;
	memcpy(&remote.last[from], s, sizeof(*s));
	remote.last[from].text[NODE_TEXT - 1] = '\0';
	/* The word of a life that has not begun here yet waits for remote_next_life(). */
	if (++remote.stopped[from] == remote.life)
		follow(vm, from);
}

/*
 * What was asked and not answered when the machine stopped. Every answer that was given has come before
 * its node's NODE_STOPPED, by the same channel.
 */
static void forget_questions(void)
{
	atomic_store(&remote.io_asked, 0);
	atomic_store(&remote.eoi_came, false);
	for (unsigned i = 0; i < ARRAY_LEN(remote.eois); i++)
		atomic_store(&remote.eois[i], 0);
	for (unsigned i = 0; i < VM_MAX_CPUS; i++)
		atomic_store(&remote.answers[i], 0);
}

void remote_next_life(struct vm *vm)
{
	link_lock();
	remote.life++;
	forget_questions();
	for (unsigned i = 0; i < vm->nodes.count; i++)
		if (remote.stopped[i] >= remote.life)
			follow(vm, i);
	link_unlock();
}

/* Two nodes can have stopped for different reasons at once; all make the same of that. */
static unsigned weight(unsigned how)
{
	static const uint8_t weights[] = {
		[VM_RESET] = 1, [VM_POWERED_OFF] = 2, [VM_DEBUG_EXIT] = 3, [VM_FAILED] = 4};

	return how < ARRAY_LEN(weights) ? weights[how] : 0;
}

static void agree(struct vm *vm)
{
	unsigned best = vm->nodes.self;

	for (unsigned i = 0; i < vm->nodes.count; i++)
		if (weight(remote.last[i].how) > weight(remote.last[best].how))
			best = i;
	atomic_store(&vm->stop, remote.last[best].how);
	vm->debug_code = remote.last[best].code;
	if (best != vm->nodes.self)
		str_copy(vm->stop_why.text, remote.last[best].text, sizeof(vm->stop_why.text));
}

static void linger(void)
{
	uint64_t until = tsc_now_ns() + LINGER_NS;

	while (tsc_now_ns() < until)
		link_poll();
}

void remote_stop_all(struct vm *vm)
{
	struct node_stopped s = {.how = (uint8_t)atomic_load(&vm->stop), .code = vm->debug_code};

	str_copy(s.text, vm->stop_why.text, sizeof(s.text));
	remote.last[vm->nodes.self] = s;
	remote.stopped[vm->nodes.self]++;
	link_send_all(NODE_STOPPED, &s, sizeof(s));
	while (!reached(vm, remote.stopped) && !wire_ended())
		link_poll();
	if (!wire_ended())
		agree(vm);
	if (atomic_load(&vm->stop) != VM_RESET)
		linger();
}

/* --- Waiting for answers --- */

static bool answered_all(const struct vcpu *v)
{
	return !atomic_load(&remote.answers[v->index]);
}

/* Who should answer may have stopped; remote_next_life() forgets the question. */
static bool wait_answers(struct vcpu *v)
{
	return link_await(v, answered_all, false);
}

static void answered(struct vcpu *v)
{
	if (!atomic_load(&remote.answers[v->index]))
		return;
	atomic_fetch_sub(&remote.answers[v->index], 1);
	link_awake(v);
}

static struct vcpu *local(struct vm *vm, unsigned cpu)
{
	return cpu < vm->cpu_count && vm_is_local(vm, cpu) ? &vm->vcpus[cpu] : NULL;
}

/* --- Interrupts --- */

void remote_post(struct vm *vm, unsigned cpu, const struct apic_msg *msg)
{
	const struct node_ipi ipi = {.cpu = (uint16_t)cpu,
				     .kind = (uint8_t)msg->kind,
				     .vector = msg->vector,
				     .level_trigger = msg->level_trigger,
				     .assert_level = msg->assert};

	link_send(vm->nodes.of_cpu[cpu], NODE_IPI, &ipi, sizeof(ipi));
}

void remote_ipi(struct vm *vm, unsigned from, const void *body, size_t len)
{
	const struct node_ipi *ipi = body;
	const struct apic_msg msg = {.kind = (enum apic_delivery)(ipi->kind & 7),
				     .vector = ipi->vector,
				     .level_trigger = ipi->level_trigger,
				     .assert = ipi->assert_level};
	struct vcpu *v = local(vm, ipi->cpu);

	if (v && apic_post_msg(&v->post, &msg))
		intr_kick(v);
}

void remote_unhalt(struct vm *vm, unsigned cpu)
{
	const struct node_unhalt u = {(uint16_t)cpu};

	link_send(vm->nodes.of_cpu[cpu], NODE_UNHALT, &u, sizeof(u));
}

void remote_unhalted(struct vm *vm, unsigned from, const void *body, size_t len)
{
	const struct node_unhalt *u = body;
	struct vcpu *v = local(vm, u->cpu);

	if (v)
		intr_unhalt(v);
}

void remote_dest_tell(struct vcpu *v, const struct apic_dest *dest)
{
	const struct node_dest d = {.dest = apic_dest_pack(dest), .cpu = (uint16_t)v->index};

	atomic_store(&remote.answers[v->index], v->vm->nodes.count - 1);
	link_send_all(NODE_DEST, &d, sizeof(d));
	wait_answers(v);
}

void remote_dest(struct vm *vm, unsigned from, const void *body, size_t len)
{
	const struct node_dest *d = body;
	struct apic_dest dest;

	if (d->cpu >= vm->cpu_count || vm->nodes.of_cpu[d->cpu] != from)
		return;
	apic_dest_unpack(d->dest, &dest);
	apic_book_update(&vm->book, d->cpu, &dest);
	link_send_held(from, NODE_DEST_OK, d, sizeof(*d));
}

void remote_dest_ok(struct vm *vm, unsigned from, const void *body, size_t len)
{
	const struct node_dest *d = body;

	struct vcpu *v = local(vm, d->cpu);

	if (v)
		answered(v);
}

void remote_eoi(struct vm *vm, uint8_t vector)
{
	const struct node_eoi e = {vector};

	link_send(vm->nodes.head, NODE_EOI, &e, sizeof(e));
}

void remote_eoi_came(struct vm *vm, unsigned from, const void *body, size_t len)
{
	const struct node_eoi *e = body;

	atomic_fetch_or(&remote.eois[e->vector / 64], BIT(e->vector % 64));
	atomic_store(&remote.eoi_came, true);
	vm->vcpus[vm->nodes.first_cpu].recheck = true;
}

/* --- Devices --- */

uint64_t remote_io(struct vcpu *v, uint64_t address, unsigned size, unsigned flags, uint64_t value)
{
	const struct node_io io = {.address = address,
				   .value = value,
				   .cpu = (uint16_t)v->index,
				   .size = (uint8_t)size,
				   .flags = (uint8_t)flags};

	v->remote_io++;
	atomic_store(&remote.answers[v->index], 1);
	link_send(v->vm->nodes.head, NODE_IO, &io, sizeof(io));
	return wait_answers(v) ? remote.answer[v->index] : UINT64_MAX;
}

void remote_io_asked(struct vm *vm, unsigned from, const void *body, size_t len)
{
	const struct node_io *io = body;

	if (!vm_is_head(vm) || io->cpu >= vm->cpu_count || vm->nodes.of_cpu[io->cpu] != from ||
	    !io->size || io->size > 8 || io->size & (io->size - 1))
		return;
	remote.io[io->cpu] = *io;
	atomic_fetch_or(&remote.io_asked, BIT(io->cpu));
	vm->vcpus[vm->nodes.first_cpu].recheck = true;
}

void remote_io_done(struct vm *vm, unsigned from, const void *body, size_t len)
{
	const struct node_io *io = body;
	struct vcpu *v = local(vm, io->cpu);

	if (from != vm->nodes.head || !v)
		return;
	remote.answer[io->cpu] = io->value;
	answered(v);
}

static void serve_io(struct vm *vm, struct node_io *io)
{
	if (io->flags & NODE_IO_WRITE)
		devices_write(vm, io->address, io->size, io->flags & NODE_IO_MMIO, io->value);
	else
		io->value = devices_read(vm, io->address, io->size, io->flags & NODE_IO_MMIO);
	link_send(vm->nodes.of_cpu[io->cpu], NODE_IO_DONE, io, sizeof(*io));
}

void remote_serve(struct vm *vm)
{
	uint64_t asked = atomic_exchange(&remote.io_asked, 0);

	while (asked) {
		unsigned cpu = bit_lowest(asked);
		struct node_io io = remote.io[cpu];

		asked &= asked - 1;
		serve_io(vm, &io);
	}
	if (!atomic_exchange(&remote.eoi_came, false))
		return;
	for (unsigned i = 0; i < ARRAY_LEN(remote.eois); i++)
		for (uint64_t set = atomic_exchange(&remote.eois[i], 0); set; set &= set - 1)
			devices_eoi(vm, (uint8_t)(i * 64 + bit_lowest(set)));
}
