#include "hv/cluster/share.h"
#include "dsm/dsm.h"
#include "guest/layout.h"
#include "hv/base/fmt.h"
#include "hv/base/log.h"
#include "hv/base/string.h"
#include "hv/core/intr.h"
#include "hv/cluster/link.h"
#include "hv/core/memory.h"
#include "hv/x86/cpu.h"
#include "hv/x86/lapic.h"
#include "hv/x86/irq.h"
#include "hv/x86/pmem.h"
#include "hv/x86/tsc.h"

#define STRIPE_SHIFT 4  /* 64 KiB go to one home */
#define SLOTS_EACH   16 /* of the node that offers most */
#define SET_MAX      12
#define KEPT_MAX     8
#define CACHE_MIN    1024u    /* frames for other nodes' pages */
#define NODE_SPARE   MIB(8)   /* nested page tables */
#define CPU_SPARE    KIB(512) /* of each: control structures, copies of page tables */
#define GUESSES      4096
#define GUESS_FROM   2
#define AHEAD_MAX    16
#define AHEAD_FROM   2
#define AHEAD_SHIFT  4
#define HEAT_SETS    256
#define HEAT_SHOWN   8

/* Time for one instruction, entry and exit included; emulators of CPUs are slow. */
#define HOLD_NS      (50 * NS_PER_US)
#define HOLD_MAX_NS  (20 * NS_PER_MS)
#define HOLD_FETCHES 8

STATIC_ASSERT(LAYOUT_VGA_HOLE % (PAGE_SIZE << AHEAD_SHIFT) == 0, "pages asked for ahead end there");
STATIC_ASSERT(LAYOUT_DEVICE_HOLE % (PAGE_SIZE << AHEAD_SHIFT) == 0, "and there");

#define KICKS_MAX     512
/* QEMU's AMD-V can lose an interrupt that comes just when a CPU enters or leaves the guest. */
#define KICK_AGAIN_NS NS_PER_MS

/* The engine's agents: each local CPU as its guest's, and as the hypervisor's. */
enum { AGENT_GUEST, AGENT_HYPER, AGENTS_PER_CPU };

static struct {
	struct vm *vm;
	struct dsm *dsm;
	struct dsm_actions actions;
	hpa_t *frames; /* the engine's, 0: not backed yet */
	uint64_t frame_count;
	gfn_t kicked[KICKS_MAX]; /* DSM_EV_FLUSHED is owed for them */
	unsigned kick_count;
	/* Fault to resume as the vCPU sees it, by what was asked for. */
	struct hist wait_ns[2];
} share;

static struct vcpu *local_cpu(const struct vm *vm, unsigned i)
{
	return &share.vm->vcpus[vm->nodes.first_cpu + i];
}

static unsigned local_index(const struct vcpu *v)
{
	return v->index - v->vm->nodes.first_cpu;
}

/* --- Taking rights away --- */

static void wait_for_cpu(struct vm *vm, struct vcpu *v, uint64_t epoch)
{
	uint64_t due = 0;

	if (v->pcpu == pcpu_this() || !v->pcpu)
		return;
	while (atomic_load(&v->in_guest) && atomic_load(&v->epoch) < epoch) {
		if (rdtsc() >= due) {
			hostapic_ipi(v->pcpu->apic_id, IRQ_KICK);
			due = rdtsc() + ns_to_tsc(KICK_AGAIN_NS);
		}
		cpu_pause();
	}
}

void share_sync(struct vm *vm)
{
	uint64_t epoch = atomic_fetch_add(&vm->epoch, 1) + 1;

	for (unsigned i = 0; i < vm->nodes.local_cpus; i++)
		wait_for_cpu(vm, &vm->vcpus[vm->nodes.first_cpu + i], epoch);
}

static void wait_for_touch(struct vm *vm, gfn_t gfn)
{
	for (unsigned i = 0; i < vm->nodes.local_cpus; i++) {
		struct vcpu *v = local_cpu(vm, i);

		ASSERT(v->pcpu != pcpu_this() || atomic_load(&v->touching) != gfn);
		while (atomic_load(&v->touching) == gfn)
			cpu_pause();
	}
}

bool share_enter(struct vcpu *v)
{
	struct vm *vm = v->vm;
	uint64_t epoch = atomic_load(&vm->epoch);

	if (atomic_load_explicit(&v->epoch, memory_order_relaxed) != epoch) {
		vm->ops->npt_flush(vm->npt);
		vm->ops->tsc_offset_set(&v->virt, -vm->tsc_base);
		atomic_store(&v->epoch, epoch);
	}
	atomic_store(&v->in_guest, true);
	if (LIKELY(atomic_load(&vm->epoch) == epoch))
		return true;
	atomic_store(&v->in_guest, false);
	return false;
}

void share_leave(struct vcpu *v)
{
	atomic_store_explicit(&v->in_guest, false, memory_order_release);
}

/* --- Frames --- */

static hpa_t frame_at(uint64_t frame)
{
	ASSERT(frame < share.frame_count);
	if (!share.frames[frame]) {
		hpa_t page = pmem_alloc(0);

		if (page == PMEM_NONE) {
			/* Its part was weighed against what the node has when it was made. */
			vm_fail(share.vm,
				"this node has no RAM left for its part of the guest's memory; "
				"give the guest less memory (mem=) or the node more");
			return PMEM_NONE;
		}
		share.frames[frame] = page;
	}
	return share.frames[frame];
}

static void frame_zero(uint64_t frame)
{
	hpa_t page = frame_at(frame);

	if (page != PMEM_NONE)
		memset(pmem_virt(page), 0, PAGE_SIZE);
}

static void frame_fill(uint64_t frame, const void *content)
{
	hpa_t page = frame_at(frame);

	if (page != PMEM_NONE)
		memcpy(pmem_virt(page), content, PAGE_SIZE);
}

static void map(gfn_t gfn, uint64_t frame, enum dsm_perm perm)
{
	static const enum npt_perm rights[] = {NPT_NONE, NPT_RX, NPT_RWX};
	struct vm *vm = share.vm;
	hpa_t page = frame_at(frame);

	ASSERT(memory_is_ram(vm, gfn << PAGE_SHIFT));
	if (page != PMEM_NONE &&
	    vm->ops->npt_map(vm->npt, gfn << PAGE_SHIFT, page, 0, rights[perm]))
		vm_fail(vm, "this node has no RAM left for its nested page table; give the guest "
			    "less memory (mem=) or the node more");
}

/* --- The engine's actions --- */

static void send(const struct dsm_action *a)
{
	uint8_t body[DSM_WIRE_BYTES];

	dsm_msg_encode(&a->msg, body);
	if (a->msg.flags & DSM_F_PAGE)
		link_send_page(a->node, body, sizeof(body), a->msg.gfn,
			       pmem_virt(frame_at(a->frame)));
	else
		link_send_held(a->node, NODE_DSM, body, sizeof(body));
}

static void resume(uint16_t agent)
{
	struct vcpu *v = local_cpu(share.vm, agent / AGENTS_PER_CPU);

	atomic_store(&v->granted, true);
	link_awake(v);
}

static void carry_out(const struct dsm_action *a, const void *page)
{
	switch (a->kind) {
	case DSM_ACT_SEND:
		send(a);
		break;
	case DSM_ACT_FILL:
		frame_fill(a->frame, page);
		break;
	case DSM_ACT_ZERO:
		frame_zero(a->frame);
		break;
	case DSM_ACT_MAP:
		map(a->gfn, a->frame, a->perm);
		break;
	case DSM_ACT_KICK:
		ASSERT(share.kick_count < KICKS_MAX);
		map(a->gfn, a->frame, a->perm);
		share.kicked[share.kick_count++] = a->gfn;
		break;
	case DSM_ACT_RESUME:
		resume(a->agent);
		break;
	case DSM_ACT_STOP:
		vm_fail(share.vm, "%s", dsm_stop_reason(share.dsm));
		break;
	}
}

static void step_once(struct dsm_event *in, const void *page)
{
	in->now_ns = tsc_now_ns();

	int err = dsm_step(share.dsm, in, &share.actions);

	if (err && err != ERR_NOTFOUND && !dsm_stop_reason(share.dsm))
		vm_fail(share.vm, "the coherence engine refused event %u of page %#llx (%s)",
			in->kind, (unsigned long long)in->gfn, err_name(err));
	for (uint32_t i = 0; i < share.actions.count; i++)
		carry_out(&share.actions.list[i], page);
}

/* An event, and whatever flushing it leads to. */
static void step(struct dsm_event in, const void *page)
{
	step_once(&in, page);
	while (share.kick_count) {
		gfn_t gfns[KICKS_MAX];
		unsigned count = share.kick_count;

		memcpy(gfns, share.kicked, count * sizeof(gfns[0]));
		share.kick_count = 0;
		share_sync(share.vm);
		for (unsigned i = 0; i < count; i++)
			wait_for_touch(share.vm, gfns[i]);
		for (unsigned i = 0; i < count; i++)
			step_once(&(struct dsm_event){.kind = DSM_EV_FLUSHED, .gfn = gfns[i]},
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
	step(in, (const uint8_t *)body + DSM_WIRE_BYTES);
}

void share_tick(uint64_t now_ns)
{
	if (share.dsm && dsm_deadline(share.dsm) <= now_ns)
		step((struct dsm_event){.kind = DSM_EV_TICK}, NULL);
}

uint64_t share_deadline(void)
{
	return share.dsm ? dsm_deadline(share.dsm) : UINT64_MAX;
}

void share_lost(struct vm *vm)
{
	if (share.dsm)
		step((struct dsm_event){.kind = DSM_EV_PEER_LOST}, NULL);
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
		.agent = (uint16_t)(local_index(v) * AGENTS_PER_CPU + agent),
		.gfn = gfn,
		.cookie = cookie,
	};
	uint64_t began = rdtsc();

	atomic_store_explicit(&v->granted, false, memory_order_relaxed);
	link_lock();
	step(in, NULL);
	link_unlock();
	/* Any other end is followed on all nodes, which serve pages until then. */
	if (!link_await(v, granted, true))
		return false;
	hist_add(&v->fault_ns[write], tsc_to_ns(rdtsc() - began));
	return true;
}

/*
 * The same instruction tried again, as far as can be told cheaply: string instructions repeat at one
 * address with their count in RCX. A wrong guess costs a hold its length, nothing else.
 */
static uint64_t instruction(const struct vcpu *v, uint64_t rip)
{
	return rip << 20 ^ v->virt.gpr[GPR_RCX];
}

void share_fault(struct vcpu *v, gpa_t gpa, bool write)
{
	v->fault_rip = v->vm->ops->reg_get(&v->virt, REG_RIP);
	v->holds = true;
	obtain(v, AGENT_GUEST, gpa >> PAGE_SHIFT, write, instruction(v, v->fault_rip));
}

static void release(struct vcpu *v, unsigned agent)
{
	link_lock();
	step((struct dsm_event){.kind = DSM_EV_RELEASE,
				.agent = (uint16_t)(local_index(v) * AGENTS_PER_CPU + agent)},
	     NULL);
	link_unlock();
}

void share_retired(struct vcpu *v)
{
	v->holds = false;
	release(v, AGENT_GUEST);
}

void *share_acquire(struct vm *vm, gpa_t gpa, bool write)
{
	struct vcpu *v = pcpu_this()->vcpu;
	gfn_t gfn = gpa >> PAGE_SHIFT;
	enum npt_perm needed = write ? NPT_WRITE : NPT_READ;
	hpa_t page;

	/* One page at a time: a CPU that waits must touch nothing. */
	ASSERT(atomic_load(&v->touching) == NO_GFN);
	v->accesses++;
	for (;;) {
		atomic_store(&v->touching, gfn);
		if (vm->ops->npt_query(vm->npt, gpa & PAGE_MASK, &page) & needed)
			return (uint8_t *)pmem_virt(page) + (gpa & ~PAGE_MASK);
		atomic_store(&v->touching, NO_GFN);
		v->hyper_holds = true;
		if (!obtain(v, AGENT_HYPER, gfn, write, v->accesses))
			return NULL;
	}
}

void share_release(void)
{
	struct vcpu *v = pcpu_this()->vcpu;

	atomic_store_explicit(&v->touching, NO_GFN, memory_order_release);
	if (!v->hyper_holds)
		return;
	v->hyper_holds = false;
	release(v, AGENT_HYPER);
}

/* --- Making it --- */

/* Homes in proportion to what the nodes offer: each stands in the table up to SLOTS_EACH times. */
static uint32_t make_slots(const struct vm *vm, const uint64_t *offers, uint16_t *slots)
{
	uint64_t most = 1;
	uint32_t count = 0;

	for (unsigned i = 0; i < vm->nodes.count; i++)
		most = MAX(most, offers[i]);
	for (unsigned turn = 0; turn < SLOTS_EACH; turn++)
		for (unsigned i = 0; i < vm->nodes.count; i++)
			if (turn == 0 || offers[i] * SLOTS_EACH / most > turn)
				slots[count++] = (uint16_t)i;
	return count;
}

static void *take(size_t bytes)
{
	unsigned order = pmem_order(bytes);
	hpa_t mem = order <= PMEM_MAX_ORDER ? pmem_alloc_zeroed(order) : PMEM_NONE;

	return mem == PMEM_NONE ? NULL : pmem_virt(mem);
}

static int too_little(const struct vm *vm, uint64_t needed, uint64_t free, struct why *why)
{
	return why_set(why, ERR_NOMEM,
		       "too little RAM: the guest is to have %llu MiB, of which this node has to "
		       "give %llu, and it has %llu MiB free; ask for less (mem=) or add RAM",
		       (unsigned long long)(vm->ram_bytes >> 20),
		       (unsigned long long)(needed >> 20), (unsigned long long)(free >> 20));
}

static uint64_t homed_pages(const struct dsm_config *c)
{
	uint64_t stripes = (c->gfns >> c->stripe_shift) + 1;
	uint32_t own = 0;

	for (uint32_t i = 0; i < c->slot_count; i++)
		own += c->slots[i] == c->self;
	return (stripes / c->slot_count + 1) * own << c->stripe_shift;
}

/* As many frames for other nodes' pages as there is RAM for, at most one for each of those. */
static int size_cache(const struct vm *vm, struct dsm_config *c, struct why *why)
{
	/* What a page of the cache costs besides its frame, and a page that is homed here. */
	const uint64_t cached = PAGE_SIZE + 192, homed = PAGE_SIZE + 40;
	uint64_t free = pmem_free_bytes(), own = homed_pages(c);
	uint64_t ram_own = MIN(own, (vm->ram_bytes >> PAGE_SHIFT));
	uint64_t needed = ram_own * homed + (own - ram_own) * 40 + NODE_SPARE +
			  vm->nodes.local_cpus * CPU_SPARE;
	uint64_t cache;

	if (free < needed + CACHE_MIN * cached)
		return too_little(vm, needed + CACHE_MIN * cached, free, why);
	cache = MIN((free - needed) / cached, c->gfns);
	c->cache_frames = (uint32_t)MAX(cache, (uint64_t)CACHE_MIN);
	c->cache_reserve = MIN(c->cache_frames / 16, 64u);
	return 0;
}

int share_init(struct vm *vm, const uint64_t *offers, struct why *why)
{
	static uint16_t slots[SLOTS_EACH * VM_MAX_NODES];
	struct dsm_config c = {
		.nodes = (uint16_t)vm->nodes.count,
		.self = (uint16_t)vm->nodes.self,
		.agents = (uint16_t)(vm->nodes.local_cpus * AGENTS_PER_CPU),
		.peer_agents = (uint16_t)(vm->nodes.most_cpus * AGENTS_PER_CPU),
		.set_max = SET_MAX,
		.kept_max = KEPT_MAX,
		.gfns = layout_ram_end(vm->ram_bytes) >> PAGE_SHIFT,
		.stripe_shift = STRIPE_SHIFT,
		.slot_count = make_slots(vm, offers, slots),
		.slots = slots,
		.hold_ns = HOLD_NS,
		.hold_max_ns = HOLD_MAX_NS,
		.hold_fetches = HOLD_FETCHES,
		.guesses = GUESSES,
		.guess_from = GUESS_FROM,
		.ahead_max = AHEAD_MAX,
		.ahead_from = AHEAD_FROM,
		.ahead_shift = AHEAD_SHIFT,
		.heat_sets = HEAT_SETS,
	};
	size_t size;
	void *mem;

	if (size_cache(vm, &c, why))
		return ERR_NOMEM;
	size = dsm_size(&c, why);
	if (!size)
		return ERR_INVALID;
	mem = take(size);
	share.actions.room = dsm_actions_max(&c);
	share.actions.list = take(share.actions.room * sizeof(struct dsm_action));
	if (!mem || !share.actions.list)
		return too_little(vm, size, pmem_free_bytes(), why);
	share.vm = vm;
	share.dsm = dsm_init(mem, &c);
	share.frame_count = dsm_home_frames(share.dsm) + c.cache_frames;
	share.frames = take(share.frame_count * sizeof(hpa_t));
	if (!share.frames)
		return too_little(vm, share.frame_count * sizeof(hpa_t), pmem_free_bytes(), why);
	log_info(LOG_DSM, "home to %llu of %llu MiB, and room for %llu MiB of other nodes' pages",
		 (unsigned long long)(dsm_home_frames(share.dsm) >> 8),
		 (unsigned long long)(c.gfns >> 8), (unsigned long long)(c.cache_frames >> 8));
	return 0;
}

/* --- Counters --- */

uint64_t share_backed(void)
{
	uint64_t pages = 0;

	for (uint64_t i = 0; i < share.frame_count; i++)
		pages += share.frames[i] != 0;
	return pages << PAGE_SHIFT;
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

void share_report(struct report *r)
{
	const struct dsm_stats *s = dsm_stats(share.dsm);
	struct dsm_heat hot[HEAT_SHOWN];
	uint32_t count = dsm_heat(share.dsm, hot, HEAT_SHOWN);

	report_line(
		r, LOG_DSM,
		"faults: %llu read, %llu write, %llu execute; %llu answered here, %llu upgrades, "
		"%llu zero pages; %llu pages sent, %llu kicks, %llu deferred, %llu holds expired, "
		"%llu restarts, evicted %llu clean %llu dirty; %llu reads asked to write, %llu in "
		"vain; %llu pages asked for ahead",
		(unsigned long long)s->faults[DSM_READ], (unsigned long long)s->faults[DSM_WRITE],
		(unsigned long long)s->faults[DSM_EXECUTE], (unsigned long long)s->faults_local,
		(unsigned long long)s->upgrades, (unsigned long long)s->zero_fills,
		(unsigned long long)s->pages_sent, (unsigned long long)s->kicks,
		(unsigned long long)s->deferred, (unsigned long long)s->holds_expired,
		(unsigned long long)s->restarts, (unsigned long long)s->evict_clean,
		(unsigned long long)s->evict_dirty, (unsigned long long)s->guesses,
		(unsigned long long)s->guesses_wrong, (unsigned long long)s->aheads);
	for (unsigned i = 0; i < share.vm->nodes.local_cpus; i++)
		report_waits(r, local_cpu(share.vm, i));
	for (uint32_t i = 0; i < count; i++)
		report_line(r, LOG_DSM, "hot page: gfn %#llx, asked for %llu times",
			    (unsigned long long)hot[i].gfn, (unsigned long long)hot[i].requests);
}
