/*
 * The device's side of a split virtqueue: takes buffers that the driver made available and gives them
 * back used. The rings and descriptors are the guest's, so nothing in them is believed; what breaks
 * the rules gives ERR_INVALID or ERR_RANGE and a sentence, and the queue is done for until a reset.
 * VIRTIO 1.2, 2.7.
 */
#ifndef GUEST_VIRTQ_H
#define GUEST_VIRTQ_H

#include "hv/base/compiler.h"
#include "hv/base/err.h"

#define VIRTQ_SIZE_MAX 256
/* The most descriptors in one buffer; what a device tells its driver of segments keeps below it. */
#define VIRTQ_PIECES   128

struct virtq {
	uint16_t size; /* entries, a power of two */
	bool enabled;
	bool indirect, event_idx; /* negotiated */
	gpa_t desc, avail, used;
	uint16_t avail_next; /* index of the next available entry to take */
	uint16_t used_next;  /* index of the next used entry to give */
};

struct virtq_piece {
	gpa_t gpa;
	uint32_t len;
};

/* One buffer: first the pieces that the device reads, then those that it writes. */
struct virtq_chain {
	uint16_t head;
	uint16_t count, out_count; /* pieces; of them, read by the device */
	uint32_t out_bytes, in_bytes;
	struct virtq_piece piece[VIRTQ_PIECES];
};

/* Starts a queue whose size, rings and features are set. ERR_INVALID: a size or an alignment. */
int virtq_start(struct virtq *q, struct why *why) MUST_CHECK;

/*
 * Takes the next buffer: 1, or 0 when there is none; then the driver notifies when it has one again.
 */
int virtq_pop(struct virtq *q, struct virtq_chain *chain, struct why *why) MUST_CHECK;

/*
 * Gives a buffer back with `written` bytes in its device-writable part. `interrupt` says whether the
 * driver wants to hear of it.
 */
int virtq_push(struct virtq *q, uint16_t head, uint32_t written, bool *interrupt,
	       struct why *why) MUST_CHECK;

/*
 * Copy from the device-readable part, or into the device-writable part, from byte `offset` of it on.
 * ERR_RANGE: beyond the part's end, or the guest has no RAM there.
 */
int virtq_read(const struct virtq_chain *chain, uint32_t offset, void *buf,
	       uint32_t len) MUST_CHECK;
int virtq_write(const struct virtq_chain *chain, uint32_t offset, const void *buf,
		uint32_t len) MUST_CHECK;

#endif
