/*
 * Frames that came and wait, first in, first out. They are put in where the wire is served and taken out
 * where guest memory may be waited for, both by the CPU that serves the wire.
 */
#ifndef HV_DEV_FRAME_RING_H
#define HV_DEV_FRAME_RING_H

#include "hv/base/types.h"

struct frame_slot {
	uint16_t len;
	uint8_t bytes[];
};

/* Bytes of a slot for frames of at most `len`, and of all slots. */
#define FRAME_SLOT_BYTES(len)         (((len) + sizeof(struct frame_slot) + 1) & ~(size_t)1)
#define FRAME_RING_BYTES(frames, len) ((frames)*FRAME_SLOT_BYTES(len))

struct frame_ring {
	uint8_t *slots; /* FRAME_RING_BYTES of them, aligned to 2 */
	unsigned frames;
	uint16_t longest;
	unsigned head, tail; /* count frames; wrap freely, so `frames` is a power of two */
};

/* `slots` must last. */
void frame_ring_init(struct frame_ring *r, void *slots, unsigned frames, uint16_t longest);

/* Copies the frame; false: it is too long, or there is no room. */
bool frame_ring_put(struct frame_ring *r, const void *frame, size_t len);

/* The oldest, until frame_ring_drop() takes it out; NULL: there is none. */
const struct frame_slot *frame_ring_first(const struct frame_ring *r);
void frame_ring_drop(struct frame_ring *r);

#endif
