/* The network's card: a real station over a network that loses, doubles, delays and reorders. */
#include <pthread.h>
#include <stdlib.h>

#include "hv/base/string.h"
#include "hv/x86/tsc.h"
#include "net/transport/station.h"
#include "tests/glue/glue.h"

#define POOL    64
#define BEAT_NS (5 * NS_PER_MS)
#define LOST_NS (100 * NS_PER_MS)
/* Threads of a loaded host may not come by for so long. */
#define PATIENT 100

struct frame {
	struct frame *next;
	uint64_t at;
	bool rung;
	size_t len;
	uint8_t bytes[WIRE_ETH + WIRE_MTU_MAX];
};

struct uplink {
	struct glue_node *node;
	struct station station;
	struct xport_peer peers[GLUE_NODES];
	struct xport_buf pool[POOL];
	void (*receiver)(void *ctx, const struct xport_event *event);
	void *ctx;
	bool open, up;
	char ended[sizeof(((struct cluster_event *)0)->text)];
	uint64_t busy_until[GLUE_NODES][WIRE_CHANNELS];
	struct frame *coming; /* by `at` */
};

static struct uplink links[GLUE_NODES];
static struct frame *spare;
static pthread_mutex_t air = PTHREAD_MUTEX_INITIALIZER;

/* --- Frames under way; `air` is held --- */

static struct frame *frame_take(void)
{
	struct frame *f = spare;

	if (f)
		spare = f->next;
	else if (!(f = malloc(sizeof(*f))))
		exit(2);
	return f;
}

static void frame_give(struct frame *f)
{
	f->next = spare;
	spare = f;
}

static void frame_put(struct uplink *to, const void *bytes, size_t len, uint64_t at)
{
	struct frame *f = frame_take(), **p = &to->coming;

	memcpy(f->bytes, bytes, len);
	f->len = len;
	f->at = at;
	f->rung = false;
	while (*p && (*p)->at <= at)
		p = &(*p)->next;
	f->next = *p;
	*p = f;
}

static uint64_t arrival(void)
{
	const struct glue_config *c = &glue.config;
	uint64_t at = glue_now();

	if (c->threads)
		return at;
	at += c->latency_ns + glue_random(c->latency_ns / 4 + 1);
	if (glue_random(1000) < c->late)
		at += glue_random(20 * c->latency_ns);
	return at;
}

static void fly(struct uplink *to, const void *bytes, size_t len)
{
	unsigned copies = 1;

	if (!to->open || atomic_load(&to->node->dead))
		return;
	if (glue_random(1000) < glue.config.lose)
		copies = 0;
	else if (glue_random(1000) < glue.config.twice)
		copies = 2;
	while (copies-- > 0)
		frame_put(to, bytes, len, arrival());
}

static void send_frame(struct uplink *from, const uint8_t *bytes, size_t len)
{
	for (unsigned i = 0; i < glue.config.nodes; i++) {
		bool woken = glue.config.threads && glue.config.wakes;

		if (&links[i] == from || !(bytes[0] & 1 || bytes[5] == i))
			continue;
		pthread_mutex_lock(&air);
		fly(&links[i], bytes, len);
		pthread_mutex_unlock(&air);
		if (woken)
			runner_interrupt(glue.nodes[i].runners[0], GLUE_IRQ_CARD);
	}
}

/* The frame that is due, moved to `buf`; its length, or 0. */
static size_t frame_due(struct uplink *u, uint8_t *buf)
{
	struct frame *f;
	size_t len = 0;

	pthread_mutex_lock(&air);
	f = u->coming;
	if (f && f->at <= glue_now()) {
		u->coming = f->next;
		len = f->len;
		memcpy(buf, f->bytes, len);
		frame_give(f);
	}
	pthread_mutex_unlock(&air);
	return len;
}

uint64_t net_next(void)
{
	uint64_t at = GLUE_NEVER;

	for (unsigned i = 0; i < glue.config.nodes; i++) {
		const struct uplink *u = &links[i];

		if (!u->open || atomic_load(&u->node->dead))
			continue;
		if (u->coming)
			at = MIN(at, u->coming->at);
	}
	return at;
}

void net_ring(void)
{
	for (unsigned i = 0; glue.config.wakes && i < glue.config.nodes; i++)
		for (struct frame *f = links[i].coming; f && f->at <= glue_now(); f = f->next)
			if (!f->rung && !atomic_load(&links[i].node->dead)) {
				f->rung = true;
				runner_interrupt(glue.nodes[i].runners[0], GLUE_IRQ_CARD);
			}
}

void net_reset(void)
{
	for (unsigned i = 0; i < GLUE_NODES; i++) {
		while (links[i].coming) {
			struct frame *f = links[i].coming;

			links[i].coming = f->next;
			frame_give(f);
		}
		links[i].open = false;
	}
}

/* --- The card as hv/cluster sees it --- */

struct uplink *net_open(struct glue_node *n)
{
	const struct glue_config *c = &glue.config;
	struct uplink *u = &links[n->id];
	struct cluster_config cluster = {
		.name = "glue",
		.mac = {2, 0, 0, 0, 0, (uint8_t)n->id},
		.nodes = (uint16_t)c->nodes,
		.cpus = (uint16_t)c->cpus[n->id],
		.ram = MIB(64),
		.tsc_khz = TICKS_PER_NS * 1000000,
		.tsc_invariant = true,
		.has_guest = n->id == c->seed % c->nodes,
		.life = glue_random(0) | 1,
		.beat_ns = BEAT_NS,
		.lost_ns = LOST_NS * (c->threads ? PATIENT : 1),
	};

	u->node = n;
	u->receiver = NULL;
	u->up = false;
	u->ended[0] = '\0';
	memset(u->busy_until, 0, sizeof(u->busy_until));
	station_init(&u->station, &cluster, c->mtu, u->peers, GLUE_NODES, u->pool, POOL,
		     tsc_now_ns());
	pthread_mutex_lock(&air);
	u->open = true;
	pthread_mutex_unlock(&air);
	return u;
}

static void take_events(struct uplink *u)
{
	struct station_event e;

	while (station_poll(&u->station, tsc_now_ns(), &e)) {
		if (e.kind == STATION_WIRE && u->receiver)
			u->receiver(u->ctx, &e.wire);
		else if (e.kind == STATION_CLUSTER && e.cluster.kind == CLUSTER_UP)
			u->up = true;
		else if (e.kind == STATION_CLUSTER &&
			 (e.cluster.kind == CLUSTER_LOST || e.cluster.kind == CLUSTER_REFUSED))
			str_copy(u->ended, e.cluster.text, sizeof(u->ended));
	}
}

void uplink_poll(struct uplink *u)
{
	uint8_t buf[WIRE_ETH + WIRE_MTU_MAX];
	uint64_t seen = tsc_now_ns();
	bool any = false;
	size_t len;

	while ((len = frame_due(u, buf)) > 0) {
		station_rx(&u->station, tsc_now_ns(), buf, len);
		take_events(u);
		any = true;
	}
	station_heard(&u->station, seen);
	take_events(u);
	uplink_flush(u);
	if (any)
		sched_stir();
	glue_yield(any ? PACE_POINT : PACE_RELAX);
}

void uplink_flush(struct uplink *u)
{
	uint8_t buf[WIRE_ETH + WIRE_MTU_MAX];
	size_t len;

	while ((len = station_tx(&u->station, tsc_now_ns(), buf)) > 0)
		send_frame(u, buf, len);
}

int uplink_send(struct uplink *u, unsigned node, enum wire_channel channel,
		const struct xport_part *parts, unsigned count)
{
	uint64_t now = tsc_now_ns(), *until = &u->busy_until[node][channel];

	/* As when its ring is full. */
	if (now < *until)
		return ERR_BUSY;
	if (glue_random(1000) < glue.config.busy) {
		*until = now + glue_random(150 * NS_PER_US);
		return ERR_BUSY;
	}
	return xport_send(&u->station.xport, now, node, channel, parts, count);
}

uint64_t uplink_deadline(struct uplink *u, uint64_t now_ns)
{
	return station_deadline(&u->station);
}

void uplink_receive(struct uplink *u, void (*fn)(void *ctx, const struct xport_event *event),
		    void *ctx)
{
	u->receiver = fn;
	u->ctx = ctx;
}

bool uplink_up(const struct uplink *u, unsigned *self, unsigned *head)
{
	*self = u->station.cluster.self;
	*head = u->station.cluster.head;
	return u->up;
}

const char *uplink_ended(const struct uplink *u)
{
	return u->ended[0] ? u->ended : NULL;
}

const struct cluster *uplink_cluster(const struct uplink *u)
{
	return &u->station.cluster;
}

uint16_t uplink_mtu(const struct uplink *u)
{
	return u->station.mtu;
}

bool uplink_wakes(const struct uplink *u)
{
	return glue.config.wakes;
}

void uplink_stop(struct uplink *u, const char *why)
{
	station_stop(&u->station, why);
	uplink_flush(u);
}

bool uplink_send_frame(struct uplink *u, const void *frame, size_t len)
{
	return false;
}
