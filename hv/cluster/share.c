#include "hv/cluster/share.h"
#include "guest/layout.h"
#include "hv/base/fmt.h"
#include "hv/base/log.h"
#include "hv/base/string.h"
#include "hv/cluster/mutant.h"
#include "hv/core/arch.h"
#include "hv/core/memory.h"
#include "hv/x86/pmem.h"
#include "hv/x86/tsc.h"

#define HEAT_SHOWN 8

/* QEMU's AMD-V can lose an interrupt that comes just when a CPU enters or leaves the guest. */
#define KICK_AGAIN_NS NS_PER_MS

enum { AGENT_GUEST, AGENT_HYPER, AGENTS_PER_CPU };
STATIC_ASSERT((int)AGENTS_PER_CPU == SHARE_AGENTS, "as parts.h counts them");

/* A CPU's: a vCPU keeps its CPU while it waits for a page, and gives its pages back before another runs. */
static uint16_t agent_of(const struct vm_cpu *c, unsigned kind)
{
	return (uint16_t)(c->index * AGENTS_PER_CPU + kind);
}

/* --- Taking rights away --- */

static void wait_for_cpu(struct vm_cpu *c, uint64_t epoch)
{
	uint64_t due = 0;

	if (c == arch_cpu() || GLUE_MUTANT(GLUE_NO_WAIT_FOR_GUEST))
		return;
	while (atomic_load(&c->in_guest) && atomic_load(&c->epoch) < epoch) {
		if (arch_tsc() >= due) {
			arch_kick(c);
			due = arch_tsc() + ns_to_tsc(KICK_AGAIN_NS);
		}
		plat_relax();
	}
}

void share_sync(struct vm *vm)
{
	uint64_t epoch = atomic_fetch_add(&vm->epoch, !GLUE_MUTANT(GLUE_EPOCH_STAYS)) + 1;

	for (unsigned i = 0; i < vm->host_cpus; i++)
		wait_for_cpu(&vm->cpus[i], epoch);
}

static void wait_for_touch(struct vm *vm, gfn_t gfn)
{
	for (unsigned i = 0; i < vm->host_cpus && !GLUE_MUTANT(GLUE_NO_WAIT_FOR_TOUCH); i++) {
		struct vm_cpu *c = &vm->cpus[i];

		ASSERT(c != arch_cpu() || atomic_load(&c->touching) != gfn);
		while (atomic_load(&c->touching) == gfn)
			plat_relax();
	}
}

static bool enter(struct vcpu *v)
{
	struct vm *vm = v->vm;
	struct vm_cpu *c = v->cpu;
	uint64_t epoch = atomic_load(&vm->epoch);

	if (atomic_load_explicit(&c->epoch, memory_order_relaxed) != epoch) {
		if (!GLUE_MUTANT(GLUE_NO_FLUSH))
			vm->ops->npt_flush(vm->npt);
		vm->ops->tsc_offset_set(&v->virt, -vm->tsc_base);
		atomic_store(&c->epoch, epoch);
	}
	atomic_store(&c->in_guest, true);
	if (LIKELY(atomic_load(&vm->epoch) == epoch) || GLUE_MUTANT(GLUE_NO_SECOND_LOOK))
		return true;
	atomic_store(&c->in_guest, false);
	return false;
}

/* --- Frames --- */

static hpa_t frame_page(struct share *s)
{
	hpa_t page = s->dropped;

	if (page) {
		memcpy(&s->dropped, pmem_virt(page), sizeof(s->dropped));
		return page;
	}
	page = pmem_alloc(0);
	s->taken += page != PMEM_NONE;
	return page;
}

static hpa_t frame_at(struct share *s, uint64_t frame)
{
	ASSERT(frame < s->frame_count);
	if (!s->frames[frame]) {
		hpa_t page = frame_page(s);

		if (page == PMEM_NONE) {
			/* Its part was weighed against what the node has when it was made. */
			vm_fail(s->vm,
				"this node has no RAM left for its part of the guest's memory; "
				"give the guest less memory (mem=) or the node more");
			return PMEM_NONE;
		}
		s->frames[frame] = page;
		s->backed++;
	}
	return s->frames[frame];
}

/* The engine never has more than `most` in use: what one frame gives up is there for the next. */
static void frame_drop(struct share *s, uint64_t frame)
{
	hpa_t page = s->frames[frame];

	if (!page)
		return;
	if (!GLUE_MUTANT(GLUE_DROP_FORGOTTEN)) {
		memcpy(pmem_virt(page), &s->dropped, sizeof(s->dropped));
		s->dropped = page;
	}
	if (!GLUE_MUTANT(GLUE_DROP_SHARED))
		s->frames[frame] = 0;
	s->backed--;
}

static void frame_zero(struct share *s, uint64_t frame)
{
	hpa_t page = frame_at(s, frame);

	if (page != PMEM_NONE)
		memset(pmem_virt(page), 0, PAGE_SIZE);
}

static void frame_fill(struct share *s, uint64_t frame, const void *content)
{
	hpa_t page = frame_at(s, frame);

	if (page != PMEM_NONE)
		memcpy(pmem_virt(page), content, PAGE_SIZE);
}

static void map(struct share *s, gfn_t gfn, uint64_t frame, enum dsm_perm perm)
{
	static const enum npt_perm rights[] = {NPT_NONE, NPT_RX, NPT_RWX};
	struct vm *vm = s->vm;
	hpa_t page = frame_at(s, frame);

	ASSERT(memory_is_ram(vm, gfn << PAGE_SHIFT));
	if (GLUE_MUTANT(GLUE_READ_IS_WRITE) && perm == DSM_PERM_READ)
		perm = DSM_PERM_WRITE;
	if (page != PMEM_NONE &&
	    vm->ops->npt_map(vm->npt, gfn << PAGE_SHIFT, page, 0, rights[perm]))
		vm_fail(vm, "this node has no RAM left for its nested page table; "
			    "give the guest less memory (mem=) or the node more");
}

/* --- The engine's actions --- */

static void send(struct share *s, const struct dsm_action *a)
{
	uint8_t body[DSM_WIRE_BYTES];

	dsm_msg_encode(&a->msg, body);
	if (a->msg.flags & DSM_F_PAGE)
		link_send_page(s->vm->link, a->node, body, sizeof(body), a->msg.gfn,
			       pmem_virt(frame_at(s, a->frame)));
	else
		link_send_held(s->vm->link, a->node, NODE_DSM, body, sizeof(body));
}

static void resume(struct share *s, uint16_t agent)
{
	struct vcpu *v = s->vm->cpus[agent / AGENTS_PER_CPU].current;

	atomic_store(&v->granted, true);
	link_awake(v);
}

/* How many there are in one step follows from what nodes ask for: too many end the machine, not the node. */
static void kick(struct share *s, const struct dsm_action *a)
{
	if (s->kick_count == SHARE_KICKS_MAX) {
		vm_fail(s->vm, "more than %u pages are to be taken from this node's CPUs at once",
			SHARE_KICKS_MAX);
		return;
	}
	map(s, a->gfn, a->frame, a->perm);
	s->kicked[s->kick_count++] = a->gfn;
}

static void carry_out(struct share *s, const struct dsm_action *a, const void *page)
{
	switch (a->kind) {
	case DSM_ACT_SEND:
		send(s, a);
		break;
	case DSM_ACT_FILL:
		frame_fill(s, a->frame, page);
		break;
	case DSM_ACT_ZERO:
		frame_zero(s, a->frame);
		break;
	case DSM_ACT_DROP:
		frame_drop(s, a->frame);
		break;
	case DSM_ACT_MAP:
		map(s, a->gfn, a->frame, a->perm);
		break;
	case DSM_ACT_KICK:
		kick(s, a);
		break;
	case DSM_ACT_RESUME:
		resume(s, a->agent);
		break;
	case DSM_ACT_STOP:
		vm_fail(s->vm, "%s", dsm_stop_reason(s->dsm));
		break;
	}
}

static void step_once(struct share *s, struct dsm_event *in, const void *page)
{
	in->now_ns = tsc_now_ns();

	int err = dsm_step(s->dsm, in, &s->actions);

	if (err && err != ERR_NOTFOUND && !dsm_stop_reason(s->dsm))
		vm_fail(s->vm, "the coherence engine refused event %u of page %#llx (%s)", in->kind,
			(unsigned long long)in->gfn, err_name(err));
	for (uint32_t i = 0; i < s->actions.count; i++)
		carry_out(s, &s->actions.list[i], page);
}

/* An event, and whatever flushing it leads to. */
static void step(struct share *s, struct dsm_event in, const void *page)
{
	step_once(s, &in, page);
	while (s->kick_count) {
		gfn_t gfns[SHARE_KICKS_MAX];
		unsigned count = s->kick_count;

		memcpy(gfns, s->kicked, count * sizeof(gfns[0]));
		s->kick_count = 0;
		if (!GLUE_MUTANT(GLUE_FLUSHED_EARLY))
			share_sync(s->vm);
		for (unsigned i = 0; i < count; i++)
			wait_for_touch(s->vm, gfns[i]);
		for (unsigned i = 0; i < count; i++)
			step_once(s, &(struct dsm_event){.kind = DSM_EV_FLUSHED, .gfn = gfns[i]},
				  NULL);
	}
}

void share_message(struct vm *vm, unsigned from, const void *body, size_t len)
{
	struct dsm_event in = {.kind = DSM_EV_MESSAGE, .peer = (uint16_t)from};

	if (dsm_msg_decode(&in.msg, body, len)) {
		vm_fail(vm, "node %u sent a message about guest memory that means nothing here",
			from);
		return;
	}
	in.gfn = in.msg.gfn;
	step(vm->share, in, (const uint8_t *)body + DSM_WIRE_BYTES);
}

static bool ready(const struct vm *vm)
{
	return vm->share && vm->share->dsm;
}

void share_tick(struct vm *vm, uint64_t now_ns)
{
	if (ready(vm) && dsm_deadline(vm->share->dsm) <= now_ns)
		step(vm->share, (struct dsm_event){.kind = DSM_EV_TICK}, NULL);
}

uint64_t share_deadline(struct vm *vm)
{
	return ready(vm) ? dsm_deadline(vm->share->dsm) : UINT64_MAX;
}

void share_lost(struct vm *vm)
{
	if (ready(vm))
		step(vm->share, (struct dsm_event){.kind = DSM_EV_PEER_LOST}, NULL);
}

/* --- Faults --- */

static bool granted(const struct vcpu *v)
{
	return atomic_load(&v->granted);
}

/* Asks for the page and waits; false when the machine stops first. Never with the lock held. */
static bool obtain(struct vcpu *v, unsigned agent, gfn_t gfn, bool write, uint64_t cookie)
{
	struct dsm_event in = {
		.kind = DSM_EV_FAULT,
		.access = write ? DSM_WRITE : DSM_READ,
		.agent = agent_of(v->cpu, agent),
		.gfn = gfn,
		.cookie = cookie,
	};
	struct vm *vm = v->vm;
	uint64_t began = arch_tsc();

	atomic_store_explicit(&v->granted, false, memory_order_relaxed);
	link_lock(vm->link);
	step(vm->share, in, NULL);
	link_unlock(vm->link);
	/* Any other end is followed on all nodes, which serve pages until then. */
	if (!link_await(vm->link, v, granted, true))
		return false;
	hist_add(&v->fault_ns[write], tsc_to_ns(arch_tsc() - began));
	return true;
}

/*
 * The same instruction tried again, as far as can be told cheaply: string instructions repeat at one
 * address with their count in RCX. A wrong guess costs a hold its length, nothing else.
 */
static uint64_t instruction(const struct vcpu *v, uint64_t rip)
{
	return rip << 20 ^ v->virt.gpr[GPR_RCX] ^ (uint64_t)v->index << 56;
}

static void fault(struct vcpu *v, gpa_t gpa, bool write)
{
	v->fault_rip = v->vm->ops->reg_get(&v->virt, REG_RIP);
	v->holds = true;
	obtain(v, AGENT_GUEST, gpa >> PAGE_SHIFT, write, instruction(v, v->fault_rip));
}

static void let_go(struct vcpu *v, unsigned agent)
{
	struct vm *vm = v->vm;

	link_lock(vm->link);
	step(vm->share,
	     (struct dsm_event){.kind = DSM_EV_RELEASE, .agent = agent_of(v->cpu, agent)}, NULL);
	link_unlock(vm->link);
}

static void rest(struct vcpu *v)
{
	if (!v->holds)
		return;
	v->holds = false;
	let_go(v, AGENT_GUEST);
}

/* A vCPU that goes to sleep, or waits in a loop, needs its pages no more; one that runs keeps them. */
static void leave(struct vcpu *v, const struct vm_exit *exit)
{
	atomic_store_explicit(&v->cpu->in_guest, false, memory_order_release);
	if (v->holds && (exit->kind == VM_EXIT_HLT || exit->kind == VM_EXIT_PAUSE))
		rest(v);
}

static void *acquire(struct vm *vm, gpa_t gpa, bool write)
{
	struct vm_cpu *c = arch_cpu();
	struct vcpu *v = c->current;
	gfn_t gfn = gpa >> PAGE_SHIFT;
	enum npt_perm needed = write ? NPT_WRITE : NPT_READ;
	hpa_t page;

	/* One page at a time: a CPU that waits must touch nothing. */
	ASSERT(atomic_load(&c->touching) == NO_GFN);
	v->accesses++;
	for (;;) {
		if (!GLUE_MUTANT(GLUE_TOUCH_UNMARKED))
			atomic_store(&c->touching, gfn);
		if (vm->ops->npt_query(vm->npt, gpa & PAGE_MASK, &page) & needed)
			return (uint8_t *)pmem_virt(page) + (gpa & ~PAGE_MASK);
		atomic_store(&c->touching, NO_GFN);
		v->hyper_holds = true;
		if (!obtain(v, AGENT_HYPER, gfn, write, v->accesses))
			return NULL;
	}
}

/* As acquire() where it finds the page. What the engine takes away from here on waits for the release. */
static void *acquire_here(struct vm *vm, gpa_t gpa)
{
	struct vm_cpu *c = arch_cpu();
	hpa_t page;

	ASSERT(atomic_load(&c->touching) == NO_GFN);
	atomic_store(&c->touching, gpa >> PAGE_SHIFT);
	if (vm->ops->npt_query(vm->npt, gpa & PAGE_MASK, &page) & NPT_WRITE)
		return (uint8_t *)pmem_virt(page) + (gpa & ~PAGE_MASK);
	atomic_store(&c->touching, NO_GFN);
	return NULL;
}

static void release(struct vm *vm)
{
	struct vm_cpu *c = arch_cpu();
	struct vcpu *v = c->current;

	ASSERT(atomic_load_explicit(&c->touching, memory_order_relaxed) != NO_GFN);
	if (!GLUE_MUTANT(GLUE_RELEASE_FORGETS))
		atomic_store_explicit(&c->touching, NO_GFN, memory_order_release);
	if (!v->hyper_holds)
		return;
	v->hyper_holds = false;
	let_go(v, AGENT_HYPER);
}

/* --- Making it --- */

static void *take(size_t bytes)
{
	hpa_t mem = pmem_take(bytes);

	return mem == PMEM_NONE ? NULL : pmem_virt(mem);
}

static int too_little(const struct vm *vm, uint64_t needed, uint64_t free, struct why *why)
{
	return why_set(why, ERR_NOMEM,
		       "too little RAM: of a guest with %llu MiB this node has to give %llu MiB, "
		       "tables included, and it has %llu MiB free; ask for less (mem=) or add RAM",
		       (unsigned long long)(vm->ram_bytes >> 20),
		       (unsigned long long)(needed >> 20) + 1, (unsigned long long)(free >> 20));
}

static void tell_sizes(const struct vm *vm, const struct parts *p, const struct dsm_config *c)
{
	uint64_t homed = parts_homed(c, vm->ram_bytes) << PAGE_SHIFT;
	uint64_t all = c->frames << PAGE_SHIFT, cache = (uint64_t)c->cache_frames << PAGE_SHIFT;

	log_info(LOG_DSM,
		 "home to %llu of %llu MiB; room for %llu MiB of other nodes' pages, "
		 "for %llu MiB once all of that is in use",
		 (unsigned long long)(homed >> 20), (unsigned long long)(vm->ram_bytes >> 20),
		 (unsigned long long)(MIN(cache, all) >> 20),
		 (unsigned long long)((all - homed) >> 20));
	if (all - homed < p->node[c->self].ram / 4 && cache > all - homed)
		log_info(
			LOG_DSM,
			"once the guest uses all its memory this node has less than a quarter of its "
			"RAM for copies, and programs that need more wait for other nodes often; "
			"a guest with less memory (mem=) leaves more");
}

int share_init(struct share *s, struct vm *vm, const struct parts *parts, struct why *why)
{
	uint16_t slots[PARTS_SLOTS];
	uint64_t free = pmem_free_bytes(), needed;
	struct dsm_config c;
	size_t size;
	void *mem;

	parts_config(parts, vm->nodes.self, vm->ram_bytes, slots, &c);
	needed = parts_memory(parts, &c, vm->ram_bytes);
	if (free < needed)
		return too_little(vm, needed, free, why);
	parts_cache(parts, &c, vm->ram_bytes, free);
	size = dsm_size(&c, why);
	if (!size)
		return ERR_INVALID;
	mem = take(size);
	s->actions.room = dsm_actions_max(&c);
	s->actions.list = take(s->actions.room * sizeof(struct dsm_action));
	if (!mem || !s->actions.list)
		return too_little(vm, size, pmem_free_bytes(), why);
	s->vm = vm;
	s->dsm = dsm_init(mem, &c);
	s->frame_count = dsm_home_frames(s->dsm) + c.cache_frames;
	s->frames = take(s->frame_count * sizeof(hpa_t));
	if (!s->frames)
		return too_little(vm, s->frame_count * sizeof(hpa_t), pmem_free_bytes(), why);
	s->most = c.frames;
	tell_sizes(vm, parts, &c);
	return 0;
}

/* --- Counters --- */

static uint64_t backed(const struct vm *vm)
{
	return vm->share->backed << PAGE_SHIFT;
}

/* "<16 3, <32 41, ...": how many took less than so many us, and not less than the number before. */
static void describe_hist(const struct hist *h, char *buf, size_t size)
{
	size_t n = 0;

	buf[0] = 0;
	for (unsigned b = 0; b < HIST_BUCKETS && n < size; b++)
		if (h->bucket[b])
			n += fmt_print(buf + n, size - n, "%s<%llu %llu", n ? ", " : "",
				       (unsigned long long)(BIT(b) / 1000 + 1),
				       (unsigned long long)h->bucket[b]);
}

static void report_waits(struct report *r, const struct vcpu *v)
{
	static const char *const names[] = {"read", "write"};

	for (unsigned i = 0; i < ARRAY_LEN(v->fault_ns); i++) {
		char text[320];

		report_line(r, LOG_DSM, "vCPU %u %s faults: %llu, p50 %llu p99 %llu us", v->index,
			    names[i], (unsigned long long)v->fault_ns[i].count,
			    (unsigned long long)hist_quantile(&v->fault_ns[i], 500) / 1000,
			    (unsigned long long)hist_quantile(&v->fault_ns[i], 990) / 1000);
		describe_hist(&v->fault_ns[i], text, sizeof(text));
		report_line(r, LOG_DSM, "vCPU %u %s faults by time in us: %s", v->index, names[i],
			    text);
	}
}

static void share_report(struct vm *vm, struct report *r)
{
	struct share *share = vm->share;
	const struct dsm_stats *s = dsm_stats(share->dsm);
	struct dsm_heat hot[HEAT_SHOWN];
	uint32_t count = dsm_heat(share->dsm, hot, HEAT_SHOWN);

	report_line(r, LOG_DSM,
		    "faults: %llu read, %llu write, %llu execute; %llu answered here, "
		    "%llu upgrades, %llu zero pages; %llu pages sent, %llu kicks, %llu deferred "
		    "for %llu us, %llu holds expired, %llu restarts, evicted %llu clean %llu "
		    "dirty, %llu writes waited for a frame; %llu reads asked to write, "
		    "%llu in vain; %llu pages asked for ahead",
		    (unsigned long long)s->faults[DSM_READ],
		    (unsigned long long)s->faults[DSM_WRITE],
		    (unsigned long long)s->faults[DSM_EXECUTE], (unsigned long long)s->faults_local,
		    (unsigned long long)s->upgrades, (unsigned long long)s->zero_fills,
		    (unsigned long long)s->pages_sent, (unsigned long long)s->kicks,
		    (unsigned long long)s->deferred, (unsigned long long)s->waited_ns / 1000,
		    (unsigned long long)s->holds_expired, (unsigned long long)s->restarts,
		    (unsigned long long)s->evict_clean, (unsigned long long)s->evict_dirty,
		    (unsigned long long)s->home_waits, (unsigned long long)s->guesses,
		    (unsigned long long)s->guesses_wrong, (unsigned long long)s->aheads);
	for (unsigned i = 0; i < vm->cpu_count; i++)
		if (vm_is_local(vm, i))
			report_waits(r, &vm->vcpus[i]);
	for (uint32_t i = 0; i < count; i++)
		report_line(r, LOG_DSM, "hot page: gfn %#llx, asked for %llu times",
			    (unsigned long long)hot[i].gfn, (unsigned long long)hot[i].requests);
}

const struct vm_ram share_ram = {
	.acquire = acquire,
	.acquire_here = acquire_here,
	.release = release,
	.fault = fault,
	.enter = enter,
	.leave = leave,
	.rest = rest,
	.backed = backed,
	.report = share_report,
};
