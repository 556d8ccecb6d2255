/* A byte ring for one producer and one consumer, who may be two CPUs. The size is a power of two. */
#ifndef HV_BASE_RING_H
#define HV_BASE_RING_H

#include <stdatomic.h>

#include "hv/base/compiler.h"

struct ring {
	uint8_t *data;
	uint32_t size;
	_Atomic uint32_t head; /* counts bytes ever written; wraps freely */
	_Atomic uint32_t tail; /* counts bytes ever read */
};

static inline void ring_init(struct ring *r, uint8_t *data, uint32_t size)
{
	r->data = data;
	r->size = size;
	atomic_init(&r->head, 0);
	atomic_init(&r->tail, 0);
}

static inline uint32_t ring_used(const struct ring *r)
{
	return atomic_load_explicit(&r->head, memory_order_acquire) -
	       atomic_load_explicit(&r->tail, memory_order_acquire);
}

static inline bool ring_put(struct ring *r, uint8_t byte)
{
	uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

	if (head - atomic_load_explicit(&r->tail, memory_order_acquire) == r->size)
		return false;
	r->data[head & (r->size - 1)] = byte;
	atomic_store_explicit(&r->head, head + 1, memory_order_release);
	return true;
}

static inline bool ring_get(struct ring *r, uint8_t *byte)
{
	uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

	if (atomic_load_explicit(&r->head, memory_order_acquire) == tail)
		return false;
	*byte = r->data[tail & (r->size - 1)];
	atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
	return true;
}

#endif
