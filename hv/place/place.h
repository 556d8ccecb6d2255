/*
 * Where each vCPU should live: from counters of the last window to a list of moves. Portable,
 * deterministic, bounded in time, without allocation; docs/placement.md has the reasons and what a
 * simulation says of it.
 */
#ifndef HV_PLACE_PLACE_H
#define HV_PLACE_PLACE_H

#include "hv/base/types.h"

#define PLACE_NODES 64u
#define PLACE_CPUS  1024u
#define PLACE_VCPUS 1024u
#define PLACE_ONE   1024u /* weight of an ordinary pCPU; shares are in this unit, too */

enum place_why {
	PLACE_SPREAD, /* it shared a pCPU, or had a slow one, and another was idle */
	PLACE_APART,  /* the same within a node, where no page has to follow */
	PLACE_GATHER, /* it waited for pages of those it goes to */
	PLACE_SLEEP,  /* it sleeps, and its wake-ups cost others pages */
	PLACE_WHYS,
};

/* A pCPU in the window. Who can't run vCPUs has weight 0. */
struct place_cpu {
	uint16_t node;
	uint16_t weight; /* speed, PLACE_ONE for an ordinary one, at most 16 times that */
	uint32_t idle_us;
};

/* A vCPU in the window. What is left of the window it was ready, and waited for its pCPU. */
struct place_vcpu {
	uint32_t run_us;
	uint32_t stalled_us; /* waiting for pages of other nodes */
	uint32_t halted_us;
	uint32_t wakeups;
	uint32_t set_pages; /* what it uses in a window, and would have to fetch elsewhere */
	uint32_t since;     /* window in which it came to where it is */
	uint16_t cpu;
	uint32_t asked[PLACE_NODES]; /* pages it waited for, by the node that answered */
};

/* What the machine's moves and waits cost. */
struct place_cost {
	uint32_t window_us; /* length of a window: 1 ms to 1 s */
	uint32_t wait_us;   /* one remote page */
	uint32_t move_us;   /* a vCPU's image and its answer */
	bool stall_yields;  /* others run on the pCPU of one that waits for a page */
};

/* One window of the whole cluster. Nothing in it is believed further than it can be right. */
struct place_window {
	uint32_t now; /* windows since the guest began; rises by one with each step */
	unsigned cpu_count, vcpu_count;
	const struct place_cpu *cpus;
	const struct place_vcpu *vcpus;
};

struct place_move {
	uint16_t vcpu, cpu;
	enum place_why why;
};

struct place; /* hv/place/place_state.h */

/*
 * Bytes of memory that place_init() needs, aligned as for uint64_t; the caller's for as long as it is used.
 */
size_t place_bytes(void);

/* `memory` becomes the placement's, with nothing known of any vCPU. */
struct place *place_init(void *memory, const struct place_cost *cost);

/*
 * The moves to be made now, at most `max` of them, each of another vCPU, to a pCPU with a weight. Who is
 * then not there in the next window was refused: it is left alone for some time. Returns how many.
 */
unsigned place_step(struct place *p, const struct place_window *w, struct place_move *moves,
		    unsigned max);

const char *place_why_name(enum place_why why);

#endif
