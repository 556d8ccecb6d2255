#include "hv/x86/buddy.h"
#include "hv/base/assert.h"
#include "hv/base/bits.h"
#include "hv/base/string.h"

/* What state[] says of a block's first frame; 0 for frames inside a block or not ours. */
#define HEAD_FREE  0x80u
#define HEAD_TAKEN 0x40u
#define HEAD_KEPT  (HEAD_TAKEN | 0x3fu) /* of no order: taken for good */

static struct list *node_of(struct buddy *b, uint64_t frame)
{
	return (struct list *)(b->mem + (frame << PAGE_SHIFT));
}

static uint64_t frame_of(struct buddy *b, struct list *node)
{
	return (uint64_t)((uint8_t *)node - b->mem) >> PAGE_SHIFT;
}

static void put_block(struct buddy *b, uint64_t frame, unsigned order)
{
	b->state[frame] = (uint8_t)(HEAD_FREE | order);
	list_push_front(&b->free[order], node_of(b, frame));
}

static void take_block(struct buddy *b, uint64_t frame)
{
	list_remove(node_of(b, frame));
	b->state[frame] = 0;
}

void buddy_init(struct buddy *b, void *mem, uint8_t *state, uint64_t frames)
{
	memset(b, 0, sizeof(*b));
	for (unsigned i = 0; i <= BUDDY_MAX_ORDER; i++)
		list_init(&b->free[i]);
	b->mem = mem;
	b->state = state;
	b->frames = frames;
	memset(state, 0, frames);
}

/* Joins the block with its free buddies as far as that goes and lists the result. */
static void merge(struct buddy *b, uint64_t frame, unsigned order)
{
	for (; order < BUDDY_MAX_ORDER; order++) {
		uint64_t other = frame ^ BIT(order);

		if (other >= b->frames || b->state[other] != (HEAD_FREE | order))
			break;
		take_block(b, other);
		frame = MIN(frame, other);
	}
	put_block(b, frame, order);
}

static void give(struct buddy *b, uint64_t first, uint64_t count)
{
	b->free_frames += count;
	while (count) {
		unsigned order = first ? bit_lowest(first) : BUDDY_MAX_ORDER;

		order = MIN(MIN(order, bit_highest(count)), BUDDY_MAX_ORDER);
		merge(b, first, order);
		first += BIT(order);
		count -= BIT(order);
	}
}

void buddy_add(struct buddy *b, uint64_t first, uint64_t count)
{
	ASSERT(range_within(first, count, b->frames));
	b->total_frames += count;
	give(b, first, count);
}

void buddy_trim(struct buddy *b, uint64_t frame, unsigned order, uint64_t count)
{
	ASSERT(frame < b->frames && b->state[frame] == (HEAD_TAKEN | order));
	ASSERT(count >= 1 && count <= BIT(order));
	b->state[frame] = HEAD_KEPT;
	give(b, frame + count, BIT(order) - count);
}

uint64_t buddy_alloc(struct buddy *b, unsigned order)
{
	unsigned from = order;
	uint64_t frame;

	while (from <= BUDDY_MAX_ORDER && list_empty(&b->free[from]))
		from++;
	if (from > BUDDY_MAX_ORDER)
		return BUDDY_NONE;
	frame = frame_of(b, b->free[from].next);
	take_block(b, frame);
	while (from > order) {
		from--;
		put_block(b, frame + BIT(from), from);
	}
	b->state[frame] = (uint8_t)(HEAD_TAKEN | order);
	b->free_frames -= BIT(order);
	return frame;
}

void buddy_free(struct buddy *b, uint64_t frame, unsigned order)
{
	ASSERT(frame < b->frames);
	ASSERT(b->state[frame] == (HEAD_TAKEN | order));
	b->state[frame] = 0;
	b->free_frames += BIT(order);
	merge(b, frame, order);
}
