/*
 * Messages that the transport has no room for yet: one queue per peer and channel, first in, first out.
 * A queue that is full delays its own peer and channel alone. Portable; nothing is allocated; the owner
 * calls one function at a time, under the lock that the transport is under.
 *
 * Two kinds of sender share a queue:
 * - OUTBOX_WAITS: who can wait, because nobody waits for it: a vCPU that sends an interrupt, an EOI, a device
 *   access. Where it finds the queue full it is told ERR_BUSY and comes back when outbox_room() says so,
 *   serving the other nodes until then. A guest can send as many of these as it likes; it stops itself and
 *   nobody else.
 * - OUTBOX_OWED: who can't wait: the handler of a message, the coherence engine, which run under the lock
 *   that room comes under. Such messages are answers and orders, each of which stands for a request that is
 *   open somewhere in the cluster and that is not made again before it was answered. So the requests that can
 *   be open bound how many can wait for one peer, and `owed` bytes of each queue are kept for them alone.
 *   ERR_NOMEM: a peer has broken the protocol that this rests on; no guest can bring that about.
 *
 * Room comes only as the peer acknowledges: outbox_flush() after frames came in. A peer that acknowledges
 * nothing is lost after a time (cluster.h), and who waits for it has to look at that.
 */
#ifndef NET_TRANSPORT_OUTBOX_H
#define NET_TRANSPORT_OUTBOX_H

#include "net/transport/xport.h"

/* Bytes of its queue that a message of `len` bytes takes. */
#define OUTBOX_BYTES(len) ((len) + 2u)

enum outbox_sender { OUTBOX_WAITS, OUTBOX_OWED };

struct outbox_config {
	unsigned peers; /* 1 to WIRE_NODES, this node included */
	/*
	 * Of each peer's queue: its bytes, and how many of them are for OUTBOX_OWED alone (fewer). Sums of
	 * OUTBOX_BYTES.
	 */
	uint32_t bytes[WIRE_CHANNELS], owed[WIRE_CHANNELS];
	/* As xport_send(): copies the message, or says ERR_BUSY, or that there is no such peer. */
	int (*send)(void *ctx, unsigned node, enum wire_channel channel,
		    const struct xport_part *parts, unsigned count);
	void *ctx;
};

struct outbox_queue {
	uint8_t *ring;
	uint32_t first, used; /* where the oldest message begins; bytes that wait */
	uint32_t most;        /* of `used`, ever */
};

struct outbox {
	struct outbox_config config;
	uint32_t waiting[WIRE_CHANNELS]; /* bit n: something waits for node n */
	uint64_t kept;                   /* messages that had to wait here, ever */
	uint64_t refused;                /* and those whose sender was told to come back */
	struct outbox_queue queues[WIRE_NODES][WIRE_CHANNELS];
};

/* Bytes of memory that outbox_init() needs; any alignment will do. */
size_t outbox_memory(const struct outbox_config *config);
/* `mem` stays the outbox's. */
void outbox_init(struct outbox *o, const struct outbox_config *config, void *mem);

/*
 * Sends one message made of `count` parts, 1 to WIRE_MSG_MAX bytes together, copied at once: to the transport
 * where it has room and nothing older waits, else into the queue. 0: it will go, in order. ERR_BUSY, to
 * OUTBOX_WAITS alone: the queue is full. ERR_NOMEM, to OUTBOX_OWED alone: more is owed than can be.
 * ERR_RANGE: empty, or too long. Else what `send` said.
 */
int outbox_send(struct outbox *o, unsigned node, enum wire_channel channel,
		enum outbox_sender sender, const struct xport_part *parts,
		unsigned count) MUST_CHECK;

/*
 * True when outbox_send() has a place for a message of `len` bytes of that sender's, whatever the transport
 * says.
 */
bool outbox_room(const struct outbox *o, unsigned node, enum wire_channel channel,
		 enum outbox_sender sender, size_t len);

/* Gives the transport what it has room for, each queue in its order, the urgent channel's first. */
void outbox_flush(struct outbox *o);

/* True when nothing waits. */
bool outbox_idle(const struct outbox *o);

#endif
