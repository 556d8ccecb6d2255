#include "hv/dev/frame_ring.h"
#include "hv/base/assert.h"
#include "hv/base/bits.h"
#include "hv/base/string.h"

static struct frame_slot *slot(const struct frame_ring *r, unsigned i)
{
	return (struct frame_slot *)(r->slots + i % r->frames * FRAME_SLOT_BYTES(r->longest));
}

void frame_ring_init(struct frame_ring *r, void *slots, unsigned frames, uint16_t longest)
{
	ASSERT(frames && !(frames & (frames - 1)) && is_aligned((uintptr_t)slots, 2));
	*r = (struct frame_ring){.slots = slots, .frames = frames, .longest = longest};
}

bool frame_ring_put(struct frame_ring *r, const void *frame, size_t len)
{
	struct frame_slot *s = slot(r, r->head);

	if (len > r->longest || r->head - r->tail == r->frames)
		return false;
	s->len = (uint16_t)len;
	memcpy(s->bytes, frame, len);
	r->head++;
	return true;
}

const struct frame_slot *frame_ring_first(const struct frame_ring *r)
{
	return r->head == r->tail ? NULL : slot(r, r->tail);
}

void frame_ring_drop(struct frame_ring *r)
{
	r->tail += r->head != r->tail;
}
