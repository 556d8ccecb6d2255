#include "boot/ranges.h"

static uint64_t end_of(const struct handoff_range *r)
{
	return r->base + r->size;
}

static bool push(struct handoff_range *out, uint32_t *count, uint64_t base, uint64_t end,
		 uint32_t kind)
{
	struct handoff_range *last = *count ? &out[*count - 1] : 0;

	if (base >= end)
		return true;
	if (last && last->kind == kind && end_of(last) == base) {
		last->size += end - base;
		return true;
	}
	if (*count == HANDOFF_RANGES)
		return false;
	out[(*count)++] = (struct handoff_range){base, end - base, kind, 0};
	return true;
}

bool ranges_set(struct handoff *h, uint64_t base, uint64_t size, enum handoff_kind kind)
{
	static struct handoff_range out[HANDOFF_RANGES];
	uint64_t end = base + size < base ? UINT64_MAX : base + size;
	uint32_t count = 0;
	bool ok = true, placed = size == 0;

	for (uint32_t i = 0; i < h->range_count && ok; i++) {
		const struct handoff_range *r = &h->ranges[i];

		if (!placed && r->base >= base) {
			ok = push(out, &count, base, end, kind);
			placed = true;
		}
		/* What the new range leaves of the old one, before and behind it. */
		if (end_of(r) <= base || r->base >= end || size == 0) {
			ok = ok && push(out, &count, r->base, end_of(r), r->kind);
			continue;
		}
		ok = ok && push(out, &count, r->base, r->base < base ? base : r->base, r->kind);
		if (!placed) {
			ok = ok && push(out, &count, base, end, kind);
			placed = true;
		}
		ok = ok && push(out, &count, end_of(r) > end ? end : end_of(r), end_of(r), r->kind);
	}
	if (!placed)
		ok = ok && push(out, &count, base, end, kind);
	if (!ok)
		return false;
	for (uint32_t i = 0; i < count; i++)
		h->ranges[i] = out[i];
	h->range_count = count;
	return true;
}

uint64_t ranges_ram_top(const struct handoff *h)
{
	uint64_t top = 0;

	for (uint32_t i = 0; i < h->range_count; i++) {
		const struct handoff_range *r = &h->ranges[i];

		if (r->kind != HANDOFF_RESERVED && r->kind != HANDOFF_BAD && end_of(r) > top)
			top = end_of(r);
	}
	return top;
}
