/* Building the frames that are due: control first, then the urgent channel, then bulk, then acks. */
#include "net/transport/xport_priv.h"

#include "hv/base/string.h"

static struct wire_head *head_of(void *frame)
{
	return (struct wire_head *)((uint8_t *)frame + WIRE_ETH);
}

static void head_fill(struct xport *x, struct xport_peer *p, struct wire_head *head,
		      enum wire_kind kind, uint32_t src_id, uint32_t dst_id)
{
	head->kind = (uint8_t)kind;
	head->cluster = x->config.cluster;
	head->src_id = src_id;
	head->dst_id = dst_id;
	head->src = x->config.node;
	head->dst = (uint16_t)xport_index(x, p);
}

static size_t seal(struct xport *x, struct xport_peer *p, void *frame, size_t body)
{
	size_t len = wire_seal(frame, p->mac, x->config.mac, body);

	p->stats.frames_out++;
	p->stats.bytes_out += len;
	return len;
}

static size_t tx_open(struct xport *x, struct xport_peer *p, void *frame)
{
	struct wire_head *head = head_of(frame);
	struct wire_open *open = (struct wire_open *)(head + 1);

	memset(open, 0, sizeof(*open));
	open->mtu = x->config.mtu;
	if (p->answer_now) {
		p->answer_now = false;
		head_fill(x, p, head, WIRE_OPEN_ACK, p->answer_src, p->answer_dst);
		return seal(x, p, frame, sizeof(*open));
	}
	p->open_now = false;
	head_fill(x, p, head, WIRE_OPEN, p->local_id, 0);
	if (p->sealed) {
		head->src_id = p->next_local;
		open->have_src = p->local_id;
		open->have_dst = p->remote_id;
	}
	return seal(x, p, frame, sizeof(*open));
}

/* Everything the peer wants to know; whatever frame carries it also serves as acknowledgement. */
static struct wire_session *session_fill(struct xport *x, struct xport_peer *p, uint64_t now,
					 void *frame, enum wire_kind kind)
{
	struct wire_head *head = head_of(frame);
	struct wire_session *s = (struct wire_session *)(head + 1);

	head_fill(x, p, head, kind, p->local_id, p->remote_id);
	for (unsigned c = 0; c < WIRE_CHANNELS; c++) {
		s->next[c] = p->ch[c].rcv_next;
		s->sack[c] = p->ch[c].rcv_early;
	}
	s->stamp = MAX((uint32_t)(now >> 4), 1u);
	s->echo = p->peer_stamp;
	s->held = (uint32_t)((now - p->peer_stamp_at) >> 4);
	s->rx_max = p->rx_max;
	s->flags = p->ask ? WIRE_FLAG_ASK : 0;
	s->zero = 0;
	p->ask = p->ack_now = false;
	p->ack_at = XPORT_NEVER;
	p->ack_count = 0;
	return s;
}

static size_t tx_ack(struct xport *x, struct xport_peer *p, uint64_t now, void *frame)
{
	struct wire_session *s = session_fill(x, p, now, frame, WIRE_ACK);

	p->stats.acks_alone++;
	return seal(x, p, frame, sizeof(*s));
}

static size_t tx_probe(struct xport *x, struct xport_peer *p, uint64_t now, void *frame)
{
	struct wire_session *s = session_fill(x, p, now, frame, WIRE_PROBE);
	size_t body = MIN(p->peer_mtu, x->config.mtu) - sizeof(struct wire_head);

	p->probe_now = false;
	p->probes--;
	if (p->probes > 0)
		xport_timer(x, p, &p->probe_at, now + xport_rto(p));
	memset(s + 1, 0, body - sizeof(*s));
	return seal(x, p, frame, body);
}

/*
 * The next segment the channel may send: a lost one, else one cut from the queue. NULL: none, or not one
 * of at most `room` bytes. How a message is cut does not depend on the room.
 */
static struct xport_seg *next_seg(struct xport_peer *p, struct xport_channel *ch, size_t room,
				  uint32_t *seq)
{
	struct xport_msg *m = &ch->msgs[ch->msg_cut % XPORT_MSGS];
	struct xport_seg *seg;
	uint16_t len;

	if (ch->lost > 0) {
		for (*seq = ch->una; !xport_seg(ch, *seq)->lost || xport_seg(ch, *seq)->acked;)
			++*seq;
		seg = xport_seg(ch, *seq);
		if (seg->len > room)
			return NULL;
		seg->lost = false;
		seg->resent = true;
		ch->lost--;
		p->stats.resent++;
		return seg;
	}
	if (ch->msg_cut == ch->msg_end || ch->next - ch->una >= XPORT_WINDOW)
		return NULL;
	len = (uint16_t)MIN(m->len - ch->cut, p->mtu - WIRE_DATA_HEAD);
	if (len > room)
		return NULL;
	*seq = ch->next++;
	seg = xport_seg(ch, *seq);
	seg->pos = m->pos + ch->cut;
	seg->offset = (uint16_t)ch->cut;
	seg->msg_len = m->len;
	seg->len = len;
	seg->acked = seg->lost = seg->resent = false;
	ch->cut += seg->len;
	if (ch->cut == m->len) {
		ch->msg_cut++;
		ch->cut = 0;
	}
	return seg;
}

/* Returns where the next one goes. */
static uint8_t *put_seg(const struct xport_channel *ch, const struct xport_seg *seg, uint32_t seq,
			unsigned c, uint8_t *at)
{
	uint32_t start = seg->pos % XPORT_SEND_BYTES;
	uint32_t part = MIN((uint32_t)seg->len, XPORT_SEND_BYTES - start);
	struct wire_data *data = (struct wire_data *)at;

	data->seq = seq;
	data->msg_len = seg->msg_len;
	data->offset = seg->offset;
	data->len = seg->len;
	data->channel = (uint8_t)c;
	data->zero = 0;
	at += sizeof(*data);
	memcpy(at, ch->bytes + start, part);
	memcpy(at + part, ch->bytes, seg->len - part);
	return at + seg->len;
}

static size_t tx_data(struct xport *x, struct xport_peer *p, unsigned c, uint64_t now, void *frame)
{
	struct xport_channel *ch = &p->ch[c];
	unsigned most = (p->window + (c == WIRE_URGENT ? XPORT_URGENT_EXTRA : 0)) * p->mtu;
	uint8_t *body = (uint8_t *)(head_of(frame) + 1);
	uint8_t *first = body + sizeof(struct wire_session), *at = first;
	uint8_t *last = (uint8_t *)head_of(frame) + p->mtu - sizeof(struct wire_data);
	struct xport_seg *seg;
	uint32_t seq;

	while (p->flight < most && at < last &&
	       (seg = next_seg(p, ch, (size_t)(last - at), &seq)) != NULL) {
		seg->sent = now;
		if (p->flight == 0 || p->rto_at == XPORT_NEVER)
			xport_timer(x, p, &p->rto_at, now + xport_rto(p));
		p->flight += seg->len;
		at = put_seg(ch, seg, seq, c, at);
	}
	if (at == first)
		return 0;
	session_fill(x, p, now, frame, WIRE_DATA);
	return seal(x, p, frame, (size_t)(at - body));
}

static size_t tx_peer(struct xport *x, struct xport_peer *p, enum wire_channel c, uint64_t now,
		      void *frame)
{
	size_t len = 0;

	if (p->state == XPORT_OFF)
		return 0;
	if (p->answer_now || p->open_now)
		return tx_open(x, p, frame);
	if (p->state != XPORT_OPEN)
		return 0;
	len = tx_data(x, p, c, now, frame);
	if (len == 0 && c == WIRE_BULK && p->ack_now)
		len = tx_ack(x, p, now, frame);
	if (len == 0 && c == WIRE_BULK && p->probe_now)
		len = tx_probe(x, p, now, frame);
	return len;
}

static void timers_peer(struct xport *x, struct xport_peer *p, uint64_t now)
{
	if (p->open_at <= now) {
		p->open_now = true;
		p->ack_now = p->ask = p->state == XPORT_OPEN;
		xport_timer(x, p, &p->open_at, now + p->open_wait);
		p->open_wait = MIN(2 * p->open_wait, XPORT_OPEN_WAIT_MAX);
	}
	if (p->ack_at <= now) {
		p->ack_at = XPORT_NEVER;
		p->ack_now = true;
	}
	if (p->probe_at <= now) {
		p->probe_at = XPORT_NEVER;
		p->probe_now = p->probes > 0;
	}
	if (p->rto_at <= now)
		xport_rto_run(x, p, now);
}

static uint64_t first_timer(const struct xport_peer *p)
{
	return MIN(MIN(p->open_at, p->ack_at), MIN(p->probe_at, p->rto_at));
}

static void timers_run(struct xport *x, uint64_t now)
{
	x->timer_at = x->wake_at = XPORT_NEVER;

	for (unsigned i = 0; i < x->peer_count; i++) {
		struct xport_peer *p = &x->peers[i];
		uint64_t first;

		if (p->state == XPORT_OFF)
			continue;
		if (first_timer(p) <= now) {
			timers_peer(x, p, now);
			xport_ready(x, p);
		}
		first = first_timer(p);
		if (first != XPORT_NEVER)
			xport_due(x, p, first);
	}
}

size_t xport_tx(struct xport *x, uint64_t now, void *buf)
{
	if (now >= x->timer_at)
		timers_run(x, now);
	if (x->ready == 0)
		return 0;
	for (unsigned c = 0; c < WIRE_CHANNELS; c++) {
		/* In turns: first the peers behind the one served last, then the others. */
		uint64_t later = x->ready & ~(BIT(x->turn + 1) - 1), sooner = x->ready & ~later;

		for (; later | sooner; later ? (later &= later - 1) : (sooner &= sooner - 1)) {
			unsigned n = bit_lowest(later ? later : sooner);
			size_t len = tx_peer(x, &x->peers[n], c, now, buf);

			if (len > 0) {
				x->turn = n;
				return len;
			}
		}
	}
	x->ready = 0;
	return 0;
}

uint64_t xport_deadline(const struct xport *x)
{
	return x->ready ? 0 : x->wake_at;
}
