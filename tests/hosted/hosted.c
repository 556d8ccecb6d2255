#include "tests/hosted/hosted.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MTU  1500
#define POOL 128

struct hosted hosted;
/* Read by the fault handler, behind the compiler's back. */
static struct hosted_node *volatile touching;
static volatile gfn_t touching_gfn;
static volatile bool touching_write;
/* Its last instruction needed pages and has retired; the engine does not know yet. */
static struct hosted_node *retired;

static void *must(void *p, const char *what)
{
	if (p && p != MAP_FAILED)
		return p;
	perror(what);
	exit(2);
}

uint64_t hosted_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static struct dsm_config node_config(uint16_t self)
{
	static const uint16_t homes[1] = {HOSTED_HOME};

	return (struct dsm_config){
		.nodes = HOSTED_NODES,
		.self = self,
		.agents = 1,
		.peer_agents = 1,
		.set_max = 4,
		.gfns = HOSTED_PAGES,
		.slot_count = 1,
		.slots = homes,
		.cache_frames = HOSTED_PAGES + 8,
		.hold_ns = 20000,
		.hold_max_ns = 1000000,
		.hold_fetches = 8,
	};
}

/*
 * Each page is a mapping of its own, since in the file it does not lie behind the one before: so a change of
 * its protection neither cuts nor joins mappings, which takes the kernel longer than the change.
 */
static size_t file_offset(gfn_t gfn)
{
	return (HOSTED_PAGES - 1 - gfn) * PAGE_SIZE;
}

static uint8_t *map_guest(int fd)
{
	uint8_t *base = must(
		mmap(NULL, HOSTED_PAGES * PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		"mmap");

	for (gfn_t g = 0; g < HOSTED_PAGES; g++)
		must(mmap(base + g * PAGE_SIZE, PAGE_SIZE, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_FIXED, fd, (off_t)file_offset(g)),
		     "mmap");
	return base;
}

static void node_memory(struct hosted_node *n, const struct dsm_config *cfg)
{
	struct why why;
	size_t size = dsm_size(cfg, &why);
	int fd = memfd_create("guest", 0);

	if (!size || fd < 0 || ftruncate(fd, HOSTED_PAGES * PAGE_SIZE) < 0) {
		fprintf(stderr, "bench: no memory for node %u\n", n->number);
		exit(2);
	}
	n->dsm = dsm_init(must(aligned_alloc(64, (size + 63) & ~63ul), "aligned_alloc"), cfg);
	n->guest = map_guest(fd);
	n->alias = must(mmap(NULL, HOSTED_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_POPULATE, fd, 0),
			"mmap");
	close(fd);
	n->frame_gfn =
		must(calloc(dsm_home_frames(n->dsm) + cfg->cache_frames, sizeof(gfn_t)), "calloc");
	n->out.room = dsm_actions_max(cfg);
	n->out.list = must(calloc(n->out.room, sizeof(struct dsm_action)), "calloc");
	n->waiting_end = &n->waiting;
	for (gfn_t g = 0; n->number == HOSTED_HOME && g < HOSTED_PAGES; g++)
		n->frame_gfn[g] = g;
}

static uint8_t *page_at(const struct hosted_node *n, gfn_t gfn)
{
	return n->alias + file_offset(gfn);
}

static void protect(const struct hosted_node *n, gfn_t gfn, enum dsm_perm perm)
{
	static const int prots[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE};

	if (mprotect(n->guest + gfn * PAGE_SIZE, PAGE_SIZE, prots[perm]) < 0) {
		perror("mprotect");
		exit(2);
	}
}

/* So that a first touch costs what every other does, and not the kernel's filling of its tables. */
static void populate(const struct hosted_node *n)
{
	size_t size = HOSTED_PAGES * PAGE_SIZE;

	if (madvise(n->guest, size, MADV_POPULATE_WRITE) < 0 ||
	    madvise(n->alias, size, MADV_POPULATE_WRITE) < 0 ||
	    mprotect(n->guest, size, PROT_NONE) < 0)
		perror("bench: populating guest memory");
}

/* The node may have frames to send, and its deadline may be another. */
static void mark(const struct hosted_node *n)
{
	hosted.dirty |= BIT(n->number);
}

/* Straight to the transport when nothing waits in front. */
static void send_message(struct hosted_node *n, const struct dsm_action *a)
{
	uint8_t head[DSM_WIRE_BYTES];
	struct xport_part parts[2] = {{head, sizeof(head)}, {NULL, PAGE_SIZE}};
	unsigned count = a->msg.flags & DSM_F_PAGE ? 2 : 1;
	enum wire_channel channel = count == 2 ? WIRE_BULK : WIRE_URGENT;
	int err = ERR_BUSY;

	dsm_msg_encode(&a->msg, head);
	parts[1].data = page_at(n, a->msg.gfn);
	if (!n->waiting)
		err = xport_send(&n->x, hosted.now, a->node, channel, parts, count);
	if (err == ERR_BUSY) {
		struct hosted_wait *w = must(calloc(1, sizeof(*w)), "calloc");

		w->to = a->node;
		w->channel = (uint8_t)channel;
		w->len = DSM_WIRE_BYTES;
		memcpy(w->bytes, head, sizeof(head));
		if (count == 2) {
			memcpy(w->bytes + w->len, parts[1].data, PAGE_SIZE);
			w->len += PAGE_SIZE;
		}
		*n->waiting_end = w;
		n->waiting_end = &w->next;
	} else if (err) {
		fprintf(stderr, "bench: the transport refused a message (%s)\n", err_name(err));
		exit(2);
	}
}

static void step(struct hosted_node *n, struct dsm_event in, const uint8_t *page);

/* mprotect returns when all TLBs are flushed: the kick is done at once. */
static void kick(struct hosted_node *n, const struct dsm_action *a)
{
	protect(n, a->gfn, a->perm);
}

static void carry_out(struct hosted_node *n, const struct dsm_action *a, gfn_t gfn,
		      const uint8_t *page)
{
	switch (a->kind) {
	case DSM_ACT_SEND:
		send_message(n, a);
		return;
	case DSM_ACT_FILL:
		memcpy(page_at(n, gfn), page, PAGE_SIZE);
		return;
	case DSM_ACT_ZERO:
		if (a->frame < dsm_home_frames(n->dsm))
			gfn = n->frame_gfn[a->frame];
		memset(page_at(n, gfn), 0, PAGE_SIZE);
		return;
	case DSM_ACT_DROP:
		return;
	case DSM_ACT_MAP:
		protect(n, a->gfn, a->perm);
		return;
	case DSM_ACT_KICK:
		kick(n, a);
		return;
	case DSM_ACT_RESUME:
		n->resumed = true;
		return;
	case DSM_ACT_STOP:
		fprintf(stderr, "bench: node %u stops: %s\n", n->number, dsm_stop_reason(n->dsm));
		exit(1);
	}
}

static void step(struct hosted_node *n, struct dsm_event in, const uint8_t *page)
{
	gfn_t kicked[8];
	unsigned kicks = 0;
	gfn_t gfn = in.kind == DSM_EV_MESSAGE ? in.msg.gfn : in.gfn;

	in.now_ns = hosted.now;
	mark(n);
	dsm_step(n->dsm, &in, &n->out);
	for (uint32_t i = 0; i < n->out.count; i++) {
		carry_out(n, &n->out.list[i], gfn, page);
		if (n->out.list[i].kind == DSM_ACT_KICK)
			kicked[kicks++] = n->out.list[i].gfn;
	}
	for (unsigned i = 0; i < kicks; i++)
		step(n, (struct dsm_event){.kind = DSM_EV_FLUSHED, .gfn = kicked[i]}, NULL);
}

static void receive(struct hosted_node *n, const struct xport_event *ev)
{
	struct dsm_event in = {.kind = DSM_EV_MESSAGE, .peer = ev->node};

	if (ev->kind == XPORT_UP) {
		n->up++;
		return;
	}
	if (ev->kind == XPORT_DOWN || dsm_msg_decode(&in.msg, ev->data, ev->len) < 0) {
		fprintf(stderr, "bench: the transport failed between nodes %u and %u\n", n->number,
			ev->node);
		exit(1);
	}
	step(n, in, (const uint8_t *)ev->data + DSM_WIRE_BYTES);
}

static void take_frame(struct hosted_node *n, const uint8_t *frame, size_t len)
{
	struct xport_event ev;

	mark(n);
	xport_rx(&n->x, hosted.now, frame, len);
	while (xport_poll(&n->x, hosted.now, &ev))
		receive(n, &ev);
}

static void send_waiting(struct hosted_node *n)
{
	while (n->waiting) {
		struct hosted_wait *w = n->waiting;
		struct xport_part part = {w->bytes, w->len};

		if (xport_send(&n->x, hosted.now, w->to, (enum wire_channel)w->channel, &part, 1))
			return;
		n->waiting = w->next;
		if (!n->waiting)
			n->waiting_end = &n->waiting;
		free(w);
	}
}

/*
 * A node of this process takes its frame where it was built: what it does about it waits until it sends
 * itself.
 */
static void send_frames(struct hosted_node *n)
{
	send_waiting(n);
	for (;;) {
		uint8_t *buf = port_room(&hosted.port);
		size_t len = xport_tx(&n->x, hosted.now, buf);
		struct hosted_node *to;

		if (!len)
			return;
		to = &hosted.node[buf[5] % HOSTED_NODES];
		if (to->here)
			take_frame(to, buf, len);
		else
			port_queue(&hosted.port, len);
	}
}

/* All frames of all nodes leave with one system call, and only then are the nodes' deadlines looked at. */
static void send_all(void)
{
	uint64_t sent = 0;

	while (hosted.dirty) {
		unsigned i = bit_lowest(hosted.dirty);

		hosted.dirty &= ~BIT(i);
		sent |= BIT(i);
		send_frames(&hosted.node[i]);
	}
	port_flush(&hosted.port);
	for (; sent; sent &= sent - 1) {
		const struct hosted_node *n = &hosted.node[bit_lowest(sent)];

		hosted.due[n->number] = MIN(dsm_deadline(n->dsm), xport_deadline(&n->x));
	}
	hosted.next_due = UINT64_MAX;
	for (unsigned i = hosted.first; i <= hosted.last; i++)
		hosted.next_due = MIN(hosted.next_due, hosted.due[i]);
}

static void timers(void)
{
	for (unsigned i = hosted.first; i <= hosted.last; i++) {
		struct hosted_node *n = &hosted.node[i];

		if (hosted.due[i] > hosted.now)
			continue;
		mark(n);
		if (dsm_deadline(n->dsm) <= hosted.now)
			step(n, (struct dsm_event){.kind = DSM_EV_TICK}, NULL);
	}
}

/*
 * The engine hears that an instruction has retired when the guest stops the next time, or somebody has a
 * moment.
 */
static void retire(void)
{
	struct hosted_node *n = retired;

	retired = NULL;
	if (n)
		step(n, (struct dsm_event){.kind = DSM_EV_RELEASE}, NULL);
}

void hosted_poll(void)
{
	const uint8_t *frame;
	size_t len;

	hosted.now = hosted_now();
	retire();
	while ((frame = port_peek(&hosted.port, &len))) {
		struct hosted_node *n = &hosted.node[frame[5] % HOSTED_NODES];

		if (n->here)
			take_frame(n, frame, len);
		port_done(&hosted.port);
		/* The guest first; nobody waits for what else there is to send now. */
		if (touching && touching->resumed)
			return;
	}
	if (hosted.now >= hosted.next_due)
		timers();
	if (hosted.dirty)
		send_all();
}

/* While the answer is on its way: the caches can fetch the lines it will be written to. */
static void expect_page(const struct hosted_node *n, gfn_t gfn)
{
	const uint8_t *page = page_at(n, gfn);

	for (unsigned i = 0; i < PAGE_SIZE; i += 64)
		__builtin_prefetch(page + i, 1);
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	struct hosted_node *n = touching;
	const uint8_t *at = info->si_addr;

	if (!n || at < n->guest || at >= n->guest + HOSTED_PAGES * PAGE_SIZE) {
		static const char text[] = "bench: a fault outside guest memory\n";

		if (write(2, text, sizeof(text) - 1) < 0)
			_exit(3);
		_exit(2);
	}
	n->resumed = false;
	n->faulted = true;
	hosted.now = hosted_now();
	step(n,
	     (struct dsm_event){.kind = DSM_EV_FAULT,
				.gfn = touching_gfn,
				.access = touching_write ? DSM_WRITE : DSM_READ,
				.cookie = 1},
	     NULL);
	if (!n->resumed) {
		send_all();
		expect_page(n, touching_gfn);
	}
	while (!n->resumed)
		hosted_poll();
}

uint64_t hosted_touch(unsigned node, gfn_t gfn, bool write, uint64_t value)
{
	struct hosted_node *n = &hosted.node[node];
	volatile uint64_t *word = (volatile uint64_t *)(void *)(n->guest + gfn * PAGE_SIZE);
	uint64_t seen;

	retire();
	touching = n;
	touching_gfn = gfn;
	touching_write = write;
	if (write)
		*word = value;
	seen = write ? value : *word;
	touching = NULL;
	if (n->faulted)
		retired = n;
	n->faulted = false;
	return seen;
}

void hosted_start(const char *interface, unsigned first, unsigned last)
{
	struct sigaction act = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};

	sigaction(SIGSEGV, &act, NULL);
	hosted.first = first;
	hosted.last = last;
	hosted.now = hosted_now();
	port_open(&hosted.port, interface, 0x88b5);
	for (unsigned i = first; i <= last; i++) {
		struct hosted_node *n = &hosted.node[i];
		struct xport_config c = {.mac = {2, 0, 0, 0, 0, (uint8_t)i},
					 .node = (uint16_t)i,
					 .mtu = MTU,
					 .cluster = 7,
					 .seed = hosted.now + i};
		struct dsm_config cfg = node_config((uint16_t)i);

		n->number = (uint16_t)i;
		n->here = true;
		node_memory(n, &cfg);
		populate(n);
		n->peers = must(calloc(HOSTED_NODES, sizeof(*n->peers)), "calloc");
		n->pool = must(calloc(POOL, sizeof(*n->pool)), "calloc");
		xport_init(&n->x, &c, n->peers, HOSTED_NODES, n->pool, POOL);
	}
	for (unsigned i = first; i <= last; i++) {
		for (unsigned p = 0; p < HOSTED_NODES; p++) {
			uint8_t mac[WIRE_MAC] = {2, 0, 0, 0, 0, (uint8_t)p};

			if (p != i)
				xport_open(&hosted.node[i].x, hosted.now, p, mac);
		}
		mark(&hosted.node[i]);
	}
}

bool hosted_all_up(void)
{
	for (unsigned i = 0; i < HOSTED_NODES; i++) {
		if (hosted.node[i].here && hosted.node[i].up < HOSTED_NODES - 1)
			return false;
	}
	return true;
}

void hosted_messages(uint64_t *messages, uint64_t *pages)
{
	*messages = *pages = 0;
	for (unsigned i = hosted.first; i <= hosted.last; i++) {
		const struct dsm_stats *s = dsm_stats(hosted.node[i].dsm);

		for (unsigned t = 0; t < DSM_MSG_TYPES; t++)
			*messages += s->sent[t];
		*pages += s->pages_sent;
	}
}
