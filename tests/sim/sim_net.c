/* The network under the nodes: ordered channels with latency and bandwidth, or the real transport. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim_priv.h"

#define POOL 64
#define MTU  1500

/* When what `node` sends now has left it: one frame after the other. */
static uint64_t leave_at(struct sim *s, uint16_t node, size_t bytes)
{
	struct sim_node *n = &s->nodes[node];

	n->egress_at = MAX(n->egress_at, s->now) + bytes * s->cfg.byte_ps / 1000;
	return n->egress_at;
}

static void send_channel(struct sim *s, uint16_t from, const struct dsm_action *a)
{
	unsigned class = dsm_msg_class(&a->msg);
	size_t bytes = DSM_WIRE_BYTES + (class == DSM_BULK ? PAGE_SIZE : 0);
	uint64_t *last = &s->channel_at[((size_t)from * s->cfg.nodes + a->node) * 2 + class];
	uint64_t at = leave_at(s, from, bytes) + s->cfg.one_way_ns +
		      sim_random(s, s->cfg.one_way_ns / 4 + 1);

	at = MAX(at, *last + 1);
	*last = at;
	sim_push(s, (struct sim_event){
			    .at = at,
			    .kind = SIM_ARRIVE,
			    .node = a->node,
			    .from = from,
			    .msg = a->msg,
			    .content = class == DSM_BULK ? s->nodes[from].content[a->frame] : 0});
}

static int hand_over(struct sim *s, uint16_t from, const struct sim_wait *w)
{
	struct xport_part part = {w->bytes, w->len};

	return xport_send(&s->nodes[from].x, s->now, w->to, (enum wire_channel)w->channel, &part,
			  1);
}

/* What the transport had no room for, in order. */
static void send_waiting(struct sim *s, uint16_t from)
{
	struct sim_node *n = &s->nodes[from];

	while (n->waiting) {
		struct sim_wait *w = n->waiting;
		int err = hand_over(s, from, w);

		if (err == ERR_BUSY)
			return;
		if (err)
			sim_wrong(s, "the transport refused a message");
		n->waiting = w->next;
		if (!n->waiting)
			n->waiting_end = &n->waiting;
		free(w);
	}
}

void sim_send(struct sim *s, uint16_t from, const struct dsm_action *a)
{
	struct sim_node *n = &s->nodes[from];
	struct sim_wait *w;

	if (!s->cfg.transport) {
		send_channel(s, from, a);
		return;
	}
	w = malloc(sizeof(*w));
	if (!w)
		exit(2);
	w->next = NULL;
	w->to = a->node;
	w->channel = dsm_msg_class(&a->msg) == DSM_BULK ? WIRE_BULK : WIRE_URGENT;
	w->len = DSM_WIRE_BYTES;
	dsm_msg_encode(&a->msg, w->bytes);
	if (a->msg.flags & DSM_F_PAGE) {
		for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
			memcpy(w->bytes + DSM_WIRE_BYTES + 8 * i, &n->content[a->frame], 8);
		w->len += PAGE_SIZE;
	}
	*n->waiting_end = w;
	n->waiting_end = &w->next;
	/* From the event loop, not from here: the engine's actions are still being carried out. */
	if (n->wake_at > s->now) {
		n->wake_at = s->now;
		sim_push(s, (struct sim_event){.at = s->now, .kind = SIM_WAKE, .node = from});
	}
}

static void receive(struct sim *s, uint16_t node, const struct xport_event *ev)
{
	struct dsm_event in = {.kind = DSM_EV_MESSAGE, .peer = ev->node};
	const uint8_t *page = (const uint8_t *)ev->data + DSM_WIRE_BYTES;
	uint64_t first = 0, other;

	if (ev->kind == XPORT_UP)
		return;
	if (ev->kind == XPORT_DOWN) {
		sim_wrong(s, "the transport gave a session up");
		return;
	}
	if (dsm_msg_decode(&in.msg, ev->data, ev->len) < 0) {
		sim_wrong(s, "a message came damaged through the transport");
		return;
	}
	if (in.msg.flags & DSM_F_PAGE) {
		memcpy(&first, page, 8);
		for (unsigned i = 1; i < PAGE_SIZE / 8; i++) {
			memcpy(&other, page + 8 * i, 8);
			if (other != first)
				sim_wrong(s, "a page came damaged through the transport");
		}
	}
	if (!s->nodes[node].stopped)
		sim_step(s, node, in, first);
}

static void put_frame(struct sim *s, uint16_t node, const uint8_t *buf, size_t len)
{
	unsigned to = buf[5]; /* the last byte of the receiver's address is its number */
	unsigned copies = 1;

	s->r.frames++;
	if (sim_random(s, 1000) < s->cfg.lose)
		copies = 0;
	else if (sim_random(s, 1000) < s->cfg.twice)
		copies = 2;
	for (; copies; copies--) {
		uint64_t at = leave_at(s, node, len) + s->cfg.one_way_ns +
			      sim_random(s, s->cfg.one_way_ns / 4 + 1);
		uint8_t *copy = malloc(len);

		if (!copy)
			exit(2);
		if (sim_random(s, 1000) < s->cfg.late)
			at += sim_random(s, 20 * s->cfg.one_way_ns);
		memcpy(copy, buf, len);
		sim_push(s, (struct sim_event){.at = at,
					       .kind = SIM_FRAME,
					       .node = (uint16_t)to,
					       .from = node,
					       .frame = copy,
					       .len = len});
	}
}

void sim_net_run(struct sim *s, uint16_t node)
{
	struct sim_node *n = &s->nodes[node];
	uint8_t buf[WIRE_ETH + MTU];
	uint64_t due;
	size_t len;

	if (n->dead)
		return;
	send_waiting(s, node);
	while ((len = xport_tx(&n->x, s->now, buf)))
		put_frame(s, node, buf, len);
	due = xport_deadline(&n->x);
	if (due < n->wake_at) {
		n->wake_at = MAX(due, s->now + 1);
		sim_push(s, (struct sim_event){.at = n->wake_at, .kind = SIM_WAKE, .node = node});
	}
}

void sim_net_frame(struct sim *s, struct sim_event *e)
{
	struct sim_node *n = &s->nodes[e->node];
	struct xport_event ev;

	if (n->dead)
		return;
	xport_rx(&n->x, s->now, e->frame, e->len);
	while (xport_poll(&n->x, s->now, &ev))
		receive(s, e->node, &ev);
	sim_net_run(s, e->node);
}

void sim_net_start(struct sim *s)
{
	for (uint16_t i = 0; i < s->cfg.nodes; i++) {
		struct sim_node *n = &s->nodes[i];
		struct xport_config c = {.mac = {2, 0, 0, 0, 0, (uint8_t)i},
					 .node = i,
					 .mtu = MTU,
					 .cluster = 7,
					 .seed = s->cfg.seed * 1000 + i + 1};

		n->peers = calloc(s->cfg.nodes, sizeof(*n->peers));
		n->pool = calloc(POOL, sizeof(*n->pool));
		n->waiting_end = &n->waiting;
		if (!n->peers || !n->pool)
			exit(2);
		xport_init(&n->x, &c, n->peers, s->cfg.nodes, n->pool, POOL);
		for (uint16_t p = 0; p < s->cfg.nodes; p++) {
			uint8_t mac[WIRE_MAC] = {2, 0, 0, 0, 0, (uint8_t)p};

			if (p != i)
				xport_open(&n->x, 0, p, mac);
		}
		sim_net_run(s, i);
	}
}
