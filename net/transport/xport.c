/* The transport's front: set-up, queueing, frames in and messages out. */
#include "net/transport/xport.h"

#include "hv/base/string.h"
#include "net/transport/xport_priv.h"

void xport_init(struct xport *x, const struct xport_config *config, struct xport_peer *peers,
		unsigned peer_count, struct xport_buf *pool, unsigned pool_count)
{
	ASSERT(peer_count <= 63 && config->mtu >= WIRE_MTU && config->mtu <= WIRE_MTU_MAX);
	memset(x, 0, sizeof(*x));
	x->config = *config;
	x->peers = peers;
	x->peer_count = peer_count;
	x->timer_at = x->wake_at = XPORT_NEVER;
	for (unsigned i = 0; i < pool_count; i++) {
		pool[i].next = x->pool;
		x->pool = &pool[i];
	}
	x->pool_free = pool_count;
	for (unsigned i = 0; i < peer_count; i++) {
		struct xport_peer *p = &peers[i];

		memset(p, 0, offsetof(struct xport_peer, ch));
		memset(&p->stats, 0, sizeof(p->stats));
		for (unsigned c = 0; c < WIRE_CHANNELS; c++)
			memset(&p->ch[c], 0, offsetof(struct xport_channel, segs));
		xport_rewind(x, p, false);
		p->open_at = XPORT_NEVER;
	}
}

void xport_open(struct xport *x, uint64_t now, unsigned node, const uint8_t mac[WIRE_MAC])
{
	struct xport_peer *p = &x->peers[node];

	ASSERT(node < x->peer_count && node != x->config.node && p->state == XPORT_OFF);
	memcpy(p->mac, mac, WIRE_MAC);
	xport_rewind(x, p, false);
	p->state = XPORT_OPENING;
	p->local_id = xport_new_id(x);
	p->remote_id = p->next_local = 0;
	p->peer_mtu = WIRE_MTU;
	p->offered_id = 0;
	p->srtt = p->rttvar = 0;
	p->challenge_at = 0;
	p->open_wait = XPORT_OPEN_WAIT_MIN;
	p->open_now = true;
	xport_timer(x, p, &p->open_at, now + p->open_wait);
	xport_ready(x, p);
}

static uint32_t bytes_queued(const struct xport_channel *ch)
{
	if (ch->msg_done == ch->msg_end)
		return 0;
	return ch->bytes_end - ch->msgs[ch->msg_done % XPORT_MSGS].pos;
}

bool xport_room(const struct xport *x, unsigned node, enum wire_channel channel, size_t len)
{
	const struct xport_channel *ch = &x->peers[node].ch[channel];

	return ch->msg_end - ch->msg_done < XPORT_MSGS &&
	       bytes_queued(ch) + len <= XPORT_SEND_BYTES;
}

static void bytes_put(struct xport_channel *ch, const uint8_t *data, size_t len)
{
	uint32_t start = ch->bytes_end % XPORT_SEND_BYTES;
	size_t part = MIN(len, (size_t)(XPORT_SEND_BYTES - start));

	memcpy(ch->bytes + start, data, part);
	memcpy(ch->bytes, data + part, len - part);
	ch->bytes_end += (uint32_t)len;
}

int xport_send(struct xport *x, uint64_t now, unsigned node, enum wire_channel channel,
	       const struct xport_part *parts, unsigned count)
{
	struct xport_channel *ch;
	struct xport_msg *m;
	size_t len = 0;

	if (node >= x->peer_count || x->peers[node].state == XPORT_OFF)
		return ERR_NOTFOUND;
	ch = &x->peers[node].ch[channel];
	for (unsigned i = 0; i < count; i++)
		len += parts[i].len;
	if (len == 0 || len > WIRE_MSG_MAX)
		return ERR_RANGE;
	if (!xport_room(x, node, channel, len))
		return ERR_BUSY;
	/* An empty ring begins at its start, which the caches know. */
	if (ch->msg_done == ch->msg_end)
		ch->bytes_end = 0;
	m = &ch->msgs[ch->msg_end % XPORT_MSGS];
	m->pos = ch->bytes_end;
	m->len = (uint16_t)len;
	m->queued = now;
	for (unsigned i = 0; i < count; i++)
		bytes_put(ch, parts[i].data, parts[i].len);
	ch->msg_end++;
	x->peers[node].stats.msgs_out++;
	xport_ready(x, &x->peers[node]);
	return 0;
}

static void keep_early(struct xport *x, struct xport_peer *p, struct xport_channel *ch,
		       uint32_t ahead, const struct wire_data *data)
{
	struct xport_buf *b = x->pool;

	p->stats.early++;
	if (b == NULL) {
		p->stats.no_buffer++;
		return;
	}
	x->pool = b->next;
	x->pool_free--;
	b->data = *data;
	memcpy(b->bytes, data + 1, data->len);
	ch->early[data->seq % XPORT_WINDOW] = b;
	ch->rcv_early |= BIT(ahead - 1);
}

static bool segment_fits(const struct wire_data *data, size_t room)
{
	return room > sizeof(*data) && data->len > 0 && data->len <= room - sizeof(*data) &&
	       data->channel < WIRE_CHANNELS && data->msg_len <= WIRE_MSG_MAX &&
	       data->offset + data->len <= data->msg_len;
}

/* True when it is the segment's turn; one that comes early is kept. */
static bool segment_in(struct xport *x, struct xport_peer *p, uint64_t now,
		       const struct wire_data *data)
{
	struct xport_channel *ch = &p->ch[data->channel];
	uint32_t ahead = data->seq - ch->rcv_next;

	if (ahead == 0) {
		if (++p->ack_count >= XPORT_ACK_EVERY || ch->rcv_early)
			p->ack_now = true;
		else if (p->ack_at == XPORT_NEVER)
			xport_timer(x, p, &p->ack_at, now + xport_ack_delay(p));
		return true;
	}
	p->ack_now = true;
	if (ahead >= XPORT_WINDOW || ch->rcv_early & BIT(ahead - 1))
		p->stats.doubled++;
	else
		keep_early(x, p, ch, ahead, data);
	return false;
}

/* The next segment of the frame whose turn it is; NULL: none is left. */
static const struct wire_data *next_in_turn(struct xport *x, struct xport_peer *p, uint64_t now)
{
	while (x->rx_at < x->rx_end) {
		const struct wire_data *data = (const struct wire_data *)x->rx_at;

		if (!segment_fits(data, (size_t)(x->rx_end - x->rx_at))) {
			xport_break(x, p, now);
			return NULL;
		}
		x->rx_at += sizeof(*data) + data->len;
		if (segment_in(x, p, now, data))
			return data;
	}
	return NULL;
}

/* True when it is one of the session's. */
static bool frame_in(struct xport *x, struct xport_peer *p, uint64_t now,
		     const struct wire_head *head)
{
	const struct wire_session *s = wire_body(head, sizeof(*s));

	if (s == NULL || !xport_session_in(x, p, now, head))
		return false;
	xport_ack_in(x, p, now, s);
	if (head->kind != WIRE_DATA)
		return true;
	x->rx_peer = p;
	x->rx_at = (const uint8_t *)(s + 1);
	x->rx_end = (const uint8_t *)head + head->length;
	return true;
}

bool xport_rx(struct xport *x, uint64_t now, const void *frame, size_t len)
{
	int err;
	const struct wire_head *head = wire_check(frame, len, &err);
	struct xport_peer *p;
	bool lives = false;

	ASSERT(x->rx_peer == NULL);
	if (err) {
		x->damaged += err == ERR_INVALID;
		return false;
	}
	if (head->cluster != x->config.cluster || head->dst != x->config.node ||
	    head->src >= x->peer_count)
		return false;
	p = &x->peers[head->src];
	if (p->state == XPORT_OFF || memcmp(wire_eth_of(frame)->src, p->mac, WIRE_MAC) != 0)
		return false;
	p->stats.frames_in++;
	p->stats.bytes_in += len;
	if (head->kind == WIRE_OPEN)
		xport_open_in(x, p, now, head);
	else if (head->kind == WIRE_OPEN_ACK)
		lives = xport_open_ack_in(x, p, now, head);
	else if (head->kind >= WIRE_DATA && head->kind <= WIRE_PROBE)
		lives = frame_in(x, p, now, head);
	xport_ready(x, p);
	return lives;
}

/* Takes the segment whose turn it is. 1: a message is whole; 0: not yet; else the peer is broken. */
static int take(struct xport_channel *ch, const struct wire_data *data, const void *bytes,
		struct xport_event *event)
{
	ch->rcv_next++;
	ch->rcv_early >>= 1;
	event->len = data->msg_len;
	event->data = bytes;
	if (data->offset != ch->asm_len || (data->offset && data->msg_len != ch->asm_total))
		return ERR_INVALID;
	if (data->len == data->msg_len)
		return 1;
	memcpy(ch->assembly + data->offset, bytes, data->len);
	ch->asm_total = data->msg_len;
	ch->asm_len += data->len;
	if (ch->asm_len < ch->asm_total)
		return 0;
	ch->asm_len = 0;
	event->data = ch->assembly;
	return 1;
}

static bool poll_event(struct xport *x, struct xport_event *event)
{
	unsigned node = bit_lowest(x->events);
	struct xport_peer *p = &x->peers[node];

	event->node = (uint16_t)node;
	event->kind = p->ev_down ? XPORT_DOWN : XPORT_UP;
	if (p->ev_down)
		p->ev_down = false;
	else
		p->ev_up = false;
	if (!p->ev_up)
		x->events &= ~BIT(node);
	return true;
}

static void give_back(struct xport *x)
{
	if (x->rx_used == NULL)
		return;
	x->rx_used->next = x->pool;
	x->pool = x->rx_used;
	x->rx_used = NULL;
	x->pool_free++;
}

/* The next segment for the receiver: an early one whose turn has come, else of the frame. As take(). */
static int next_segment(struct xport *x, struct xport_peer *p, uint64_t now,
			struct xport_event *event)
{
	struct xport_channel *ch = &p->ch[x->rx_channel];
	struct xport_buf **slot = &ch->early[ch->rcv_next % XPORT_WINDOW];
	const struct wire_data *data;

	if (*slot != NULL) {
		give_back(x);
		x->rx_used = *slot;
		*slot = NULL;
		return take(ch, &x->rx_used->data, x->rx_used->bytes, event);
	}
	data = next_in_turn(x, p, now);
	if (data == NULL) {
		x->rx_peer = NULL;
		return 0;
	}
	x->rx_channel = data->channel;
	return take(&p->ch[data->channel], data, data + 1, event);
}

bool xport_poll(struct xport *x, uint64_t now, struct xport_event *event)
{
	give_back(x);
	while (x->events == 0 && x->rx_peer != NULL) {
		struct xport_peer *p = x->rx_peer;
		int whole = next_segment(x, p, now, event);

		if (whole < 0)
			xport_break(x, p, now);
		if (whole == 1) {
			event->kind = XPORT_MSG;
			event->node = (uint16_t)xport_index(x, p);
			event->channel = x->rx_channel;
			p->stats.msgs_in++;
			return true;
		}
	}
	return x->events ? poll_event(x, event) : false;
}

bool xport_idle(const struct xport *x, unsigned node)
{
	const struct xport_peer *p = &x->peers[node];

	for (unsigned c = 0; c < WIRE_CHANNELS; c++) {
		if (p->ch[c].msg_done != p->ch[c].msg_end)
			return false;
	}
	return true;
}
