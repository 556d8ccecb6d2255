#include "hv/cluster/link.h"
#include "hv/base/log.h"
#include "hv/base/string.h"
#include "hv/cluster/mutant.h"
#include "hv/core/arch.h"
#include "hv/x86/pmem.h"
#include "hv/x86/tsc.h"

/* How often the first CPU looks for what has come, where the card does not wake it, and where it does. */
#define LINK_LOOK_NS (100 * NS_PER_US)
#define LINK_CALM_NS (10 * NS_PER_MS)
/* A wire and a node that answers at once take less. */
#define LINK_SPIN_NS (50 * NS_PER_US)

STATIC_ASSERT(NODE_BODY_MAX > UINT8_MAX,
	      "whatever a node_head says, there is room for the body before the page");

void link_init(struct link *l, struct uplink *wire)
{
	spin_init(&l->lock, RANK_LINK);
	l->wire = wire;
}

/* --- Room --- */

static int to_uplink(void *ctx, unsigned node, enum wire_channel channel,
		     const struct xport_part *parts, unsigned count)
{
	struct link *l = ctx;

	return uplink_send(l->wire, node, channel, parts, count);
}

int link_members(struct link *l, const struct parts *parts, struct why *why)
{
	const struct vm_nodes *n = &l->vm->nodes;
	struct outbox_config c = parts_outbox(parts);
	hpa_t queues = pmem_take(outbox_memory(&c));
	hpa_t pages = pmem_take((n->count - 1) * PAGEWIRE_BYTES);
	uint8_t *at;

	if (queues == PMEM_NONE || pages == PMEM_NONE)
		return why_set(why, ERR_NOMEM,
			       "no %llu KiB of RAM for messages to other nodes, "
			       "and the pages last exchanged with them",
			       (unsigned long long)(parts_link_memory(parts) >> 10));
	at = pmem_virt(pages);
	for (unsigned i = 0; i < n->count; i++) {
		if (i == n->self)
			continue;
		pagewire_init(&l->pages[i], at);
		at += PAGEWIRE_BYTES;
	}
	c.send = to_uplink;
	c.ctx = l;
	outbox_init(&l->out, &c, pmem_virt(queues));
	return 0;
}

/* --- Sending --- */

/* ERR_BUSY, to who can wait: there is no room yet. What else goes wrong ends the machine. */
static int send_parts(struct link *l, unsigned node, enum wire_channel channel,
		      enum outbox_sender sender, const struct xport_part *parts, unsigned count)
{
	int err;

	ASSERT(spin_held(&l->lock) && parts[1].len <= NODE_BODY_MAX);
	if (GLUE_MUTANT(GLUE_QUEUE_JUMPED) && !uplink_send(l->wire, node, channel, parts, count))
		return 0;
	err = outbox_send(&l->out, node, channel, sender, parts, count);
	if (err && err != ERR_BUSY)
		vm_fail(l->vm, "a message to node %u found no way (%s)", node, err_name(err));
	return err;
}

static int send_small(struct link *l, unsigned node, enum outbox_sender sender, enum node_kind kind,
		      const void *body, size_t len)
{
	const struct node_head head = {.kind = (uint8_t)kind, .tsc = vm_guest_tsc(l->vm)};
	const struct xport_part parts[] = {{&head, sizeof(head)}, {body, len}};

	return send_parts(l, node, WIRE_URGENT, sender, parts, 2);
}

void link_send_held(struct link *l, unsigned node, enum node_kind kind, const void *body,
		    size_t len)
{
	send_small(l, node, OUTBOX_OWED, kind, body, len);
}

void link_send(struct link *l, unsigned node, enum node_kind kind, const void *body, size_t len)
{
	link_lock(l);
	link_send_held(l, node, kind, body, len);
	link_unlock(l);
}

void link_send_all(struct link *l, enum node_kind kind, const void *body, size_t len)
{
	for (unsigned i = 0; i < l->vm->nodes.count; i++)
		if (i != l->vm->nodes.self)
			link_send(l, i, kind, body, len);
}

static uint32_t page_sum(const void *page)
{
	return (uint32_t)wire_sum(page, PAGE_SIZE, 0);
}

void link_send_page(struct link *l, unsigned node, const void *body, size_t len, gfn_t gfn,
		    const void *page)
{
	struct node_head head = {.kind = NODE_DSM, .tsc = vm_guest_tsc(l->vm)};
	struct page_parcel parcel = {.bytes = page, .len = PAGE_SIZE};

	/* Where one frame carries a page, nothing is gained by making it smaller. */
	if (uplink_mtu(l->wire) <= PAGE_SIZE) {
		pagewire_send(&l->pages[node], &l->scratch, gfn, page, &parcel);
		head.page_at = (uint8_t)len;
		head.page_form = (uint8_t)parcel.form;
		head.page_sum = page_sum(page);
		head.page_slot = parcel.slot;
	}
	const struct xport_part parts[] = {
		{&head, sizeof(head)}, {body, len}, {parcel.bytes, parcel.len}};

	send_parts(l, node, WIRE_BULK, OUTBOX_OWED, parts, parcel.len ? 3 : 2);
}

bool link_send_frame(struct link *l, const void *frame, size_t len)
{
	bool sent;

	link_lock(l);
	sent = uplink_send_frame(l->wire, frame, len);
	link_unlock(l);
	return sent;
}

void link_lock(struct link *l)
{
	spin_lock(&l->lock);
}

void link_unlock(struct link *l)
{
	outbox_flush(&l->out);
	uplink_flush(l->wire);
	spin_unlock(&l->lock);
}

/* --- Receiving --- */

/*
 * Lamport's rule on the guest's TSC: what is received happened before now, so now must not be earlier.
 * All vCPUs of the node move together: they learn from each other without a message.
 */
static void clock_follow(struct link *l, uint64_t tsc)
{
	struct vm *vm = l->vm;
	uint64_t now = vm_guest_tsc(vm);

	if ((int64_t)(tsc - now) <= 0 || GLUE_MUTANT(GLUE_CLOCK_STAYS))
		return;
	vm->tsc_base -= tsc - now;
	vm->nodes.clock_steps++;
	vm->nodes.clock_stepped += tsc - now;
	if (!GLUE_MUTANT(GLUE_CLOCK_NO_SYNC))
		l->client->sync(vm);
}

/* The body with its page as it was, in l->unpacked; false when what came is none. */
static bool page_whole(struct link *l, unsigned from, const struct node_head *head,
		       const uint8_t *body, size_t len)
{
	struct page_parcel parcel = {(enum page_form)head->page_form, head->page_slot,
				     body + head->page_at, len - head->page_at};

	if (head->page_at > len)
		return false;
	memcpy(l->unpacked, body, head->page_at);
	if (GLUE_MUTANT(GLUE_PAGE_UNCHECKED)) {
		parcel.slot ^= parcel.form == PAGE_DELTA;
		return pagewire_receive(&l->pages[from], &parcel, l->unpacked + head->page_at);
	}
	return pagewire_receive(&l->pages[from], &parcel, l->unpacked + head->page_at) &&
	       page_sum(l->unpacked + head->page_at) == head->page_sum;
}

/* As long as its kind says, and without a page where none belongs. */
static bool well_made(const struct link_handler *h, const struct node_head *head, size_t len)
{
	return h->fn && (!head->page_at || h->page) && (!h->size || h->size == len);
}

static void message(struct link *l, const struct xport_event *e)
{
	const struct node_head *head = e->data;
	const struct link_handler *h;
	const uint8_t *body = (const uint8_t *)e->data + sizeof(*head);
	size_t len = e->len - sizeof(*head);

	if (e->len < sizeof(*head) || head->kind >= NODE_KINDS ||
	    !well_made(&l->client->messages[head->kind], head, len)) {
		vm_fail(l->vm, "node %u sent a message of %u bytes that means nothing here",
			e->node, e->len);
		return;
	}
	clock_follow(l, head->tsc);
	if (head->page_at) {
		if (!page_whole(l, e->node, head, body, len)) {
			vm_fail(l->vm, "a page of node %u came out other than it was sent",
				e->node);
			return;
		}
		body = l->unpacked;
		len = head->page_at + PAGE_SIZE;
	}
	h = &l->client->messages[head->kind];
	h->fn(l->vm, e->node, body, len);
}

static void on_event(void *ctx, const struct xport_event *e)
{
	struct link *l = ctx;

	switch (e->kind) {
	case XPORT_UP:
		break;
	case XPORT_DOWN:
		vm_fail(l->vm, "node %u has started anew, and what it had of the guest is gone",
			e->node);
		break;
	case XPORT_MSG:
		message(l, e);
		break;
	}
}

void link_strange(struct link *l, unsigned from, enum node_kind kind, const char *what)
{
	ASSERT(spin_held(&l->lock));
	if (!l->strange[kind]++)
		log_warn(LOG_CLUSTER, "node %u sent %s; dropped, and so are more of the kind", from,
			 what);
}

void link_start(struct link *l, struct vm *vm, const struct link_client *client)
{
	l->vm = vm;
	l->client = client;
	uplink_receive(l->wire, on_event, l);
}

void link_poll(struct link *l)
{
	const char *ended;

	link_lock(l);
	uplink_poll(l->wire);
	ended = uplink_ended(l->wire);
	if (l->vm) {
		l->client->tick(l->vm, tsc_now_ns());
		if (ended && !atomic_load(&l->vm->stop)) {
			vm_fail(l->vm, "%s", ended);
			l->client->lost(l->vm);
		}
	}
	link_unlock(l);
}

/* --- Waiting --- */

uint64_t link_deadline(struct link *l, const struct vm_cpu *c)
{
	uint64_t now = tsc_now_ns(), due;

	if (!vm_cpu_leads(c))
		return arch_tsc() + ns_to_tsc(LINK_CALM_NS);
	link_lock(l);
	due = MIN(uplink_deadline(l->wire, now), l->client->deadline(l->vm));
	link_unlock(l);
	due = MIN(due, now + (uplink_wakes(l->wire) ? LINK_CALM_NS : LINK_LOOK_NS));
	return arch_tsc() + (due > now ? ns_to_tsc(due - now) : 0);
}

void link_wait(struct link *l)
{
	/* What others need while this CPU waits must not be in its hands. */
	rank_check(RANK_LINK);
	if (vm_cpu_leads(arch_cpu()))
		link_poll(l);
	else
		plat_relax();
}

static bool given_up(const struct vm *vm, bool to_the_end)
{
	unsigned stop = atomic_load_explicit(&vm->stop, memory_order_relaxed);

	return to_the_end ? stop == VM_FAILED : stop != VM_RUNNING;
}

/* Interrupts are off, so one that comes after the last look ends the sleep at once. */
static void doze(struct link *l, struct vcpu *v)
{
	vm_cpu_wake_by(v->cpu, link_deadline(l, v->cpu));
	arch_idle();
	v->recheck = true;
}

bool link_await(struct link *l, struct vcpu *v, bool (*came)(const struct vcpu *v), bool to_the_end)
{
	uint64_t began = arch_tsc(), patience = ns_to_tsc(LINK_SPIN_NS);
	bool done;

	while (!(done = came(v)) && !given_up(v->vm, to_the_end)) {
		link_wait(l);
		if (!uplink_wakes(l->wire) || arch_tsc() - began < patience)
			continue;
		/* link_awake() is told before the last look. */
		atomic_store(&v->dozes, true);
		if (!came(v) && !given_up(v->vm, to_the_end))
			doze(l, v);
	}
	atomic_store_explicit(&v->dozes, false, memory_order_relaxed);
	v->stalled += arch_tsc() - began;
	return done;
}

void link_awake(struct vcpu *v)
{
	if (atomic_load(&v->dozes))
		vcpu_kick(v);
}

void link_post(struct link *l, struct vcpu *v, unsigned node, enum node_kind kind, const void *body,
	       size_t len)
{
	uint64_t began = arch_tsc();

	for (;;) {
		int err;

		link_lock(l);
		err = send_small(l, node, OUTBOX_WAITS, kind, body, len);
		link_unlock(l);
		if (LIKELY(err != ERR_BUSY))
			return;
		if (given_up(l->vm, false) || GLUE_MUTANT(GLUE_POST_DROPPED))
			return;
		link_wait(l);
		v->stalled += arch_tsc() - began;
		began = arch_tsc();
	}
}

void link_post_all(struct link *l, struct vcpu *v, enum node_kind kind, const void *body,
		   size_t len)
{
	for (unsigned i = 0; i < l->vm->nodes.count; i++)
		if (i != l->vm->nodes.self)
			link_post(l, v, i, kind, body, len);
}

/* --- Counters --- */

static void pages_report(struct report *r, unsigned node, const struct pagewire *w)
{
	uint64_t plain = w->count[PAGE_PLAIN], packed = w->count[PAGE_PACKED],
		 delta = w->count[PAGE_DELTA];

	report_line(r, LOG_NET,
		    "node %u: pages out: %llu plain, %llu packed, %llu as what changed; "
		    "%llu bytes each on average",
		    node, (unsigned long long)plain, (unsigned long long)packed,
		    (unsigned long long)delta,
		    (unsigned long long)(w->bytes / MAX(plain + packed + delta, 1ull)));
}

void link_report(const struct link *l, struct report *r)
{
	uint64_t strange = 0;

	for (unsigned i = 0; i < NODE_KINDS; i++)
		strange += l->strange[i];
	report_line(r, LOG_CLUSTER,
		    "the guest's TSC caught up with other nodes' %llu times, %llu us in all",
		    (unsigned long long)l->vm->nodes.clock_steps,
		    (unsigned long long)tsc_to_ns(l->vm->nodes.clock_stepped) / 1000);
	report_line(r, LOG_CLUSTER,
		    "%llu messages waited for room, vCPUs %llu times; %llu dropped, "
		    "being nothing that their sender may say",
		    (unsigned long long)l->out.kept, (unsigned long long)l->out.refused,
		    (unsigned long long)strange);
	for (unsigned i = 0; i < l->vm->nodes.count; i++)
		if (i != l->vm->nodes.self)
			pages_report(r, i, &l->pages[i]);
}
