/*
 * The CPU in guest mode: nested paging with a TLB that forgets nothing but by npt_flush(), and the steps of a
 * program. It leaves the guest as a CPU does: for an interrupt of the host's, a page, or what it can't do
 * itself.
 */
#include "hv/core/arch.h"
#include "hv/core/intr.h"
#include "hv/core/vcpu.h"
#include "hv/x86/pmem.h"
#include "tests/glue/glue.h"

static struct cpu *cpu_of(struct virt_vcpu *v)
{
	return v->vendor;
}

/* --- Nested paging --- */

static int npt_map(struct npt *npt, gpa_t gpa, hpa_t hpa, unsigned order, enum npt_perm perm)
{
	atomic_store(&npt->entry[gpa >> PAGE_SHIFT], hpa | perm);
	glue_yield(PACE_POINT);
	return 0;
}

static enum npt_perm npt_query(struct npt *npt, gpa_t gpa, hpa_t *hpa)
{
	uint64_t entry = atomic_load(&npt->entry[gpa >> PAGE_SHIFT]);

	*hpa = entry & PAGE_MASK;
	return (enum npt_perm)(entry & NPT_RWX);
}

/* What the calling CPU has for the vCPU that is loaded. */
static uint64_t *tlb_of(const struct cpu *c)
{
	return glue_self()->tlb[glue.config.asids ? c->asid.asid : 0];
}

static void tlb_drop(const struct cpu *c)
{
	uint64_t *tlb = tlb_of(c);

	for (unsigned i = 0; i < GLUE_GFNS; i++)
		tlb[i] = 0;
}

static void npt_flush(struct npt *npt)
{
	struct cpu *loaded = arch_vcpu()->virt.vendor;

	if (glue.config.asids)
		asid_drop(&glue_self()->asids, &loaded->asid);
	tlb_drop(loaded);
	glue_yield(PACE_POINT);
}

/* The page, or NULL and an exit. What the TLB has is used, however old it is. */
static uint64_t *reach(struct cpu *c, gfn_t gfn, bool write, struct vm_exit *exit)
{
	enum npt_perm needed = write ? NPT_WRITE : NPT_READ;
	uint64_t *tlb = tlb_of(c);
	hpa_t hpa;

	if (!(tlb[gfn] & needed)) {
		enum npt_perm perm = npt_query(c->v->vm->npt, gfn << PAGE_SHIFT, &hpa);

		/* A fault drops what the TLB has of the address. SDM vol. 3, 29.4.3.1 */
		tlb[gfn] = perm ? hpa | perm : 0;
		if (!(perm & needed)) {
			exit->kind = VM_EXIT_NPF;
			exit->npf.gpa = gfn << PAGE_SHIFT;
			exit->npf.write = write;
			exit->npf.read = !write;
			return NULL;
		}
	}
	return pmem_virt(tlb[gfn] & PAGE_MASK);
}

/* --- A program's steps --- */

static uint64_t load(const uint64_t *page, unsigned word)
{
	return __atomic_load_n(&page[word], __ATOMIC_RELAXED);
}

static void store(uint64_t *page, unsigned word, uint64_t value)
{
	__atomic_store_n(&page[word], value, __ATOMIC_RELAXED);
}

static void read_word(struct cpu *c, const struct op *op, const uint64_t *page)
{
	oracle_read(c, op->gfn, op->word, load(page, op->word));
}

static void write_word(struct cpu *c, const struct op *op, uint64_t *page)
{
	uint64_t value = oracle_value(c);

	store(page, op->word, value);
	oracle_write(c, op->gfn, op->word, value);
}

static void add_word(struct cpu *c, const struct op *op, uint64_t *page)
{
	uint64_t old = __atomic_fetch_add(&page[0], 1, __ATOMIC_RELAXED);

	oracle_read(c, op->gfn, 0, old);
	oracle_write(c, op->gfn, 0, old + 1);
	oracle_added(op->gfn);
}

static void round_write(struct cpu *c, const struct op *op, uint64_t *page)
{
	store(page, c->v->index, c->round);
	oracle_write(c, op->gfn, c->v->index, c->round);
	c->round_page = (c->round_page + 1) % ROUNDS;
	c->round += c->round_page == 0;
}

static void round_read(struct cpu *c, const struct op *op, const uint64_t *page)
{
	uint64_t value = load(page, op->cpu);

	oracle_read(c, op->gfn, op->cpu, value);
	oracle_round_read(c->v->index, op->cpu, (unsigned)(op->gfn - GFN_ROUND), value);
}

static void mail_write(struct cpu *c, const struct op *op, uint64_t *page)
{
	uint64_t number = ipi_next(c->v->index, op->cpu);

	store(page, op->cpu, number);
	oracle_write(c, op->gfn, op->cpu, number);
}

static bool writes(enum op_kind kind)
{
	return kind == OP_WRITE || kind == OP_ADD || kind == OP_ROUND_WRITE || kind == OP_MAIL;
}

static void retire(struct cpu *c)
{
	c->rip++;
	c->op = c->next;
	c->next.kind = OP_NONE;
}

/* One instruction of one page, or of two. True: it left the guest. */
static bool access(struct cpu *c, struct vm_exit *exit)
{
	const struct op *op = &c->op;
	uint64_t *page = reach(c, op->gfn, writes(op->kind), exit), *other = NULL;

	if (page && op->kind == OP_COPY)
		other = reach(c, op->gfn2, true, exit);
	if (!page || (op->kind == OP_COPY && !other))
		return true;
	/* The translation is in use from here on; others go on meanwhile. */
	if (glue_random(2))
		glue_yield(PACE_POINT);
	if (op->kind == OP_READ || op->kind == OP_COPY)
		read_word(c, op, page);
	if (op->kind == OP_COPY)
		write_word(c, &(struct op){.gfn = op->gfn2, .word = op->word2}, other);
	else if (op->kind == OP_WRITE)
		write_word(c, op, page);
	else if (op->kind == OP_ADD)
		add_word(c, op, page);
	else if (op->kind == OP_ROUND_WRITE)
		round_write(c, op, page);
	else if (op->kind == OP_ROUND_READ)
		round_read(c, op, page);
	else if (op->kind == OP_MAIL)
		mail_write(c, op, page);
	if (op->times == 0) {
		retire(c);
		return false;
	}
	c->op.times--;
	exit->kind = VM_EXIT_PAUSE;
	return op->pauses;
}

/* The handler of an IPI: what was written before it was sent is there. */
static bool handle(struct cpu *c, struct vm_exit *exit)
{
	unsigned from = c->vector - VECTOR_IPI, to = c->v->index;
	uint64_t *page;
	uint64_t mail;

	if (from >= glue.config.total)
		glue_wrong("an interrupt came that nobody sent, vector %#x", c->vector);
	page = reach(c, GFN_MAIL + from, false, exit);
	if (!page)
		return true;
	mail = load(page, to);
	oracle_read(c, GFN_MAIL + from, to, mail);
	if (mail != ipi_mail(from, to))
		glue_wrong("an IPI of vCPU %u overtook the store before it: %llu, not %llu", from,
			   (unsigned long long)mail, (unsigned long long)ipi_mail(from, to));
	ipi_came(from, to);
	c->in_handler = false;
	/* The EOI, then on with what was interrupted. */
	c->next = c->op;
	c->op = (struct op){.kind = OP_IRET};
	exit->kind = VM_EXIT_HYPERCALL;
	return true;
}

static bool irq_ready(struct virt_vcpu *v)
{
	const struct cpu *c = cpu_of(v);

	/* What is to follow the step at hand has no room to wait. */
	return !c->in_handler && !c->event && c->op.kind != OP_IRET && c->next.kind == OP_NONE;
}

/* True: the guest was left for `exit`. */
static bool step(struct cpu *c, struct vm_exit *exit)
{
	if (c->window && irq_ready(&c->v->virt)) {
		exit->kind = VM_EXIT_IRQ_WINDOW;
		return true;
	}
	if (c->event) {
		c->event = false;
		c->in_handler = true;
	}
	if (c->in_handler)
		return handle(c, exit);
	if (c->op.kind == OP_NONE)
		program_next(c);
	if (c->op.kind >= OP_HOST) {
		exit->kind = c->op.kind == OP_REST ? VM_EXIT_HLT : VM_EXIT_HYPERCALL;
		return true;
	}
	if (c->op.kind == OP_PAUSE || c->op.kind == OP_SLEEP) {
		exit->kind = c->op.kind == OP_PAUSE ? VM_EXIT_PAUSE : VM_EXIT_HLT;
		retire(c);
		return true;
	}
	return access(c, exit);
}

static void run(struct virt_vcpu *v, uint64_t slice_tsc, struct vm_exit *exit)
{
	struct cpu *c = cpu_of(v);

	exit->kind = VM_EXIT_INTERRUPT;
	while (!atomic_load(&glue_self()->irq) && !step(c, exit))
		glue_yield(PACE_STEP);
	glue_yield(PACE_POINT);
}

/* --- The rest of struct virt_ops --- */

static uint64_t reg_get(struct virt_vcpu *v, enum virt_reg reg)
{
	return cpu_of(v)->rip;
}

static void tsc_offset_set(struct virt_vcpu *v, uint64_t offset)
{
	cpu_of(v)->tsc_offset = offset;
	glue_yield(PACE_POINT);
}

static void vcpu_startup(struct virt_vcpu *v, uint8_t sipi_vector)
{
	program_start(cpu_of(v));
}

static void vcpu_save(struct virt_vcpu *v)
{
	glue_yield(PACE_POINT);
}

static void vcpu_load(struct virt_vcpu *v)
{
	if (asid_load(&glue_self()->asids, &cpu_of(v)->asid) && glue.config.asids)
		tlb_drop(cpu_of(v));
	glue_yield(PACE_POINT);
}

static void inject(struct virt_vcpu *v, const struct virt_event *event)
{
	cpu_of(v)->event = true;
	cpu_of(v)->vector = event->vector;
}

static bool event_pending(struct virt_vcpu *v)
{
	return cpu_of(v)->event;
}

static void irq_window(struct virt_vcpu *v, bool on)
{
	cpu_of(v)->window = on;
}

const struct virt_ops glue_ops = {
	.run = run,
	.reg_get = reg_get,
	.tsc_offset_set = tsc_offset_set,
	.vcpu_startup = vcpu_startup,
	.vcpu_save = vcpu_save,
	.vcpu_load = vcpu_load,
	.inject = inject,
	.event_pending = event_pending,
	.irq_ready = irq_ready,
	.irq_window = irq_window,
	.npt_map = npt_map,
	.npt_query = npt_query,
	.npt_flush = npt_flush,
};

/* --- What is done about an exit: hv/core/exits.c has the product's --- */

static void on_interrupt(struct vcpu *v, const struct vm_exit *exit)
{
	host_interrupts(glue_self());
	v->recheck = true;
}

static void on_npf(struct vcpu *v, const struct vm_exit *exit)
{
	v->vm->ram->fault(v, exit->npf.gpa, exit->npf.write);
}

static void on_hlt(struct vcpu *v, const struct vm_exit *exit)
{
	intr_halt(v);
}

/* The way back into the guest may take long: it looks at the epoch, and then it marks itself. */
static void on_pause(struct vcpu *v, const struct vm_exit *exit)
{
	if (glue.config.slow && glue_random(4) == 0)
		glue_self()->slow_in = 2;
	if (v->cpu->count > 1)
		vcpu_give_way(v);
}

static void on_hypercall(struct vcpu *v, const struct vm_exit *exit)
{
	program_host(cpu_of(&v->virt));
	retire(cpu_of(&v->virt));
}

static void on_irq_window(struct vcpu *v, const struct vm_exit *exit)
{
	v->irq_window = false;
	v->vm->ops->irq_window(&v->virt, false);
	v->recheck = true;
}

/* Nothing here steps over an instruction. */
bool vcpu_exit_measure(struct vcpu *v, struct vm_exit *exit)
{
	return true;
}

const vcpu_exit_fn vcpu_exit_handlers[VM_EXIT_KINDS] = {
	[VM_EXIT_INTERRUPT] = on_interrupt,
	[VM_EXIT_NPF] = on_npf,
	[VM_EXIT_HLT] = on_hlt,
	[VM_EXIT_PAUSE] = on_pause,
	[VM_EXIT_HYPERCALL] = on_hypercall,
	[VM_EXIT_IRQ_WINDOW] = on_irq_window,
};
