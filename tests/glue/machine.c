/* A node's part in the machine's life, as hv/core/machine.c has it for a real one. */
#include <string.h>

#include "dsm/dsm_state.h"
#include "hv/cluster/client.h"
#include "hv/core/arch.h"
#include "hv/core/intr.h"
#include "hv/core/turns.h"
#include "hv/core/vcpu.h"
#include "hv/x86/pmem.h"
#include "tests/glue/glue.h"

#define GUEST MIB(2)
STATIC_ASSERT(GLUE_GFNS *PAGE_SIZE == GUEST, "all of them can be used");

/* The CPUs of the node meet here before and after each life. */
static void meet(struct glue_node *n)
{
	unsigned round = atomic_load(&n->round);

	if (atomic_fetch_add(&n->arrived, 1) + 1 == n->vm.host_cpus) {
		atomic_store(&n->arrived, 0);
		atomic_store(&n->round, round + 1);
		return;
	}
	while (atomic_load(&n->round) == round)
		n->vm.far->wait(&n->vm);
}

static void number_cpus(struct glue_node *n)
{
	struct vm *vm = &n->vm;

	for (unsigned i = 0; i < vm->cpu_count; i++) {
		vm->apic_ids[i] = i;
		vm->vcpus[i].vm = vm;
		vm->vcpus[i].index = i;
	}
	turns_place(vm, glue.config.hosts[n->id]);
	for (unsigned i = 0; i < vm->nodes.local_cpus; i++) {
		struct vcpu *v = &vm->vcpus[vm->nodes.first_cpu + i];
		struct cpu *c = &n->cpus[i];

		v->virt.vendor = c;
		*c = (struct cpu){.v = v, .tsc_offset = -vm->tsc_base, .round = 1};
		c->asid.asid = i + 1;
	}
}

/* Some pages more than it must have, and entries for copies of all pages. */
static void give_ram(struct glue_node *n, const struct parts *parts)
{
	uint16_t slots[PARTS_SLOTS];
	struct dsm_config c;

	parts_config(parts, n->vm.nodes.self, GUEST, slots, &c);
	n->free_bytes = parts_memory(parts, &c, GUEST) + KIB(48);
}

/* As if homed pages that no program uses had been used: all others have to do with the frames left. */
static void use_the_rest(struct glue_node *n)
{
	struct dsm *d = n->share.dsm;
	uint64_t unused = 0;

	for (gfn_t gfn = GFN_PLAIN + glue.config.pages; gfn < GLUE_GFNS; gfn++)
		unused += dsm_home(d, gfn) == d->cfg.self && (gfn < GFN_MAIL || gfn >= GFN_END);
	d->frames_spare -= unused;
	d->homes_left -= unused;
	n->share.most -= unused;
}

static void create(struct glue_node *n)
{
	struct parts parts;
	struct vm *vm = &n->vm;
	struct why why = {""};
	int err;

	vm_locks_init(vm);
	n->wire = net_open(n);
	link_init(&n->link, n->wire);
	n->share.config = &glue.config.share;
	vm->ops = &glue_ops;
	vm->io = &glue_io;
	vm->link = &n->link;
	vm->share = &n->share;
	vm->remote = &n->remote;
	vm->ram = &share_ram;
	vm->far = &remote_far;
	vm->npt = &n->npt;
	vm->tsc_base = arch_tsc();
	vm->nodes.count = glue.config.nodes;
	apic_book_init(&vm->book);
	link_start(&n->link, vm, &cluster_client);
	err = remote_join(vm, GUEST, &parts, &why);
	if (!err) {
		give_ram(n, &parts);
		err = share_init(&n->share, vm, &parts, &why);
	}
	if (!err)
		use_the_rest(n);
	if (err)
		glue_wrong("node %u can't be made: %s", n->id, why.text);
	number_cpus(n);
	atomic_store(&n->made, true);
}

static void power_up(struct lapic *l, uint32_t *page, unsigned cpu)
{
	const struct lapic_config config = {
		.apic_id = cpu,
		.bsp = cpu == 0,
		.phys_bits = 36,
		.tsc_hz = TICKS_PER_NS * NS_PER_S,
		.timer_hz = TICKS_PER_NS * NS_PER_S,
	};

	lapic_init(l, page, &config);
	if (config.bsp)
		lapic_virtual_wire(l);
}

static void reset_book(struct glue_node *n)
{
	struct apic_dest dest;

	apic_book_init(&n->vm.book);
	for (unsigned i = 0; i < n->vm.cpu_count; i++) {
		power_up(&n->scratch, n->scratch_regs, i);
		lapic_dest(&n->scratch, &dest);
		apic_book_update(&n->vm.book, i, &dest);
	}
}

static void reset_vcpu(struct vcpu *v)
{
	struct cpu *c = v->virt.vendor;

	apic_post_init(&v->post);
	power_up(&v->lapic, c->regs, v->index);
	c->event = c->in_handler = c->window = false;
	c->written = c->read = 0;
	v->state = v->index == 0 ? VCPU_RUNNING : VCPU_WAIT_SIPI;
	v->nmi_pending = v->extint = v->irq_window = v->nmi_window = false;
	v->timer_fired = arch_tsc();
	v->stalled = 0;
	v->due = 0;
	v->recheck = true;
	atomic_store(&v->pv_unhalt, false);
}

static void start(struct glue_node *n)
{
	struct vm *vm = &n->vm;

	remote_next_life(vm);
	remote_ready_all(vm);
	if (vm_is_head(vm) && atomic_load(&vm->stop) == VM_RUNNING) {
		oracle_life();
		program_start(vm->vcpus[0].virt.vendor);
	}
}

/* All nodes have come to the same end, with the reason that there was. */
static void check_end(struct glue_node *n)
{
	static const char *const names[GLUE_NODES] = {"node 0", "node 1", "node 2", "node 3"};
	const struct glue_config *g = &glue.config;
	struct vm *vm = &n->vm;
	unsigned how = atomic_load(&vm->stop);
	bool last = oracle_lives() > 1;
	const char *text = vm->stop_why.text;
	const char *dead = names[glue.nodes[g->end_node].vm.nodes.self];

	if (how != (!last ? VM_RESET : g->end == END_OFF ? VM_POWERED_OFF : VM_FAILED))
		glue_wrong("the machine ended as %u on node %u: %s", how, vm->nodes.self, text);
	if (!last || g->end == END_OFF)
		return;
	if (g->end != END_SILENT && !strstr(text, LAST_WORDS))
		glue_wrong("node %u does not say why another stopped: '%s'", vm->nodes.self, text);
	if (n->id != g->end_node && !strstr(text, dead))
		glue_wrong("node %u does not say that %s ended: '%s'", vm->nodes.self, dead, text);
}

/* No node may ever have taken more RAM than it was made for. */
static void check_frames(const struct share *s)
{
	if (s->taken > s->most)
		glue_wrong("a node took %llu pages of RAM of %llu", (unsigned long long)s->taken,
			   (unsigned long long)s->most);
}

static bool again(struct glue_node *n)
{
	remote_stop_all(&n->vm);
	check_end(n);
	check_frames(&n->share);
	if (atomic_load(&n->vm.stop) != VM_RESET)
		return false;
	atomic_store(&n->vm.stop, VM_RUNNING);
	return true;
}

static void take_vcpus(struct runner *r)
{
	struct vm_cpu *c = &r->node->vm.cpus[r->index];

	r->host = c;
	turns_switch(c->vcpus[0]);
}

static void reset_vcpus(struct vm_cpu *c)
{
	for (unsigned i = c->count; i-- > 0;) {
		turns_switch(c->vcpus[i]);
		reset_vcpu(c->vcpus[i]);
	}
}

void machine_cpu(struct runner *r)
{
	struct glue_node *n = r->node;
	bool leads = r->index == 0;

	if (leads)
		create(n);
	while (!atomic_load(&n->made))
		plat_relax();
	take_vcpus(r);
	meet(n);
	do {
		reset_vcpus(r->host);
		if (leads)
			reset_book(n);
		meet(n);
		if (leads)
			start(n);
		meet(n);
		vcpu_run(r->host);
		meet(n);
		if (leads)
			atomic_store(&n->more, again(n));
		meet(n);
	} while (atomic_load(&n->more));
}

uint64_t machine_faults(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < glue.config.nodes; i++) {
		const struct dsm_stats *s = dsm_stats(glue.nodes[i].share.dsm);

		sum += s->faults[DSM_READ] + s->faults[DSM_WRITE] - s->faults_local;
	}
	return sum;
}

uint64_t machine_home_waits(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < glue.config.nodes; i++)
		sum += dsm_stats(glue.nodes[i].share.dsm)->home_waits;
	return sum;
}

uint64_t machine_evictions(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < glue.config.nodes; i++) {
		const struct dsm_stats *s = dsm_stats(glue.nodes[i].share.dsm);

		sum += s->evict_clean + s->evict_dirty;
	}
	return sum;
}

bool machine_had(uint64_t faults)
{
	bool lent = glue.config.share.cache_max > glue.config.share.cache_min;

	/* What is lent can suffice, now and then. */
	return machine_faults() >= faults && (machine_evictions() || lent) && oracle_figures.ipis &&
	       devices_count();
}
