#include "guest/virtq.h"

#include <stdatomic.h>

#include "hv/base/assert.h"
#include "hv/base/bits.h"
#include "hv/base/gmem.h"
#include "hv/base/plat.h"

/* 2.7.5 */
struct desc {
	uint64_t gpa;
	uint32_t len;
	uint16_t flags, next;
};
ASSERT_SIZE(struct desc, 16);
#define DESC_NEXT     0x1
#define DESC_WRITE    0x2
#define DESC_INDIRECT 0x4

/* 2.7.6 and 2.7.8: both rings begin with flags and index; the event index comes last. */
#define RING_INDEX         2
#define RING_ENTRIES       4
#define AVAIL_ENTRY        2
#define AVAIL_NO_INTERRUPT 1

/* 2.7.8 */
struct used_entry {
	uint32_t id, len;
};
ASSERT_SIZE(struct used_entry, 8);

static gpa_t used_event(const struct virtq *q)
{
	return q->avail + RING_ENTRIES + AVAIL_ENTRY * (gpa_t)q->size;
}

static gpa_t avail_event(const struct virtq *q)
{
	return q->used + RING_ENTRIES + sizeof(struct used_entry) * (gpa_t)q->size;
}

/* The driver looks at these words at the same time, so each is one access, never a byte at a time. */
static int load16(gpa_t gpa, uint16_t *value)
{
	const volatile uint16_t *at = plat_gmem_acquire(gpa, sizeof(*at), false);

	if (!at)
		return ERR_RANGE;
	*value = *at;
	plat_gmem_release(gpa, sizeof(*at), false);
	return 0;
}

static int store16(gpa_t gpa, uint16_t value)
{
	volatile uint16_t *at = plat_gmem_acquire(gpa, sizeof(*at), true);

	if (!at)
		return ERR_RANGE;
	*at = value;
	plat_gmem_release(gpa, sizeof(*at), true);
	return 0;
}

static int no_ram(struct why *why, const char *what, gpa_t gpa)
{
	return why_set(why, ERR_RANGE, "its %s at %#llx is not in RAM", what,
		       (unsigned long long)gpa);
}

int virtq_start(struct virtq *q, struct why *why)
{
	if (q->size == 0 || q->size > VIRTQ_SIZE_MAX || q->size & (q->size - 1))
		return why_set(why, ERR_INVALID, "its size is %u, expected a power of two up to %u",
			       q->size, VIRTQ_SIZE_MAX);
	if (!is_aligned(q->desc, 16) || !is_aligned(q->avail, 2) || !is_aligned(q->used, 4))
		return why_set(why, ERR_INVALID,
			       "its descriptors at %#llx and rings at %#llx and %#llx are "
			       "not aligned to 16, 2 and 4",
			       (unsigned long long)q->desc, (unsigned long long)q->avail,
			       (unsigned long long)q->used);
	q->avail_next = q->used_next = 0;
	q->enabled = true;
	return 0;
}

/* --- Taking buffers --- */

static int available(struct virtq *q, uint16_t *count, struct why *why)
{
	uint16_t index;

	if (load16(q->avail + RING_INDEX, &index))
		return no_ram(why, "available ring", q->avail);
	*count = (uint16_t)(index - q->avail_next);
	if (*count > q->size)
		return why_set(why, ERR_INVALID, "%u buffers are available in a queue of %u",
			       *count, q->size);
	/* The entries are read after the index that says they are there. */
	atomic_thread_fence(memory_order_acquire);
	return 0;
}

/* Asks for a notification; a buffer that came before the driver saw that is found by looking again. */
static int ask_notification(struct virtq *q, uint16_t *count, struct why *why)
{
	if (!q->event_idx)
		return 0;
	if (store16(avail_event(q), q->avail_next))
		return no_ram(why, "used ring", q->used);
	atomic_thread_fence(memory_order_seq_cst);
	return available(q, count, why);
}

static int add_piece(struct virtq_chain *c, const struct desc *d, struct why *why)
{
	bool in = d->flags & DESC_WRITE;
	uint32_t *bytes = in ? &c->in_bytes : &c->out_bytes;

	if (!in && c->count > c->out_count)
		return why_set(why, ERR_INVALID, "buffer %u has a piece to read after one to write",
			       c->head);
	if (c->count == VIRTQ_PIECES)
		return why_set(why, ERR_INVALID, "buffer %u has more than %u pieces", c->head,
			       VIRTQ_PIECES);
	if (d->gpa + d->len < d->gpa || *bytes + d->len < *bytes)
		return why_set(why, ERR_INVALID, "buffer %u has a piece of %u bytes at %#llx",
			       c->head, d->len, (unsigned long long)d->gpa);
	c->piece[c->count++] = (struct virtq_piece){d->gpa, d->len};
	c->out_count = (uint16_t)(c->out_count + !in);
	*bytes += d->len;
	return 0;
}

/* Where a walk is: in the queue's own descriptors, or in the indirect table it ends in. */
struct walk {
	gpa_t table;
	uint32_t count, index, steps;
	bool indirect;
};

static int enter_indirect(const struct virtq *q, struct walk *w, uint16_t head,
			  const struct desc *d, struct why *why)
{
	if (!q->indirect || w->indirect || d->flags & DESC_NEXT)
		return why_set(why, ERR_INVALID,
			       "buffer %u has an indirect descriptor where none may be", head);
	if (d->len == 0 || d->len % sizeof(struct desc))
		return why_set(why, ERR_INVALID, "buffer %u has an indirect table of %u bytes",
			       head, d->len);
	*w = (struct walk){d->gpa, d->len / sizeof(struct desc), 0, 0, true};
	return 0;
}

static int read_desc(struct walk *w, uint16_t head, struct desc *d, struct why *why)
{
	gpa_t at = w->table + (gpa_t)w->index * sizeof(*d);

	if (w->index >= w->count)
		return why_set(why, ERR_INVALID, "buffer %u names descriptor %u of a table of %u",
			       head, w->index, w->count);
	if (w->steps++ == w->count)
		return why_set(why, ERR_INVALID, "buffer %u is a loop of descriptors", head);
	if (at < w->table || gmem_read(at, d, sizeof(*d)))
		return no_ram(why, "descriptor", at);
	return 0;
}

static int walk_chain(const struct virtq *q, struct virtq_chain *c, struct why *why)
{
	struct walk w = {.table = q->desc, .count = q->size, .index = c->head};
	struct desc d;
	int err;

	c->count = c->out_count = 0;
	c->out_bytes = c->in_bytes = 0;
	for (;;) {
		err = read_desc(&w, c->head, &d, why);
		if (err)
			return err;
		if (d.flags & DESC_INDIRECT) {
			err = enter_indirect(q, &w, c->head, &d, why);
		} else {
			err = add_piece(c, &d, why);
			w.index = d.next;
		}
		if (err || !(d.flags & (DESC_NEXT | DESC_INDIRECT)))
			return err;
	}
}

int virtq_pop(struct virtq *q, struct virtq_chain *chain, struct why *why)
{
	gpa_t entry = q->avail + RING_ENTRIES + AVAIL_ENTRY * (gpa_t)(q->avail_next % q->size);
	uint16_t count = 0;
	int err = available(q, &count, why);

	if (!err && !count)
		err = ask_notification(q, &count, why);
	if (err || !count)
		return err;
	if (load16(entry, &chain->head))
		return no_ram(why, "available ring", entry);
	q->avail_next++;
	err = walk_chain(q, chain, why);
	return err ? err : 1;
}

/* --- Giving them back --- */

/* 2.7.7 and 2.7.10: `q->used_next` has just moved on by one. */
static int wants_interrupt(const struct virtq *q, bool *interrupt)
{
	uint16_t word;

	if (load16(q->event_idx ? used_event(q) : q->avail, &word))
		return ERR_RANGE;
	if (q->event_idx)
		*interrupt = word == (uint16_t)(q->used_next - 1);
	else
		*interrupt = !(word & AVAIL_NO_INTERRUPT);
	return 0;
}

int virtq_push(struct virtq *q, uint16_t head, uint32_t written, bool *interrupt, struct why *why)
{
	struct used_entry entry = {head, written};
	gpa_t at = q->used + RING_ENTRIES + sizeof(entry) * (gpa_t)(q->used_next % q->size);

	*interrupt = false;
	if (gmem_write(at, &entry, sizeof(entry)))
		return no_ram(why, "used ring", at);
	/* The entry and the buffer are there before the index says so. */
	atomic_thread_fence(memory_order_release);
	q->used_next++;
	if (store16(q->used + RING_INDEX, q->used_next))
		return no_ram(why, "used ring", q->used);
	/* The driver asks for interrupts, then looks at the index: one of us sees the other's. */
	atomic_thread_fence(memory_order_seq_cst);
	if (wants_interrupt(q, interrupt))
		return no_ram(why, "available ring", q->avail);
	return 0;
}

/* --- The bytes in them --- */

static int copy(const struct virtq_piece *piece, unsigned count, uint32_t offset, uint8_t *buf,
		uint32_t len, bool write)
{
	for (; count && len; count--, piece++) {
		uint32_t n;
		int err;

		if (offset >= piece->len) {
			offset -= piece->len;
			continue;
		}
		n = MIN(len, piece->len - offset);
		err = write ? gmem_write(piece->gpa + offset, buf, n)
			    : gmem_read(piece->gpa + offset, buf, n);
		if (err)
			return err;
		offset = 0;
		buf += n;
		len -= n;
	}
	return len ? ERR_RANGE : 0;
}

int virtq_read(const struct virtq_chain *chain, uint32_t offset, void *buf, uint32_t len)
{
	return copy(chain->piece, chain->out_count, offset, buf, len, false);
}

int virtq_write(const struct virtq_chain *chain, uint32_t offset, const void *buf, uint32_t len)
{
	return copy(chain->piece + chain->out_count, chain->count - chain->out_count, offset,
		    (uint8_t *)buf, len, true);
}
