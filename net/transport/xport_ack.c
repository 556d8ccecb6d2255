/* Acknowledgements, round trips (RFC 6298), loss found by order of sending (RFC 8985), the window. */
#include "net/transport/xport_priv.h"

/* Loss is assumed only when what arrived was sent this much later. */
static uint64_t reorder_slack(const struct xport_peer *p)
{
	return MAX(p->srtt / 4, 10 * NS_PER_US);
}

static uint64_t rto_base(const struct xport_peer *p)
{
	uint64_t rto = p->srtt + MAX(4 * p->rttvar, 10 * NS_PER_US) + xport_ack_delay(p) +
		       xport_lateness(p);

	return p->srtt == 0 ? XPORT_RTO_FIRST : MAX(rto, XPORT_RTO_MIN);
}

uint64_t xport_rto(const struct xport_peer *p)
{
	return MIN(rto_base(p) << p->backoff, XPORT_RTO_MAX);
}

static void rtt_sample(struct xport_peer *p, uint64_t rtt)
{
	uint64_t off = rtt > p->srtt ? rtt - p->srtt : p->srtt - rtt;

	hist_add(&p->stats.rtt, rtt);
	if (p->srtt == 0) {
		p->srtt = MAX(rtt, 1ull);
		p->rttvar = rtt / 2;
		return;
	}
	p->rttvar += off / 4 - p->rttvar / 4;
	p->srtt = MAX(p->srtt + rtt / 8 - p->srtt / 8, 1ull);
}

static void stamps_in(struct xport_peer *p, uint64_t now, const struct wire_session *s)
{
	uint32_t elapsed = (uint32_t)(now >> 4) - s->echo;

	if (s->echo != 0 && s->echo != p->last_echo) {
		p->last_echo = s->echo;
		/* Nonsense from a damaged peer is not worth more than no sample. */
		if (s->held <= elapsed && elapsed < UINT32_MAX / 2)
			rtt_sample(p, (uint64_t)(elapsed - s->held) << 4);
	}
	p->peer_stamp = s->stamp;
	p->peer_stamp_at = now;
}

/* At most one cut per round trip: the losses of one burst are one event. */
static void window_cut(struct xport_peer *p, uint64_t now)
{
	if (now < p->window_cut_at)
		return;
	p->window_cut_at = now + p->srtt;
	p->window = MAX(p->window * 3 / 4, XPORT_WINDOW_MIN);
	p->window_part = 0;
}

/* By one frame for each window of bytes that arrived. */
static void window_grow(struct xport_peer *p, unsigned acked)
{
	p->window_part += acked;
	if (p->window_part < p->window * p->mtu || p->window >= XPORT_WINDOW)
		return;
	p->window_part = 0;
	p->window++;
}

/* Returns the bytes that are acknowledged by it. */
static unsigned seg_ack(struct xport_peer *p, struct xport_channel *ch, struct xport_seg *seg,
			uint64_t now)
{
	if (seg->acked)
		return 0;
	seg->acked = true;
	if (seg->lost)
		ch->lost--;
	else
		p->flight -= seg->len;
	/* An answer sooner than half a round trip is to an earlier copy of the segment. */
	if (!seg->resent || now - seg->sent >= p->srtt / 2)
		p->newest_acked = MAX(p->newest_acked, seg->sent);
	return seg->len;
}

static void seg_lost(struct xport_peer *p, struct xport_channel *ch, struct xport_seg *seg)
{
	seg->lost = true;
	ch->lost++;
	p->flight -= seg->len;
}

/* Takes the acknowledgements of one channel; returns how many bytes they were news for. */
static unsigned channel_ack(struct xport_peer *p, unsigned c, uint64_t now, uint32_t next,
			    uint64_t sack)
{
	struct xport_channel *ch = &p->ch[c];
	unsigned news = 0;

	if (next - ch->una > ch->next - ch->una)
		return 0; /* an old frame */
	for (; ch->una != next; ch->una++) {
		struct xport_seg *seg = xport_seg(ch, ch->una);

		news += seg_ack(p, ch, seg, now);
		if (seg->offset + seg->len == seg->msg_len) {
			hist_add(&p->stats.latency[c],
				 now - ch->msgs[ch->msg_done % XPORT_MSGS].queued);
			ch->msg_done++;
		}
	}
	for (; sack; sack &= sack - 1) {
		uint32_t seq = next + 1 + bit_lowest(sack);

		if (seq - ch->una >= ch->next - ch->una)
			break;
		news += seg_ack(p, ch, xport_seg(ch, seq), now);
	}
	return news;
}

/* Marks what was sent before `limit` and is not acknowledged; returns how many. */
static unsigned mark_lost(struct xport_peer *p, uint64_t limit)
{
	unsigned count = 0;

	for (unsigned c = 0; c < WIRE_CHANNELS; c++) {
		struct xport_channel *ch = &p->ch[c];

		for (uint32_t seq = ch->una; seq != ch->next; seq++) {
			struct xport_seg *seg = xport_seg(ch, seq);

			if (seg->acked || seg->lost || seg->sent >= limit)
				continue;
			seg_lost(p, ch, seg);
			count++;
		}
	}
	return count;
}

void xport_ack_in(struct xport *x, struct xport_peer *p, uint64_t now, const struct wire_session *s)
{
	uint64_t slack;
	unsigned news = 0;

	stamps_in(p, now, s);
	if (s->flags & WIRE_FLAG_ASK)
		p->ack_now = true;
	if (s->rx_max > p->mtu) {
		p->mtu = MIN(MIN(s->rx_max, p->peer_mtu), x->config.mtu);
		p->probes = 0;
		p->probe_at = XPORT_NEVER;
	}
	for (unsigned c = 0; c < WIRE_CHANNELS; c++)
		news += channel_ack(p, c, now, s->next[c], s->sack[c]);
	if (news == 0)
		return;
	p->backoff = 0;
	window_grow(p, news);
	slack = reorder_slack(p);
	if (p->flight > 0 && p->newest_acked > slack && mark_lost(p, p->newest_acked - slack) > 0)
		window_cut(p, now);
	if (p->flight > 0)
		xport_timer(x, p, &p->rto_at, now + xport_rto(p));
	else
		p->rto_at = XPORT_NEVER;
}

void xport_rto_run(struct xport *x, struct xport_peer *p, uint64_t now)
{
	uint64_t base = rto_base(p);

	p->stats.timeouts++;
	if (now > base && mark_lost(p, now - base + 1) > 0)
		window_cut(p, now);
	if (base << p->backoff < XPORT_RTO_MAX)
		p->backoff++;
	if (p->flight > 0)
		xport_timer(x, p, &p->rto_at, now + xport_rto(p));
	else
		p->rto_at = XPORT_NEVER;
}
