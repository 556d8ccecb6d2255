/*
 * Where the machine's vCPUs live, as one node knows it. What a node knows need not be right, only lead there:
 * the node that it names has the vCPU, or knows later of it. So each place comes with the number of moves
 * that the vCPU had behind it when it came there, which rises along every such chain, and of two places the
 * one with more moves is the later. docs/move.md
 *
 * One word per vCPU, read whole by any CPU at any time; it changes under the link's lock.
 */
#ifndef HV_CORE_PLACES_H
#define HV_CORE_PLACES_H

#include <stdatomic.h>

#include "hv/base/types.h"

#define VM_MAX_CPUS  64
#define VM_MAX_NODES 32

struct places {
	_Atomic uint64_t of[VM_MAX_CPUS]; /* the node, and from PLACE_MOVES on the moves */
};

#define PLACE_MOVES 32

struct place {
	unsigned node;
	uint32_t moves;
};

/* Of all these `cpu` is a vCPU's number, below VM_MAX_CPUS. */

static inline unsigned places_node(const struct places *p, unsigned cpu)
{
	return (uint16_t)atomic_load_explicit(&p->of[cpu], memory_order_relaxed);
}

/* Who posts something and then looks finds the new place, or what was posted is found after this. */
static inline void places_set(struct places *p, unsigned cpu, struct place place)
{
	atomic_exchange_explicit(&p->of[cpu], (uint64_t)place.moves << PLACE_MOVES | place.node,
				 memory_order_seq_cst);
}

#endif
