/*
 * Sessions. Each end draws a random id; a frame belongs to the session when it carries both. WIRE_OPEN
 * carries the sender's, WIRE_OPEN_ACK both, and the first frame of any other kind with both seals it.
 *
 * A sealed session is given up only for a frame that carries an id drawn for its replacement, which
 * only a living peer can know: late frames from an earlier life can't bring a session down. Who gets
 * a frame with the wrong ids voices doubt with a WIRE_OPEN that names the session it has; a peer that
 * has the same one just acknowledges. Until it is sealed a session is only a guess, which any frame
 * that carries our id corrects.
 */
#include "net/transport/xport_priv.h"

#include "hv/base/string.h"

uint32_t xport_new_id(struct xport *x)
{
	uint64_t z;

	do {
		x->random += 0x9e3779b97f4a7c15ull; /* a Weyl sequence, then mixed */
		z = wire_sum(&x->random, sizeof(x->random), x->config.seed);
	} while ((uint32_t)z == 0);
	return (uint32_t)z;
}

static void early_free(struct xport *x, struct xport_channel *ch)
{
	for (unsigned i = 0; i < XPORT_WINDOW; i++) {
		struct xport_buf *b = ch->early[i];

		if (b == NULL)
			continue;
		ch->early[i] = NULL;
		b->next = x->pool;
		x->pool = b;
		x->pool_free++;
	}
}

void xport_rewind(struct xport *x, struct xport_peer *p, bool keep)
{
	for (unsigned c = 0; c < WIRE_CHANNELS; c++) {
		struct xport_channel *ch = &p->ch[c];

		early_free(x, ch);
		ch->una = ch->next = ch->rcv_next = 0;
		ch->lost = 0;
		ch->cut = 0;
		ch->rcv_early = 0;
		ch->asm_len = ch->asm_total = 0;
		if (keep) {
			ch->msg_cut = ch->msg_done;
		} else {
			ch->msg_done = ch->msg_cut = ch->msg_end = 0;
			ch->bytes_end = 0;
		}
	}
	p->flight = 0;
	p->backoff = 0;
	p->ack_count = 0;
	p->newest_acked = 0;
	p->rto_at = p->ack_at = p->probe_at = XPORT_NEVER;
	p->probes = 0;
	p->probe_now = p->ack_now = p->ask = false;
	p->window = XPORT_WINDOW_FIRST;
	p->window_part = 0;
	p->mtu = WIRE_MTU;
	p->rx_max = 0;
	p->last_echo = p->peer_stamp = 0;
	p->peer_stamp_at = 0;
	p->sealed = false;
	if (x->rx_peer == p)
		x->rx_peer = NULL;
}

static void event_down(struct xport *x, struct xport_peer *p)
{
	/* An XPORT_UP nobody has seen yet takes its XPORT_DOWN with it. */
	if (p->ev_up)
		p->ev_up = false;
	else
		p->ev_down = true;
	x->events |= BIT(xport_index(x, p));
	p->stats.resets++;
}

static void begin(struct xport *x, struct xport_peer *p, uint64_t now, uint32_t local,
		  uint32_t remote)
{
	p->state = XPORT_OPEN;
	p->local_id = local;
	p->remote_id = remote;
	p->next_local = 0;
	p->peer_mtu = p->offered_id == remote ? p->offered_mtu : WIRE_MTU;
	p->open_now = false;
	p->ack_now = p->ask = true;
	p->open_wait = XPORT_OPEN_WAIT_MIN;
	xport_timer(x, p, &p->open_at, now + p->open_wait);
	if (MIN(p->peer_mtu, x->config.mtu) > WIRE_MTU) {
		p->probes = XPORT_PROBES;
		p->probe_now = true;
	}
}

static void event_up(struct xport *x, struct xport_peer *p)
{
	p->ev_up = true;
	x->events |= BIT(xport_index(x, p));
}

/* The peer may have this id. It never acknowledged anything under another, so all is sent again. */
static void guess(struct xport *x, struct xport_peer *p, uint64_t now, uint32_t remote)
{
	if (p->state == XPORT_OPEN && p->remote_id == remote)
		return;
	if (p->state == XPORT_OPENING)
		event_up(x, p);
	xport_rewind(x, p, true);
	begin(x, p, now, p->local_id, remote);
}

static void replace(struct xport *x, struct xport_peer *p, uint64_t now, uint32_t remote)
{
	if (remote == p->remote_id) {
		/* The same life of the peer, which only guessed another of our ids: go on where we are. */
		p->local_id = p->next_local;
		p->next_local = 0;
		p->ack_now = true;
		return;
	}
	xport_rewind(x, p, false);
	event_down(x, p);
	event_up(x, p);
	begin(x, p, now, p->next_local, remote);
}

void xport_break(struct xport *x, struct xport_peer *p, uint64_t now)
{
	xport_rewind(x, p, false);
	event_down(x, p);
	p->state = XPORT_OPENING;
	p->local_id = xport_new_id(x);
	p->remote_id = p->next_local = 0;
	p->open_wait = XPORT_OPEN_WAIT_MIN;
	p->open_now = true;
	p->answer_now = false;
	xport_timer(x, p, &p->open_at, now + p->open_wait);
	xport_ready(x, p);
}

static void offered(struct xport_peer *p, const struct wire_head *head,
		    const struct wire_open *open)
{
	p->offered_id = head->src_id;
	p->offered_mtu = open->mtu;
}

static void answer(struct xport_peer *p, uint32_t src, uint32_t dst)
{
	p->answer_src = src;
	p->answer_dst = dst;
	p->answer_now = true;
}

void xport_open_in(struct xport *x, struct xport_peer *p, uint64_t now,
		   const struct wire_head *head)
{
	const struct wire_open *open = wire_body(head, sizeof(*open));

	(void)now;
	if (open == NULL || head->src_id == 0 || open->mtu < WIRE_MTU)
		return;
	offered(p, head, open);
	if (p->state == XPORT_OPEN && open->have_src == p->remote_id &&
	    open->have_dst == p->local_id) {
		p->ack_now = true;
	} else if (!p->sealed || head->src_id == p->remote_id) {
		answer(p, p->local_id, head->src_id);
	} else {
		if (p->next_local == 0)
			p->next_local = xport_new_id(x);
		answer(p, p->next_local, head->src_id);
	}
}

bool xport_open_ack_in(struct xport *x, struct xport_peer *p, uint64_t now,
		       const struct wire_head *head)
{
	const struct wire_open *open = wire_body(head, sizeof(*open));

	if (open == NULL || head->src_id == 0 || head->dst_id == 0 || open->mtu < WIRE_MTU)
		return false;
	if (head->dst_id != (p->sealed ? p->next_local : p->local_id))
		return false;
	offered(p, head, open);
	if (p->sealed)
		replace(x, p, now, head->src_id);
	else
		guess(x, p, now, head->src_id);
	return true;
}

/* The peer seems to be in another session. Say what we think, but not too often. */
static void doubt(struct xport *x, struct xport_peer *p, uint64_t now)
{
	p->stats.strange++;
	if (p->state != XPORT_OPEN || now < p->challenge_at)
		return;
	p->challenge_at = now + MAX(p->srtt, XPORT_OPEN_WAIT_MIN);
	if (!p->sealed) {
		p->ack_now = p->ask = true;
		return;
	}
	if (p->next_local == 0)
		p->next_local = xport_new_id(x);
	p->open_now = true;
}

bool xport_session_in(struct xport *x, struct xport_peer *p, uint64_t now,
		      const struct wire_head *head)
{
	if (head->src_id == 0 || head->dst_id == 0)
		return false;
	if (!p->sealed && head->dst_id == p->local_id) {
		guess(x, p, now, head->src_id);
	} else if (p->sealed && head->dst_id == p->next_local) {
		replace(x, p, now, head->src_id);
	} else if (!p->sealed || head->dst_id != p->local_id || head->src_id != p->remote_id) {
		doubt(x, p, now);
		return false;
	}
	if (!p->sealed) {
		p->sealed = true;
		p->ask = false;
		p->open_at = XPORT_NEVER;
	}
	p->rx_max = MAX(p->rx_max, head->length);
	return true;
}
