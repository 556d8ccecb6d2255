/* What the files of the transport share with each other and with nobody else. */
#ifndef NET_TRANSPORT_XPORT_PRIV_H
#define NET_TRANSPORT_XPORT_PRIV_H

#include "net/transport/xport.h"

/* Bounds of what adapts itself to the measured round trip. */
#define XPORT_OPEN_WAIT_MIN (1 * NS_PER_MS)
#define XPORT_OPEN_WAIT_MAX (256 * NS_PER_MS)
#define XPORT_RTO_FIRST     (10 * NS_PER_MS) /* until a round trip was measured */
#define XPORT_RTO_MIN       (200 * NS_PER_US)
#define XPORT_RTO_MAX       (1 * NS_PER_S)
#define XPORT_ACK_DELAY_MIN (50 * NS_PER_US) /* for data to ride on */
#define XPORT_ACK_DELAY_MAX (5 * NS_PER_MS)
#define XPORT_ACK_EVERY     8
#define XPORT_PROBES        4
#define XPORT_WINDOW_FIRST  32 /* full frames in flight to one peer */
#define XPORT_WINDOW_MIN    8
#define XPORT_URGENT_EXTRA  8 /* how many more the urgent channel may have */

static inline unsigned xport_index(const struct xport *x, const struct xport_peer *p)
{
	return (unsigned)(p - x->peers);
}

static inline void xport_ready(struct xport *x, const struct xport_peer *p)
{
	x->ready |= BIT(xport_index(x, p));
}

/* How long an acknowledgement waits for data to ride on: about as long as an answer to the data takes. */
static inline uint64_t xport_ack_delay(const struct xport_peer *p)
{
	return MIN(MAX(p->srtt, XPORT_ACK_DELAY_MIN), XPORT_ACK_DELAY_MAX);
}

/*
 * How late after a timer's end the owner may come. One who has other reasons to come that often is not asked
 * to set an alarm for each acknowledgement, most of which find data to ride on; where a CPU is emulated,
 * alarms cost more than frames.
 */
static inline uint64_t xport_lateness(const struct xport_peer *p)
{
	return 2 * xport_ack_delay(p);
}

/* One of the peer's timers runs out at `at`. */
static inline void xport_due(struct xport *x, const struct xport_peer *p, uint64_t at)
{
	x->timer_at = MIN(x->timer_at, at);
	x->wake_at = MIN(x->wake_at, at + xport_lateness(p));
}

/* Sets one of the peer's timers. */
static inline void xport_timer(struct xport *x, const struct xport_peer *p, uint64_t *timer,
			       uint64_t at)
{
	*timer = at;
	xport_due(x, p, at);
}

static inline struct xport_seg *xport_seg(struct xport_channel *ch, uint32_t seq)
{
	return &ch->segs[seq % XPORT_WINDOW];
}

/* A fresh session id; never 0. */
uint32_t xport_new_id(struct xport *x);

/* Ends the session and begins to look for a new one; what was queued is dropped. */
void xport_break(struct xport *x, struct xport_peer *p, uint64_t now);
/* Both channels begin at segment 0; with `keep`, what was queued is sent again from its start. */
void xport_rewind(struct xport *x, struct xport_peer *p, bool keep);

/* The frames that seal and doubt sessions; see xport_session.c. */
void xport_open_in(struct xport *x, struct xport_peer *p, uint64_t now,
		   const struct wire_head *head);
/* True when it answers a WIRE_OPEN of ours. */
bool xport_open_ack_in(struct xport *x, struct xport_peer *p, uint64_t now,
		       const struct wire_head *head);
/* True when the frame belongs to the session, which it may have begun. */
bool xport_session_in(struct xport *x, struct xport_peer *p, uint64_t now,
		      const struct wire_head *head);

/* Acknowledgements and round trips; see xport_ack.c. */
void xport_ack_in(struct xport *x, struct xport_peer *p, uint64_t now,
		  const struct wire_session *s);
uint64_t xport_rto(const struct xport_peer *p);
void xport_rto_run(struct xport *x, struct xport_peer *p, uint64_t now);

#endif
