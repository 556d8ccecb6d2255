/*
 * What another node may send, past the transport: every handler of hv/cluster, with pages in any form, to a
 * machine that is at any point of its life and whose vCPUs wait for answers. Nothing that comes may touch
 * memory it should not; the worst it may do is end the machine with a sentence.
 *
 * The first byte makes the machine; then records: a byte that says what happens, and what belongs to it.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guest/layout.h"
#include "hv/cluster/client.h"
#include "hv/cluster/remote.h"
#include "hv/cluster/share.h"
#include "hv/core/arch.h"
#include "hv/core/intr.h"
#include "hv/core/memory.h"
#include "hv/x86/pmem.h"
#include "hv/x86/tsc.h"

#define NODES     3u
#define CPUS_EACH 2u
#define GUEST     MIB(2)
#define POOL      MIB(16)
#define BLOCK     4096u

static struct vm vm;
static struct link link_;
static struct share share;
static struct remote remote;
static struct vcpu *running;
static uint64_t now;

static const struct share_config sizes = {
	.set_max = 4,
	.kept_max = 4,
	.ahead_max = 4,
	.cache_min = 64,
	.cache_max = 64,
	.reserve_max = 8,
	.hold_ns = 1000,
};

/* --- Below: RAM, clock, CPU, nested page table, network --- */

static uint8_t *pool;
static size_t pool_used;

static hpa_t get(size_t bytes)
{
	uint8_t *at = pool + pool_used;

	bytes = align_up(bytes ? bytes : 1, PAGE_SIZE);
	if (bytes > POOL - pool_used)
		return PMEM_NONE;
	pool_used += bytes;
	memset(at, 0, bytes);
	return (hpa_t)(uintptr_t)at - PAGING_DIRECT_MAP;
}

hpa_t pmem_alloc(unsigned order)
{
	return get((size_t)PAGE_SIZE << order);
}

hpa_t pmem_alloc_zeroed(unsigned order)
{
	return pmem_alloc(order);
}

hpa_t pmem_take(size_t bytes)
{
	return get(bytes);
}

void pmem_free(hpa_t base, unsigned order)
{
}

uint64_t pmem_free_bytes(void)
{
	return POOL - pool_used;
}

uint64_t tsc_hz(void)
{
	return 1000000000;
}

uint64_t tsc_to_ns(uint64_t ticks)
{
	return ticks;
}

uint64_t ns_to_tsc(uint64_t ns)
{
	return ns;
}

uint64_t tsc_now_ns(void)
{
	return now;
}

uint64_t arch_tsc(void)
{
	return now += 100;
}

struct vm_cpu *arch_cpu(void)
{
	return running->cpu;
}

void arch_kick(const struct vm_cpu *c)
{
}

void arch_timer_arm(uint64_t tsc)
{
}

void arch_idle(void)
{
}

static struct {
	hpa_t hpa;
	enum npt_perm perm;
} mapped[(GUEST >> PAGE_SHIFT) + 1];

static int npt_map(struct npt *npt, gpa_t gpa, hpa_t hpa, unsigned order, enum npt_perm perm)
{
	if (gpa >= GUEST)
		abort();
	mapped[gpa >> PAGE_SHIFT].hpa = hpa;
	mapped[gpa >> PAGE_SHIFT].perm = perm;
	return 0;
}

static enum npt_perm npt_query(struct npt *npt, gpa_t gpa, hpa_t *hpa)
{
	*hpa = mapped[gpa >> PAGE_SHIFT].hpa;
	return mapped[gpa >> PAGE_SHIFT].perm;
}

static void npt_flush(struct npt *npt)
{
}

static void tsc_offset_set(struct virt_vcpu *v, uint64_t offset)
{
}

static uint64_t reg_get(struct virt_vcpu *v, enum virt_reg reg)
{
	return now / 4096;
}

static const struct virt_ops ops = {
	.npt_map = npt_map,
	.npt_query = npt_query,
	.npt_flush = npt_flush,
	.tsc_offset_set = tsc_offset_set,
	.reg_get = reg_get,
};

struct uplink {
	void (*fn)(void *ctx, const struct xport_event *event);
	void *ctx;
	struct cluster cluster;
	bool busy;
};

static struct uplink uplink;

void uplink_receive(struct uplink *u, void (*fn)(void *ctx, const struct xport_event *event),
		    void *ctx)
{
	u->fn = fn;
	u->ctx = ctx;
}

int uplink_send(struct uplink *u, unsigned node, enum wire_channel channel,
		const struct xport_part *parts, unsigned count)
{
	if (node >= NODES || node == vm.nodes.self)
		abort();
	return u->busy ? ERR_BUSY : 0;
}

void uplink_flush(struct uplink *u)
{
}

void uplink_poll(struct uplink *u)
{
}

uint64_t uplink_deadline(struct uplink *u, uint64_t now_ns)
{
	return UINT64_MAX;
}

bool uplink_wakes(const struct uplink *u)
{
	return true;
}

uint16_t uplink_mtu(const struct uplink *u)
{
	return 1500;
}

const char *uplink_ended(const struct uplink *u)
{
	return NULL;
}

bool uplink_up(const struct uplink *u, unsigned *self, unsigned *head)
{
	return true;
}

const struct cluster *uplink_cluster(const struct uplink *u)
{
	return &u->cluster;
}

bool uplink_send_frame(struct uplink *u, const void *frame, size_t len)
{
	return true;
}

/* --- Beside: devices and interrupts --- */

static uint64_t head_read(struct vm *x, uint64_t address, unsigned size, unsigned flags)
{
	if (size != 1 && size != 2 && size != 4 && size != 8)
		abort();
	return address;
}

static void head_write(struct vm *x, uint64_t address, unsigned size, unsigned flags,
		       uint64_t value)
{
	head_read(x, address, size, flags);
}

static void head_eoi(struct vm *x, uint8_t vector)
{
}

static const struct vm_io io = {
	.head_read = head_read, .head_write = head_write, .head_eoi = head_eoi};

bool memory_is_ram(const struct vm *x, gpa_t gpa)
{
	return gpa < x->ram_bytes;
}

void intr_unhalt(struct vcpu *target)
{
	if (vm_place(&vm, target->index) != VM_HERE)
		abort();
	vcpu_kick(target);
}

/* --- The machine --- */

static void place_cpus(void)
{
	vm.nodes.local_cpus = vm.nodes.most_cpus = CPUS_EACH;
	vm.cpu_count = NODES * CPUS_EACH;
	vm.nodes.first_cpu = vm.nodes.self * CPUS_EACH;
	for (unsigned i = 0; i < vm.cpu_count; i++) {
		places_set(&vm.places, i, (struct place){i / CPUS_EACH, 0});
		vm.vcpus[i].vm = &vm;
		vm.vcpus[i].index = i;
	}
	vm.host_cpus = CPUS_EACH;
	for (unsigned i = 0; i < CPUS_EACH; i++) {
		struct vcpu *v = &vm.vcpus[vm.nodes.first_cpu + i];

		v->cpu = &vm.cpus[i];
		vm.cpus[i].vm = &vm;
		vm.cpus[i].index = i;
		vm.cpus[i].current = v;
		atomic_store(&vm.cpus[i].touching, NO_GFN);
	}
}

static void make(uint8_t how)
{
	struct parts parts = {.sizes = &sizes, .count = NODES, .most_cpus = CPUS_EACH};
	struct why why;

	memset(&vm, 0, sizeof(vm));
	vm_locks_init(&vm);
	memset(&link_, 0, sizeof(link_));
	memset(&remote, 0, sizeof(remote));
	memset(&uplink, 0, sizeof(uplink));
	memset(mapped, 0, sizeof(mapped));
	share = (struct share){.config = &sizes};
	if (!pool)
		pool = aligned_alloc(PAGE_SIZE, POOL);
	pool_used = 0;
	now = 1;
	vm.ops = &ops;
	vm.io = &io;
	vm.ram = &share_ram;
	vm.far = &remote_far;
	vm.link = &link_;
	vm.share = &share;
	vm.remote = &remote;
	vm.ram_bytes = GUEST;
	vm.nodes.count = NODES;
	vm.nodes.self = how % NODES;
	vm.nodes.head = how / NODES % NODES;
	place_cpus();
	running = &vm.vcpus[vm.nodes.first_cpu];
	for (unsigned i = 0; i < NODES; i++) {
		parts.node[i].ram = GIB(1);
		parts.node[i].cpus = CPUS_EACH;
	}
	link_init(&link_, &uplink);
	link_start(&link_, &vm, &cluster_client);
	if (link_members(&link_, &parts, &why))
		abort();
	/* Messages may come before the memory is there. */
	if (!(how & 0x80) && share_init(&share, &vm, &parts, &why))
		abort();
	remote.life = how >> 6 & 1;
}

/* --- What happens --- */

static const uint8_t *in;
static size_t left;

static uint8_t byte(void)
{
	return left ? left--, *in++ : 0;
}

static void deliver(const void *data, size_t len, unsigned from)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct xport_event e = {XPORT_MSG, (uint16_t)from, 0, (uint16_t)len, copy};

	memcpy(copy, data, len);
	link_lock(&link_);
	uplink.fn(uplink.ctx, &e);
	link_unlock(&link_);
	free(copy);
}

/* As it stands in the input; the page's sum is made right where the input says so. */
static void message(bool mend)
{
	static uint8_t buf[WIRE_MSG_MAX];
	unsigned from = byte() % NODES;
	size_t low = byte(), len = (low | (size_t)byte() << 8) % (WIRE_MSG_MAX + 1);
	struct node_head *head = (struct node_head *)buf;
	struct page_parcel parcel;
	uint64_t page[PAGE_SIZE / 8];

	len = MIN(len, left);
	memcpy(buf, in, len);
	in += len;
	left -= len;
	if (from == vm.nodes.self)
		return;
	head->tsc %= now + 10000; /* else every message ends in a step of the clock */
	if (mend && len > sizeof(*head) + head->page_at) {
		static struct pagewire before;
		static uint8_t memory[PAGEWIRE_BYTES];
		struct pagewire *w = &link_.pages[from];

		/* What the receiver will make of it, tried on a copy of what it remembers. */
		before = *w;
		memcpy(memory, w->sent, sizeof(memory));
		before.sent = (void *)memory;
		before.got = before.sent + PAGEWIRE_SLOTS;
		parcel = (struct page_parcel){(enum page_form)(head->page_form % PAGE_FORMS),
					      head->page_slot, buf + sizeof(*head) + head->page_at,
					      len - sizeof(*head) - head->page_at};
		if (pagewire_receive(&before, &parcel, page))
			head->page_sum = (uint32_t)wire_sum(page, PAGE_SIZE, 0);
	}
	deliver(buf, len, from);
}

/* A vCPU here asks for something and, the machine being stopped for that moment, does not wait for it. */
static void ask(void)
{
	struct vcpu *v = &vm.vcpus[vm.nodes.first_cpu + byte() % CPUS_EACH];
	struct apic_dest dest = {0};
	uint8_t what = byte();
	gpa_t gpa = (gpa_t)(byte() % (GUEST >> PAGE_SHIFT)) << PAGE_SHIFT;
	void *p;

	running = v;
	atomic_store(&vm.stop, VM_FAILED);
	switch (what % 6) {
	case 0:
		if (share.dsm)
			vm.ram->fault(v, gpa, what & 0x80);
		break;
	case 1:
		if (!share.dsm)
			break;
		p = vm.ram->acquire(&vm, gpa, what & 0x80);
		if (p)
			vm.ram->release(&vm);
		break;
	case 2:
		vm.far->dest(v, &dest);
		break;
	case 3:
		if (!vm_is_head(&vm))
			vm.far->io(v, 0x60, 1, 0, 0);
		break;
	case 4:
		vm.far->serve(&vm);
		break;
	case 5:
		remote_next_life(&vm);
		break;
	}
	atomic_store(&vm.stop, VM_RUNNING);
	running = &vm.vcpus[vm.nodes.first_cpu];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	in = data;
	left = size;
	make(byte());
	while (left) {
		uint8_t what = byte();

		now += (uint64_t)(what >> 4) << 8;
		switch (what & 7) {
		case 0:
		case 1:
			ask();
			break;
		case 2:
			link_poll(&link_);
			break;
		case 3:
			uplink.busy = what & 8;
			break;
		default:
			message(what & 8);
		}
		/* The end with a sentence is allowed, and the machine would go no further. */
		if (vm.stop_why.text[0])
			break;
	}
	return 0;
}
