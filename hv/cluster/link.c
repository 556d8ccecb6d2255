#include "hv/cluster/link.h"
#include "hv/base/string.h"
#include "hv/core/intr.h"
#include "net/pages/pagewire.h"
#include "hv/cluster/remote.h"
#include "hv/cluster/share.h"
#include "hv/cluster/wire.h"
#include "hv/x86/cpu.h"
#include "hv/x86/pmem.h"
#include "hv/x86/tsc.h"

#define LINK_BODY_MAX (64 + NODE_TEXT)
#define LINK_MSG_MAX  (sizeof(struct node_head) + LINK_BODY_MAX + PAGE_SIZE)
/* How often the first CPU looks for what has come, where the card does not wake it, and where it does. */
#define LINK_LOOK_NS  (100 * NS_PER_US)
#define LINK_CALM_NS  (10 * NS_PER_MS)
/* A wire and a node that answers at once take less. */
#define LINK_SPIN_NS  (50 * NS_PER_US)

/* A message the transport had no room for yet. */
struct waiting {
	struct waiting *next;
	uint16_t node, len;
	uint8_t channel;
	uint8_t bytes[LINK_MSG_MAX];
};

STATIC_ASSERT(LINK_BODY_MAX > UINT8_MAX,
	      "whatever a node_head says, there is room for the body before the page");

static struct {
	struct spinlock lock;
	struct vm *vm;
	struct waiting *first, **end, *free;
	struct pagewire pages[VM_MAX_NODES]; /* by peer */
	uint8_t unpacked[LINK_BODY_MAX + PAGE_SIZE];
} link;

typedef void (*handler_fn)(struct vm *vm, unsigned from, const void *body, size_t len);

/* `size` is that of the body; 0 where it varies and the handler looks. */
static const struct {
	size_t size;
	handler_fn fn;
} handlers[NODE_KINDS] = {
	[NODE_CONFIG] = {sizeof(struct node_config), remote_config},
	[NODE_READY] = {1, remote_ready},
	[NODE_STOPPED] = {sizeof(struct node_stopped), remote_stopped},
	[NODE_DSM] = {0, share_message},
	[NODE_IPI] = {sizeof(struct node_ipi), remote_ipi},
	[NODE_UNHALT] = {sizeof(struct node_unhalt), remote_unhalted},
	[NODE_DEST] = {sizeof(struct node_dest), remote_dest},
	[NODE_DEST_OK] = {sizeof(struct node_dest), remote_dest_ok},
	[NODE_EOI] = {sizeof(struct node_eoi), remote_eoi_came},
	[NODE_IO] = {sizeof(struct node_io), remote_io_asked},
	[NODE_IO_DONE] = {sizeof(struct node_io), remote_io_done},
};

/* --- Pages --- */

int link_members(struct vm *vm, struct why *why)
{
	for (unsigned i = 0; i < vm->nodes.count; i++) {
		hpa_t mem = PMEM_NONE;

		if (i == vm->nodes.self)
			continue;
		mem = pmem_alloc(pmem_order(PAGEWIRE_BYTES));
		if (mem == PMEM_NONE)
			return why_set(why, ERR_NOMEM,
				       "no RAM for the pages last exchanged with node %u", i);
		pagewire_init(&link.pages[i], pmem_virt(mem));
	}
	return 0;
}

static uint32_t page_sum(const void *page)
{
	return (uint32_t)wire_sum(page, PAGE_SIZE, 0);
}

/* The body with its page as it was, in link.unpacked; false when what came is none. */
static bool page_whole(unsigned from, const struct node_head *head, const uint8_t *body, size_t len)
{
	struct page_parcel parcel = {(enum page_form)head->page_form, head->page_slot,
				     body + head->page_at, len - head->page_at};

	if (head->page_at > len)
		return false;
	memcpy(link.unpacked, body, head->page_at);
	return pagewire_receive(&link.pages[from], &parcel, link.unpacked + head->page_at) &&
	       page_sum(link.unpacked + head->page_at) == head->page_sum;
}

/* --- Sending --- */

static void put_back(struct waiting *w)
{
	w->next = link.free;
	link.free = w;
}

/* A peer has at most so many requests here that each of them finds a place. */
static int make_room(struct vm *vm, struct why *why)
{
	unsigned count = 64 * vm->nodes.count;

	for (unsigned i = 0; i < count; i++) {
		hpa_t mem = pmem_alloc(1);

		if (mem == PMEM_NONE)
			return why_set(why, ERR_NOMEM, "no RAM for %u messages to other nodes",
				       count);

		put_back(pmem_virt(mem));
	}
	return 0;
}
STATIC_ASSERT(sizeof(struct waiting) <= 2 * PAGE_SIZE, "a waiting message fits its two pages");

static int to_transport(const struct waiting *w)
{
	const struct xport_part part = {w->bytes, w->len};

	return wire_send(w->node, (enum wire_channel)w->channel, &part, 1);
}

static void send_waiting(void)
{
	while (link.first && to_transport(link.first) != ERR_BUSY) {
		struct waiting *w = link.first;

		link.first = w->next;
		if (!link.first)
			link.end = &link.first;
		put_back(w);
	}
}

static void wait_for_room(unsigned node, enum wire_channel channel, const struct xport_part *parts,
			  unsigned count)
{
	struct waiting *w = link.free;

	if (!w) {
		vm_fail(link.vm,
			"node %u takes no messages: more wait for it than this node has "
			"room for",
			node);
		return;
	}
	link.free = w->next;
	w->next = NULL;
	w->node = (uint16_t)node;
	w->len = 0;
	w->channel = (uint8_t)channel;
	for (unsigned i = 0; i < count; i++) {
		memcpy(w->bytes + w->len, parts[i].data, parts[i].len);
		w->len = (uint16_t)(w->len + parts[i].len);
	}
	*link.end = w;
	link.end = &w->next;
}

static void send_parts(unsigned node, enum wire_channel channel, const struct xport_part *parts,
		       unsigned count)
{
	int err = ERR_BUSY;

	ASSERT(spin_held(&link.lock) && parts[1].len <= LINK_BODY_MAX);
	if (!link.first)
		err = wire_send(node, channel, parts, count);
	if (err == ERR_BUSY)
		wait_for_room(node, channel, parts, count);
	else if (err)
		vm_fail(link.vm, "the transport refused a message to node %u (%s)", node,
			err_name(err));
}

void link_send_held(unsigned node, enum node_kind kind, const void *body, size_t len)
{
	const struct node_head head = {.kind = (uint8_t)kind, .tsc = vm_guest_tsc(link.vm)};
	const struct xport_part parts[] = {{&head, sizeof(head)}, {body, len}};

	send_parts(node, WIRE_URGENT, parts, 2);
}

void link_send_page(unsigned node, const void *body, size_t len, gfn_t gfn, const void *page)
{
	struct node_head head = {.kind = NODE_DSM, .tsc = vm_guest_tsc(link.vm)};
	struct page_parcel parcel = {.bytes = page, .len = PAGE_SIZE};

	/* Where one frame carries a page, nothing is gained by making it smaller. */
	if (wire_mtu() <= PAGE_SIZE) {
		pagewire_send(&link.pages[node], gfn, page, &parcel);
		head.page_at = (uint8_t)len;
		head.page_form = (uint8_t)parcel.form;
		head.page_sum = page_sum(page);
		head.page_slot = parcel.slot;
	}
	const struct xport_part parts[] = {
		{&head, sizeof(head)}, {body, len}, {parcel.bytes, parcel.len}};

	send_parts(node, WIRE_BULK, parts, parcel.len ? 3 : 2);
}

bool link_send_frame(const void *frame, size_t len)
{
	bool sent;

	link_lock();
	sent = wire_send_frame(frame, len);
	link_unlock();
	return sent;
}

void link_send(unsigned node, enum node_kind kind, const void *body, size_t len)
{
	link_lock();
	link_send_held(node, kind, body, len);
	link_unlock();
}

void link_send_all(enum node_kind kind, const void *body, size_t len)
{
	link_lock();
	for (unsigned i = 0; i < link.vm->nodes.count; i++)
		if (i != link.vm->nodes.self)
			link_send_held(i, kind, body, len);
	link_unlock();
}

/* --- Receiving --- */

/*
 * Lamport's rule on the guest's TSC: what is received happened before now, so now must not be earlier.
 * All vCPUs of the node move together: they learn from each other without a message.
 */
static void clock_follow(struct vm *vm, uint64_t tsc)
{
	uint64_t now = vm_guest_tsc(vm);

	if ((int64_t)(tsc - now) <= 0)
		return;
	vm->tsc_base -= tsc - now;
	vm->nodes.clock_steps++;
	vm->nodes.clock_stepped += tsc - now;
	share_sync(vm);
}

static void message(const struct xport_event *e)
{
	const struct node_head *head = e->data;
	const uint8_t *body = e->data;
	size_t len = e->len - sizeof(*head);

	if (e->len < sizeof(*head) || head->kind >= NODE_KINDS ||
	    (handlers[head->kind].size && handlers[head->kind].size != len)) {
		vm_fail(link.vm, "node %u sent a message of %u bytes that means nothing here",
			e->node, e->len);
		return;
	}
	clock_follow(link.vm, head->tsc);
	body += sizeof(*head);
	if (head->page_at) {
		if (!page_whole(e->node, head, body, len)) {
			vm_fail(link.vm, "a page of node %u came out other than it was sent",
				e->node);
			return;
		}
		body = link.unpacked;
		len = head->page_at + PAGE_SIZE;
	}
	handlers[head->kind].fn(link.vm, e->node, body, len);
}

static void on_event(const struct xport_event *e)
{
	switch (e->kind) {
	case XPORT_UP:
		break;
	case XPORT_DOWN:
		vm_fail(link.vm, "node %u has started anew, and what it had of the guest is gone",
			e->node);
		break;
	case XPORT_MSG:
		message(e);
		break;
	}
}

int link_start(struct vm *vm, struct why *why)
{
	link.vm = vm;
	link.end = &link.first;
	if (make_room(vm, why))
		return ERR_NOMEM;
	wire_receive(on_event);
	return 0;
}

void link_lock(void)
{
	spin_lock(&link.lock);
}

void link_unlock(void)
{
	send_waiting();
	wire_flush();
	spin_unlock(&link.lock);
}

void link_poll(void)
{
	link_lock();
	wire_poll();
	share_tick(tsc_now_ns());
	if (link.vm && wire_ended() && !atomic_load(&link.vm->stop)) {
		vm_fail(link.vm, "%s", wire_ended());
		share_lost(link.vm);
	}
	link_unlock();
}

uint64_t link_deadline(const struct vcpu *v)
{
	uint64_t now = tsc_now_ns(), due;

	if (!vcpu_leads(v))
		return rdtsc() + ns_to_tsc(LINK_CALM_NS);
	link_lock();
	due = MIN(wire_deadline(now), share_deadline());
	link_unlock();
	due = MIN(due, now + (wire_wakes() ? LINK_CALM_NS : LINK_LOOK_NS));
	return rdtsc() + (due > now ? ns_to_tsc(due - now) : 0);
}

void link_wait(void)
{
	if (pcpu_this()->index == 0)
		link_poll();
	else
		cpu_pause();
}

static bool given_up(const struct vm *vm, bool to_the_end)
{
	unsigned stop = atomic_load_explicit(&vm->stop, memory_order_relaxed);

	return to_the_end ? stop == VM_FAILED : stop != VM_RUNNING;
}

/* Interrupts are off, so one that comes after the last look ends the sleep at once. */
static void doze(struct vcpu *v)
{
	intr_wake_by(v, link_deadline(v));
	cpu_idle();
	v->recheck = true;
}

bool link_await(struct vcpu *v, bool (*came)(const struct vcpu *v), bool to_the_end)
{
	uint64_t began = rdtsc(), patience = ns_to_tsc(LINK_SPIN_NS);
	bool done;

	while (!(done = came(v)) && !given_up(v->vm, to_the_end)) {
		link_wait();
		if (!wire_wakes() || rdtsc() - began < patience)
			continue;
		/* link_awake() is told before the last look. */
		atomic_store(&v->dozes, true);
		if (!came(v) && !given_up(v->vm, to_the_end))
			doze(v);
	}
	atomic_store_explicit(&v->dozes, false, memory_order_relaxed);
	v->stalled += rdtsc() - began;
	return done;
}

void link_awake(struct vcpu *v)
{
	if (atomic_load(&v->dozes))
		intr_kick(v);
}

static void pages_report(struct report *r, unsigned node, const struct pagewire *w)
{
	uint64_t plain = w->count[PAGE_PLAIN], packed = w->count[PAGE_PACKED],
		 delta = w->count[PAGE_DELTA];

	report_line(r, LOG_NET,
		    "node %u: pages out: %llu plain, %llu packed, %llu as what changed; %llu bytes "
		    "each "
		    "on average",
		    node, (unsigned long long)plain, (unsigned long long)packed,
		    (unsigned long long)delta,
		    (unsigned long long)(w->bytes / MAX(plain + packed + delta, 1ull)));
}

void link_report(struct report *r)
{
	report_line(r, LOG_CLUSTER,
		    "the guest's TSC caught up with other nodes' %llu times, %llu us in all",
		    (unsigned long long)link.vm->nodes.clock_steps,
		    (unsigned long long)tsc_to_ns(link.vm->nodes.clock_stepped) / 1000);
	for (unsigned i = 0; i < link.vm->nodes.count; i++)
		if (i != link.vm->nodes.self)
			pages_report(r, i, &link.pages[i]);
}
