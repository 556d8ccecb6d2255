/*
 * A ticket lock that knows its owner: taking it twice on one CPU panics instead of hanging. Not for
 * interrupt handlers: the hypervisor takes interrupts only where no lock is held.
 */
#ifndef HV_BASE_SPINLOCK_H
#define HV_BASE_SPINLOCK_H

#include <stdatomic.h>

#include "hv/base/assert.h"

struct spinlock {
	_Atomic uint32_t next;
	_Atomic uint32_t serving;
	_Atomic uint32_t owner; /* CPU index + 1, 0 when free */
};

static inline void spin_lock(struct spinlock *l)
{
	uint32_t me = plat_cpu() + 1;

	ASSERT(atomic_load_explicit(&l->owner, memory_order_relaxed) != me);
	uint32_t ticket = atomic_fetch_add_explicit(&l->next, 1, memory_order_relaxed);

	while (atomic_load_explicit(&l->serving, memory_order_acquire) != ticket)
		plat_relax();
	atomic_store_explicit(&l->owner, me, memory_order_relaxed);
}

/* Takes the lock if it is free, and nobody waits for it. */
static inline bool spin_trylock(struct spinlock *l)
{
	uint32_t serving = atomic_load_explicit(&l->serving, memory_order_acquire);

	if (!atomic_compare_exchange_strong_explicit(&l->next, &serving, serving + 1,
						     memory_order_acquire, memory_order_relaxed))
		return false;
	atomic_store_explicit(&l->owner, plat_cpu() + 1, memory_order_relaxed);
	return true;
}

static inline void spin_unlock(struct spinlock *l)
{
	ASSERT(atomic_load_explicit(&l->owner, memory_order_relaxed) == plat_cpu() + 1);
	atomic_store_explicit(&l->owner, 0, memory_order_relaxed);
	uint32_t serving = atomic_load_explicit(&l->serving, memory_order_relaxed);

	atomic_store_explicit(&l->serving, serving + 1, memory_order_release);
}

static inline bool spin_held(struct spinlock *l)
{
	return atomic_load_explicit(&l->owner, memory_order_relaxed) == plat_cpu() + 1;
}

#endif
