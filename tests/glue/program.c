/* A vCPU's program: what it does next, by chance, and what the hypervisor does of that. */
#include "hv/base/plat.h"
#include "hv/core/intr.h"
#include "tests/glue/glue.h"

#define VECTOR_EOI  0x80u /* + vCPU: a level-triggered interrupt's */
#define SVR_ON      0x1ffu
#define ICR_ASSERT  0x4000u
#define ICR_INIT    0x500u
#define ICR_STARTUP 0x600u
#define ICR_OTHERS  0xc0000u
#define ICR_DEST_AT 24
#define STORM       160u
#define HOT         8u /* pages that are used more often */

void program_start(struct cpu *c)
{
	c->ops_left = glue.config.ops[oracle_lives() - 1];
	c->finishing = c->last = false;
	c->starts = c->v->index == 0;
	c->op = (struct op){.kind = OP_LAPIC_ON};
	c->next = (struct op){.kind = OP_NONE};
}

/* --- What comes next --- */

static gfn_t some_page(void)
{
	return GFN_PLAIN + glue_random(glue_random(3) ? glue.config.pages : HOT);
}

/* Word 0 is for counting. */
static unsigned some_word(void)
{
	return 1 + (unsigned)glue_random(GLUE_WORDS - 1);
}

static unsigned some_cpu(void)
{
	return (unsigned)glue_random(glue.config.total);
}

/* A store and the interrupt that says so, if there is somebody to take it. */
static bool choose_ipi(struct cpu *c)
{
	unsigned me = c->v->index, to = some_cpu();

	if (to == me || !life_reachable(to) || !ipi_free(me, to))
		return false;
	c->op = (struct op){.kind = OP_MAIL, .gfn = GFN_MAIL + me, .cpu = to};
	c->next = (struct op){.kind = OP_IPI, .cpu = to};
	return true;
}

static const struct {
	enum op_kind kind;
	unsigned weight;
} choices[] = {
	{OP_READ, 24},       {OP_WRITE, 22},     {OP_ADD, 8},   {OP_COPY, 8},  {OP_HYPER_READ, 4},
	{OP_HYPER_WRITE, 4}, {OP_FILL, 2},       {OP_CHECK, 2}, {OP_IPI, 7},   {OP_IO, 4},
	{OP_EOI, 3},         {OP_DEST, 1},       {OP_PAUSE, 2}, {OP_SLEEP, 3}, {OP_UNHALT, 2},
	{OP_ROUND_WRITE, 6}, {OP_ROUND_READ, 6}, {OP_STORM, 1},
};

static enum op_kind choose_kind(void)
{
	unsigned sum = 0, n;

	for (unsigned i = 0; i < ARRAY_LEN(choices); i++)
		sum += choices[i].weight;
	n = (unsigned)glue_random(sum);
	for (unsigned i = 0;; i++) {
		if (n < choices[i].weight)
			return choices[i].kind;
		n -= choices[i].weight;
	}
}

static void choose(struct cpu *c)
{
	enum op_kind kind = choose_kind();
	struct op op = {.kind = kind,
			.gfn = some_page(),
			.gfn2 = some_page(),
			.word = some_word(),
			.word2 = some_word(),
			.cpu = some_cpu()};

	/* A loop: it stays in the guest, whatever happens to the page. */
	if ((kind == OP_READ || kind == OP_WRITE) && glue_random(6) == 0)
		op.times = 5 + (unsigned)glue_random(20);
	op.pauses = op.times % 2;
	if (kind == OP_ADD) {
		op.gfn = GFN_COUNT + glue_random(COUNTS);
	} else if (kind == OP_ROUND_WRITE) {
		op.gfn = GFN_ROUND + c->round_page;
	} else if (kind == OP_ROUND_READ) {
		op.gfn = GFN_ROUND + glue_random(ROUNDS);
	} else if (kind == OP_IPI) {
		if (choose_ipi(c))
			return;
		op.kind = OP_READ;
	} else if ((kind == OP_STORM && (!glue.config.busy || glue_random(2))) ||
		   (kind == OP_SLEEP && !life_sleep(c->v->index)) ||
		   (glue.config.threads && (kind == OP_FILL || kind == OP_CHECK))) {
		op.kind = OP_READ; /* nobody would wake it; or two threads would share the page */
	}
	c->op = op;
	if (op.kind == OP_STORM)
		c->next = (struct op){.kind = OP_IO}; /* which waits behind all of it */
}

/* A life's last quarter begins no sooner than the machine has had its share of everything. */
static bool too_early(const struct cpu *c)
{
	const struct glue_config *g = &glue.config;
	unsigned life = oracle_lives() - 1;

	return !g->threads && c->ops_left == g->ops[life] / 4 + 1 && !machine_had(g->faults[life]);
}

/* What ends the machine's life, when this vCPU is the one to do it; else OP_NONE. */
static enum op_kind fate(const struct cpu *c)
{
	const struct glue_config *g = &glue.config;
	unsigned life = oracle_lives() - 1;

	if (c->ops_left != g->ops[life] / 4)
		return OP_NONE;
	if (life == 0)
		return c->v->index == g->seed % g->total ? OP_RESET : OP_NONE;
	return g->end != END_OFF && glue_self()->node->id == g->end_node && vm_cpu_leads(c->v->cpu)
		       ? OP_DIE
		       : OP_NONE;
}

void program_next(struct cpu *c)
{
	life_woke(c->v->index);
	if (c->starts) {
		c->starts = false;
		c->op = (struct op){.kind = OP_START_OTHERS};
	} else if (c->last) {
		c->op = (struct op){.kind = ipi_idle() ? OP_OFF : OP_PAUSE};
	} else if (c->finishing) {
		c->op = (struct op){.kind = OP_REST};
	} else if (c->ops_left == 0) {
		c->op = (struct op){.kind = OP_END};
	} else if (too_early(c)) {
		choose(c);
	} else {
		c->ops_left--;
		c->op = (struct op){.kind = fate(c)};
		if (c->op.kind == OP_NONE)
			choose(c);
	}
}

/* --- What the hypervisor does of it --- */

static void lapic_store(struct cpu *c, enum lapic_reg reg, uint32_t value)
{
	struct lapic_actions actions;

	lapic_mmio_write(intr_lapic(c->v), reg, value, vm_guest_tsc(c->v->vm), &actions);
	intr_apply(c->v, &actions);
}

/* Every node knows how the vCPU is addressed from now on. */
static void readdress(struct cpu *c, enum lapic_reg reg, uint32_t value)
{
	struct vm *vm = c->v->vm;
	struct apic_dest mine;

	lapic_store(c, reg, value);
	if (atomic_load(&vm->stop))
		return;
	lapic_dest(&c->v->lapic, &mine);
	for (unsigned i = 0; i < glue.config.nodes; i++) {
		struct apic_dest known;

		apic_book_get(&glue.nodes[i].vm.book, c->v->index, &known);
		if (apic_dest_pack(&known) != apic_dest_pack(&mine) &&
		    !atomic_load(&glue.nodes[i].vm.stop))
			glue_wrong("node %u does not know how this vCPU is addressed",
				   glue.nodes[i].vm.nodes.self);
	}
}

static void send_ipi(struct cpu *c, unsigned to)
{
	ipi_send(c->v->index, to);
	lapic_store(c, LAPIC_ICR_HIGH, to << ICR_DEST_AT);
	lapic_store(c, LAPIC_ICR_LOW, ICR_ASSERT | (VECTOR_IPI + c->v->index));
}

static void start_others(struct cpu *c)
{
	lapic_store(c, LAPIC_ICR_LOW, ICR_ASSERT | ICR_INIT | ICR_OTHERS);
	lapic_store(c, LAPIC_ICR_LOW, ICR_ASSERT | ICR_STARTUP | ICR_OTHERS | 0x10);
}

/* A word by the way that device models and emulated instructions have. */
static void hyper_access(struct cpu *c, const struct op *op)
{
	gpa_t gpa = op->gfn << PAGE_SHIFT;
	bool write = op->kind == OP_HYPER_WRITE || op->kind == OP_FILL;
	void *page = plat_gmem_acquire(gpa, PAGE_SIZE, write);
	uint64_t *word = page, value;

	if (!page)
		return; /* the machine stops */
	word += op->word;
	/* Long copies take as long as the others' steps. */
	for (unsigned n = (unsigned)glue_random(12); n > 0; n--)
		glue_yield(glue.config.threads ? PACE_RELAX : n % 2 ? PACE_POINT : PACE_STEP);
	if (op->kind == OP_HYPER_READ) {
		oracle_read(c, op->gfn, op->word, __atomic_load_n(word, __ATOMIC_RELAXED));
	} else if (op->kind == OP_HYPER_WRITE) {
		value = oracle_value(c);
		__atomic_store_n(word, value, __ATOMIC_RELAXED);
		oracle_write(c, op->gfn, op->word, value);
	} else if (op->kind == OP_FILL) {
		oracle_fill(op->gfn, page);
	} else {
		oracle_check(op->gfn, page);
	}
	plat_gmem_release(gpa, PAGE_SIZE, write);
}

static void device_access(struct cpu *c)
{
	bool write = glue_random(2);

	devices_access(c->v, write ? ++c->written : ++c->read, write);
}

static void end_of_interrupt(struct cpu *c)
{
	devices_eoi_due(c->v->index);
	intr_apply(c->v,
		   &(struct lapic_actions){.eoi_level = true,
					   .eoi_vector = (uint8_t)(VECTOR_EOI + c->v->index)});
	/* Most of the time the device is looked at next. */
	if (glue_random(4))
		device_access(c);
}

static void unhalt_one(struct cpu *c)
{
	int cpu = life_sleeper();

	if (cpu >= 0)
		intr_unhalt(&c->v->vm->vcpus[cpu]);
}

/* Until the outbox is full, if the wire is slow: a vCPU can say that as often as it likes. */
static void storm(struct cpu *c, unsigned cpu)
{
	for (unsigned i = 0; i < STORM && !atomic_load(&c->v->vm->stop); i++)
		intr_unhalt(&c->v->vm->vcpus[cpu]);
}

/* Nothing is left to do but to answer; those that sleep must not wait for it. */
static void finish(struct cpu *c)
{
	c->finishing = true;
	c->last = life_done(c->v->index);
	for (int cpu; (cpu = life_sleeper()) >= 0;)
		intr_unhalt(&c->v->vm->vcpus[cpu]);
}

/* The last vCPU: nothing that was added is missing. */
static void end_well(struct cpu *c)
{
	struct vm *vm = c->v->vm;

	for (gfn_t gfn = GFN_COUNT; gfn < GFN_COUNT + COUNTS; gfn++) {
		uint64_t *page = plat_gmem_acquire(gfn << PAGE_SHIFT, PAGE_SIZE, false);
		uint64_t sum = page ? __atomic_load_n(page, __ATOMIC_RELAXED) : 0;

		if (!page)
			return;
		plat_gmem_release(gfn << PAGE_SHIFT, PAGE_SIZE, false);
		if (sum != oracle_sum(gfn))
			glue_wrong("%llu was added, and %llu came of it",
				   (unsigned long long)oracle_sum(gfn), (unsigned long long)sum);
	}
	vm_stop(vm, VM_POWERED_OFF);
}

static void die(struct cpu *c)
{
	struct glue_node *n = glue_self()->node;

	if (glue.config.end == END_FAIL) {
		vm_fail(c->v->vm, LAST_WORDS);
		return;
	}
	if (glue.config.end == END_STOP) {
		link_lock(&n->link);
		uplink_stop(n->wire, LAST_WORDS);
		link_unlock(&n->link);
	}
	node_dies(n);
}

void program_host(struct cpu *c)
{
	const struct op op = c->op;

	switch (op.kind) {
	case OP_IPI:
		send_ipi(c, op.cpu);
		break;
	case OP_IO:
		device_access(c);
		break;
	case OP_EOI:
		end_of_interrupt(c);
		break;
	case OP_DEST:
		readdress(c, LAPIC_LDR, (uint32_t)glue_random(256) << ICR_DEST_AT);
		break;
	case OP_UNHALT:
		unhalt_one(c);
		break;
	case OP_STORM:
		storm(c, op.cpu);
		break;
	case OP_LAPIC_ON:
		readdress(c, LAPIC_SVR, SVR_ON);
		life_lapic_on(c->v->index);
		break;
	case OP_START_OTHERS:
		start_others(c);
		break;
	case OP_IRET:
		lapic_store(c, LAPIC_EOI, 0);
		break;
	case OP_RESET:
		oracle_figures.resets++;
		vm_stop(c->v->vm, VM_RESET);
		break;
	case OP_END:
		finish(c);
		break;
	case OP_OFF:
		end_well(c);
		break;
	case OP_DIE:
		die(c);
		break;
	default:
		hyper_access(c, &op);
	}
}
