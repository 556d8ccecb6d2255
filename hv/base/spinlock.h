/*
 * A ticket lock that knows its owner and its rank. Not for interrupt handlers: the hypervisor takes
 * interrupts only where no lock is held.
 *
 * A CPU may take a lock only of a higher rank than all it holds, so no two CPUs can wait for each other.
 * Every build checks that, also where nobody waits; a CPU that breaks it panics.
 * docs/locks.md says what each lock guards.
 */
#ifndef HV_BASE_SPINLOCK_H
#define HV_BASE_SPINLOCK_H

#include <stdatomic.h>

#include "hv/base/assert.h"

/* Outermost first. One lock each, or what is held like one. */
enum lock_rank {
	RANK_NONE, /* nobody has given the lock a rank: it can't be taken */
	RANK_PC,
	RANK_MEMORY,
	RANK_LINK,
	RANK_NPT,
	RANK_PAGING,
	RANK_PMEM,
	RANK_GUEST_PAGE, /* no lock: a page between plat_gmem_acquire and plat_gmem_release */
	RANK_STOP,
	RANK_LOG,
	RANKS
};

struct spinlock {
	_Atomic uint32_t next;
	_Atomic uint32_t serving;
	_Atomic uint32_t owner; /* CPU index + 1, 0 when free */
	uint32_t rank;          /* enum lock_rank */
};

#define SPINLOCK(of_rank)         \
	{                         \
		.rank = (of_rank) \
	}

static inline void spin_init(struct spinlock *l, enum lock_rank rank)
{
	*l = (struct spinlock)SPINLOCK(rank);
}

/* Panics: `rank` is taken by a CPU that holds all of `held`. */
NORETURN void rank_broken(unsigned rank, uint32_t held);

/* May the calling CPU take, or wait for, something of this rank? RANK_NONE is never in order. */
static inline uint32_t *rank_check(unsigned rank)
{
	uint32_t *held = plat_ranks();

	if (UNLIKELY((*held | 1u << RANK_NONE) >> rank))
		rank_broken(rank, *held);
	return held;
}

static inline void rank_take(unsigned rank)
{
	*rank_check(rank) |= 1u << rank;
}

static inline void rank_drop(unsigned rank)
{
	uint32_t *held = plat_ranks();

	ASSERT(*held >> rank & 1);
	*held &= ~(1u << rank);
}

static inline void spin_lock(struct spinlock *l)
{
	rank_take(l->rank);

	uint32_t ticket = atomic_fetch_add_explicit(&l->next, 1, memory_order_relaxed);

	while (atomic_load_explicit(&l->serving, memory_order_acquire) != ticket)
		plat_relax();
	atomic_store_explicit(&l->owner, plat_cpu() + 1, memory_order_relaxed);
}

/* Takes the lock if it is free, and nobody waits for it. */
static inline bool spin_trylock(struct spinlock *l)
{
	uint32_t serving = atomic_load_explicit(&l->serving, memory_order_acquire);
	/* Who tries again until it succeeds waits, too. */
	uint32_t *held = rank_check(l->rank);

	if (!atomic_compare_exchange_strong_explicit(&l->next, &serving, serving + 1,
						     memory_order_acquire, memory_order_relaxed))
		return false;
	*held |= 1u << l->rank;
	atomic_store_explicit(&l->owner, plat_cpu() + 1, memory_order_relaxed);
	return true;
}

static inline bool spin_held(struct spinlock *l)
{
	return atomic_load_explicit(&l->owner, memory_order_relaxed) == plat_cpu() + 1;
}

static inline void spin_unlock(struct spinlock *l)
{
	ASSERT(spin_held(l));
	atomic_store_explicit(&l->owner, 0, memory_order_relaxed);
	uint32_t serving = atomic_load_explicit(&l->serving, memory_order_relaxed);

	atomic_store_explicit(&l->serving, serving + 1, memory_order_release);
	rank_drop(l->rank);
}

#endif
