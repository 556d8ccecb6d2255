/*
 * A buddy allocator over page frames: blocks of 2^order frames, aligned to their size. Free blocks are
 * linked through their own first bytes, so `mem` must be readable and writable wherever frames were
 * added. Not locked. Pure but for that memory.
 */
#ifndef HV_X86_BUDDY_H
#define HV_X86_BUDDY_H

#include "hv/base/list.h"

#define BUDDY_MAX_ORDER 18u
#define BUDDY_NONE      UINT64_MAX

struct buddy {
	struct list free[BUDDY_MAX_ORDER + 1];
	uint8_t *mem;   /* address of frame 0 */
	uint8_t *state; /* one byte for each of `frames` frames */
	uint64_t frames;
	uint64_t free_frames, total_frames;
};

/* `state` has `frames` bytes and belongs to the allocator from now on. All frames are taken at first. */
void buddy_init(struct buddy *b, void *mem, uint8_t *state, uint64_t frames);
/* Gives frames [first, first + count) to the allocator; they were never given before. */
void buddy_add(struct buddy *b, uint64_t first, uint64_t count);

/* First frame of a block, or BUDDY_NONE. */
uint64_t buddy_alloc(struct buddy *b, unsigned order);
/*
 * Gives back what a taken block of 2^order frames has behind its first `count`, 1 or more. What stays is
 * taken for good.
 */
void buddy_trim(struct buddy *b, uint64_t frame, unsigned order, uint64_t count);
/* A double free or a wrong order is a broken invariant and panics. */
void buddy_free(struct buddy *b, uint64_t frame, unsigned order);

#endif
