/*
 * The transport: ordered, exactly-once messages between this node and each of its peers, over frames
 * that may be lost, doubled, reordered or damaged. A pure state machine: frames and times go in,
 * frames and messages are pulled out; nothing is allocated and nothing called back.
 *
 *     xport_rx(x, now, frame, len);            a frame came
 *     while (xport_poll(x, now, &event)) ...   take every event before the frame's buffer is reused
 *     while ((n = xport_tx(x, now, buf, cap))) ... send what is due
 *     sleep until xport_deadline(x)            or until a frame comes
 *
 * One CPU at a time; the owner sees to that. Sessions: both ends draw a fresh random id per session;
 * every frame carries both, so that nothing from an earlier life of either end can get in. When the
 * peer turns out to have restarted, XPORT_DOWN and XPORT_UP are reported and what was queued for its
 * earlier life is dropped. Within a session a message is delivered exactly once, in order per
 * channel. All time is in ns on one monotonic clock of the caller's.
 */
#ifndef NET_TRANSPORT_XPORT_H
#define NET_TRANSPORT_XPORT_H

#include "hv/base/counter.h"
#include "net/transport/frame.h"

#define XPORT_WINDOW     64 /* segments in flight per channel; wire_session.sack has as many bits */
#define XPORT_MSGS       256 /* messages queued per channel */
#define XPORT_SEND_BYTES 65536
#define XPORT_NEVER      UINT64_MAX

/* A message queued to be sent; its bytes are in the channel's ring. */
struct xport_msg {
	uint32_t pos; /* of its first byte, counted since the session began; wraps freely */
	uint16_t len;
	uint64_t queued; /* when */
};

/* A segment that was sent and is not acknowledged by `next` yet. */
struct xport_seg {
	uint64_t sent; /* when last */
	uint32_t pos;
	uint16_t offset, len, msg_len;
	bool acked, lost, resent;
};

/* A segment that came too early, kept until its turn. */
struct xport_buf {
	struct xport_buf *next;
	struct wire_data data;
	uint8_t bytes[WIRE_MSG_MAX];
};

struct xport_channel {
	/* Sending: segments [una, next) are in flight. */
	uint32_t una, next;
	uint32_t lost;                       /* how many of them wait to be sent again */
	uint32_t msg_done, msg_cut, msg_end; /* messages acknowledged, cut into segments, queued */
	uint32_t cut;                        /* bytes of message msg_cut that were cut already */
	uint32_t bytes_end;                  /* ring position behind the last queued message */
	/* Receiving. */
	uint32_t rcv_next;
	uint64_t rcv_early;          /* bit i: segment rcv_next + 1 + i is kept in early[] */
	uint16_t asm_len, asm_total; /* the message being put together */
	/* Not cleared by a new session. */
	struct xport_buf *early[XPORT_WINDOW];
	struct xport_seg segs[XPORT_WINDOW];
	struct xport_msg msgs[XPORT_MSGS];
	uint8_t assembly[WIRE_MSG_MAX];
	uint8_t bytes[XPORT_SEND_BYTES];
};

struct xport_stats {
	uint64_t frames_out, frames_in, bytes_out, bytes_in;
	uint64_t msgs_out, msgs_in;
	uint64_t resent; /* segments sent again */
	uint64_t timeouts;
	uint64_t doubled;   /* segments that came twice */
	uint64_t early;     /* segments that came before their turn */
	uint64_t no_buffer; /* early segments dropped because the pool was empty */
	uint64_t strange;   /* frames of no session, or of an earlier life */
	uint64_t acks_alone;
	uint64_t resets;
	struct hist rtt;                    /* ns, one sample per answered stamp */
	struct hist latency[WIRE_CHANNELS]; /* ns from xport_send() to the acknowledgement */
};

enum xport_state { XPORT_OFF, XPORT_OPENING, XPORT_OPEN };

struct xport_peer {
	enum xport_state state;
	uint8_t mac[WIRE_MAC];
	uint16_t mtu;      /* longest frame the path is known to carry */
	uint16_t peer_mtu; /* longest the peer says it can take */
	/*
	 * What the last WIRE_OPEN says, of which anybody can be the sender: believed once a session with that
	 * id begins.
	 */
	uint16_t offered_mtu;
	uint32_t offered_id;
	uint32_t local_id, remote_id;
	uint32_t next_local; /* offered for a session that may replace this one; 0: none */
	uint32_t answer_src, answer_dst; /* ids of the WIRE_OPEN_ACK that is due */
	bool sealed;                     /* the peer has used both ids */
	bool ev_down, ev_up;             /* events not polled yet */
	/* Timers; XPORT_NEVER when not running. */
	uint64_t open_at; /* send WIRE_OPEN, or ask for an answer while not sealed */
	uint64_t open_wait;
	uint64_t rto_at, ack_at, probe_at;
	uint64_t challenge_at; /* no doubt about the session is voiced before */
	unsigned backoff;
	unsigned probes;                                    /* how many may still be sent */
	bool open_now, answer_now, probe_now, ack_now, ask; /* frames that are due */
	unsigned ack_count; /* segments received since the last frame out */
	/* Round trip, RFC 6298. */
	uint64_t srtt, rttvar;
	uint32_t last_echo;
	uint32_t peer_stamp;
	uint64_t peer_stamp_at;
	uint16_t rx_max;
	/*
	 * Congestion: how many full frames of segments may be in flight, the bytes acknowledged since it last
	 * grew, and the bytes in flight: small segments share frames, so counting them would hold them back.
	 */
	unsigned window, window_part, flight;
	uint64_t window_cut_at; /* no second cut for the same loss before */
	uint64_t newest_acked;  /* time of sending of the latest segment known to have arrived */
	struct xport_channel ch[WIRE_CHANNELS];
	struct xport_stats stats;
};

struct xport_config {
	uint8_t mac[WIRE_MAC];
	uint16_t node;    /* own number */
	uint16_t mtu;     /* what the NIC can take and send behind the Ethernet header */
	uint32_t cluster; /* wire_cluster_hash() */
	uint64_t seed;    /* unlike that of any earlier life of this node */
};

struct xport {
	struct xport_config config;
	struct xport_peer *peers; /* by node number */
	unsigned peer_count;
	struct xport_buf *pool; /* free buffers for early segments */
	unsigned pool_free;
	uint64_t random;
	uint64_t ready;    /* bit n: peer n may have something to send */
	uint64_t events;   /* bit n: peer n has ev_down or ev_up */
	uint64_t timer_at; /* no timer of any peer runs out before */
	uint64_t wake_at;  /* and none has run out for too long until then */
	unsigned turn;     /* peer served last */
	/*
	 * What xport_poll still has to deliver of the frame that came last: its segments not looked at yet.
	 */
	struct xport_peer *rx_peer;
	const uint8_t *rx_at, *rx_end;
	uint8_t rx_channel; /* the one before was of this channel: its early segments may be due */
	struct xport_buf *rx_used; /* to be given back at the next poll */
	uint64_t damaged;          /* frames that failed wire_check() */
};

enum xport_event_kind {
	XPORT_UP,   /* a session with `node` began */
	XPORT_DOWN, /* the session ended: the peer restarted or broke the protocol */
	XPORT_MSG,  /* `len` bytes at `data` from `node`, good until the next xport_poll */
};

struct xport_event {
	enum xport_event_kind kind;
	uint16_t node;
	uint8_t channel;
	uint16_t len;
	const void *data;
};

struct xport_part {
	const void *data;
	size_t len;
};

/* `peers` and `pool` belong to the transport from now on; peer_count <= 63 counts this node too. */
void xport_init(struct xport *x, const struct xport_config *config, struct xport_peer *peers,
		unsigned peer_count, struct xport_buf *pool, unsigned pool_count);

/* Starts to talk to the peer, and goes on trying for ever. */
void xport_open(struct xport *x, uint64_t now, unsigned node, const uint8_t mac[WIRE_MAC]);

/*
 * Queues one message made of `count` parts, 1 to WIRE_MSG_MAX bytes together, copied at once.
 * ERR_BUSY: the queue is full, try again after frames came in; ERR_NOTFOUND: no such peer;
 * ERR_RANGE: too long, or empty.
 */
int xport_send(struct xport *x, uint64_t now, unsigned node, enum wire_channel channel,
	       const struct xport_part *parts, unsigned count) MUST_CHECK;

/* True when xport_send would not find the queue full for a message of `len` bytes. */
bool xport_room(const struct xport *x, unsigned node, enum wire_channel channel, size_t len);

/*
 * Takes one received frame, which must stay until xport_poll has returned false. True when it shows that the
 * peer it names lives: it carries an id that this end has drawn for its session with that peer, or for the
 * next one.
 */
bool xport_rx(struct xport *x, uint64_t now, const void *frame, size_t len);

/* Next event; false when there is none. */
bool xport_poll(struct xport *x, uint64_t now, struct xport_event *event);

/* Builds the next frame that is due into `buf` of at least WIRE_ETH + config.mtu bytes; 0: none. */
size_t xport_tx(struct xport *x, uint64_t now, void *buf);

/*
 * When xport_tx is to be called at the latest if no frame comes before; XPORT_NEVER: it has nothing to send.
 * It may have something earlier: who comes by anyway need not wait.
 */
uint64_t xport_deadline(const struct xport *x);

/* True when everything sent to the peer has been acknowledged. */
bool xport_idle(const struct xport *x, unsigned node);

#endif
