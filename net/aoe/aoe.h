/*
 * An ATA over Ethernet initiator for one target, as a pure state machine: frames and requests in,
 * frames and answers out. It looks for the target by shelf and slot, asks it for its size, spreads
 * each request over frames, and sends again what is not answered in time. AoE, revision 11; ATA8-ACS.
 *
 *     aoe_rx(a, now, frame, len);                               a frame of AOE_ETHERTYPE came
 *     aoe_submit(a, io);
 *     while ((len = aoe_tx(a, now, buf)) > 0) send(buf, len);   after each of these, and at the deadline
 *     while ((io = aoe_done(a))) answer(io, !io->failed);
 */
#ifndef NET_AOE_AOE_H
#define NET_AOE_AOE_H

#include "hv/base/compiler.h"
#include "hv/base/list.h"

#define AOE_ETHERTYPE 0x88a2
#define AOE_ETH       14
#define AOE_MAC       6
#define AOE_SECTOR    512u
#define AOE_FRAMES    32 /* unanswered at a time */

/* The largest frame for an MTU, Ethernet header included. */
#define AOE_FRAME_MAX(mtu) ((size_t)(mtu) + AOE_ETH)

enum aoe_op { AOE_READ, AOE_WRITE, AOE_FLUSH };

/* A request; its owner's until aoe_submit and after aoe_done or aoe_cancel. */
struct aoe_io {
	enum aoe_op op;
	uint64_t sector; /* [sector, sector + count) lies on the disk */
	uint32_t count;  /* 0 for a flush */
	void *owner;
	bool failed; /* the answer */
	/* the initiator's */
	struct list link;
	uint32_t issued; /* sectors that frames were made for */
	unsigned frames; /* of them, unanswered */
};

/*
 * The bytes of a request, from byte `offset` of it on: `get` those of a write, `put` those of a read.
 * `get` may be called again for the same bytes. False fails the request.
 */
struct aoe_data_ops {
	bool (*get)(void *ctx, struct aoe_io *io, uint32_t offset, void *buf, uint32_t len);
	bool (*put)(void *ctx, struct aoe_io *io, uint32_t offset, const void *buf, uint32_t len);
};

struct aoe_config {
	uint8_t mac[AOE_MAC]; /* ours */
	uint16_t shelf;
	uint8_t slot;
	uint16_t mtu;     /* 1500, or more where all of the way carries it */
	uint64_t dead_ns; /* a request without an answer for so long fails */
	const struct aoe_data_ops *data;
	void *ctx;
};

enum aoe_state { AOE_SEEKING, AOE_IDENTIFYING, AOE_READY };

struct aoe_frame {
	bool used, send; /* under way; due to be sent (again) */
	uint32_t tag;
	struct aoe_io *io;        /* NULL: the identification */
	uint32_t offset, sectors; /* of the request, in sectors */
	unsigned tries;
	uint64_t first, due;
};

struct aoe_stats {
	uint64_t frames_out, frames_in, resent, ignored, errors;
};

struct aoe {
	struct aoe_config config;
	enum aoe_state state;
	uint64_t sectors; /* of the disk, once AOE_READY */
	uint8_t target[AOE_MAC];
	unsigned buffers;   /* frames that the target can hold */
	unsigned per_frame; /* sectors */
	bool lba48;
	uint8_t flush; /* ATA command; 0: it has none */
	struct aoe_frame frame[AOE_FRAMES];
	unsigned in_flight, window, grown;
	uint64_t rtt, rtt_var, rto;
	uint32_t sequence, query_tag;
	uint64_t query_due;
	bool seek_again; /* the target does not answer: it may have moved */
	struct list queue, done;
	struct aoe_stats stats;
};

/* Starts looking for the target. `now` in ns, here and below, is one monotonic clock. */
void aoe_init(struct aoe *a, const struct aoe_config *config, uint64_t now);

/* Takes a request; before AOE_READY it waits. */
void aoe_submit(struct aoe *a, struct aoe_io *io);

/* A frame came; it is gone when this returns. What is not for us is ignored. */
void aoe_rx(struct aoe *a, uint64_t now, const void *frame, size_t len);

/* Builds the next frame that is due into `buf` of AOE_FRAME_MAX(mtu) bytes; 0: none. */
size_t aoe_tx(struct aoe *a, uint64_t now, void *buf);

/* A request that is answered; NULL: none. */
struct aoe_io *aoe_done(struct aoe *a);

/* Gives up all requests; none of them is answered. */
void aoe_cancel(struct aoe *a);

/* When aoe_tx has something to do even if nothing happens; UINT64_MAX: never. */
uint64_t aoe_deadline(const struct aoe *a);

#endif
