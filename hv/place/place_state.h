/*
 * What placement keeps from window to window, and what its parts share within one. Times are us of a
 * window.
 */
#ifndef HV_PLACE_PLACE_STATE_H
#define HV_PLACE_PLACE_STATE_H

#include "hv/base/bits.h"
#include "hv/base/compiler.h"
#include "hv/place/place.h"

#define PLACE_NOWHERE UINT16_MAX

/*
 * Windows. A move that did not pay is followed by FIRST of quiet, then twice as many, up to TRIES_MAX times
 * twice.
 */
#define QUIET_FIRST    8u
#define TRIES_MAX      7u
#define SETTLED_AFTER  8u   /* its pages have followed a vCPU */
#define PAID_AFTER     32u  /* a vCPU that stays as long where it was spread to was right to go */
#define FORGET_AFTER   64u  /* at most so often does a change of what a vCPU does end its quiet */
#define DRAWN_MAX      5u   /* times twice, for one who is drawn to several nodes */
#define ASLEEP_AFTER   8u   /* of sleep before a vCPU counts as a sleeper */
#define FLOOR_AFTER    4u   /* below one node's work before all go there */
#define AMORTIZED_OVER 20u  /* what a move costs has to come back within */
#define BUDGET_FIRST   4u   /* vCPUs spread in one window, */
#define BUDGET_MAX     256u /* and at most */

struct place_seat {
	/* This window's, changed as moves are decided. */
	uint32_t run, stall, halted;
	uint32_t ready;     /* in this window and the one before, the lesser */
	uint32_t load;      /* of its pCPU's time */
	uint32_t pulls;     /* pages it asked for */
	uint64_t asks;      /* nodes that it waits for more than for the average one */
	uint64_t steadily;  /* and in the windows before, too */
	uint16_t cpu, node; /* where it is, or goes; PLACE_NOWHERE: leave it alone */
	bool moved;
	uint32_t asked[PLACE_NODES]; /* time it waited, by the node that answered */
	/* Kept. */
	uint16_t came_from; /* the node before */
	uint16_t sent_to;   /* by the last step; PLACE_NOWHERE: it was not */
	uint32_t ready_now;
	uint64_t set_us;      /* time its pages take to follow it, */
	uint64_t debt;        /* and what is left of that since it moved */
	bool travelled;       /* to another node, at least once */
	uint64_t asked_of[2]; /* `asks` of the windows before */
	uint32_t moved_at;    /* to another node */
	uint32_t quiet_until;
	uint32_t forgot_at;
	uint32_t asleep_for; /* windows */
	uint32_t asleep_pulls;
	uint8_t tries;            /* moves in a row that did not pay */
	uint8_t forgot;           /* so often, and no move has paid since */
	uint8_t habit, habit_new; /* wake-ups per second that it ran, as a power of two */
	bool settled;             /* habit is known */
	enum place_why last;
};

struct place {
	struct place_cost cost;
	uint32_t now;
	unsigned cpu_count, vcpu_count, node_count;
	struct place_seat seat[PLACE_VCPUS];
	struct place_cpu cpu[PLACE_CPUS];
	uint32_t idle[PLACE_CPUS]; /* in this window and the one before, the lesser */
	uint32_t idle_now[PLACE_CPUS];
	uint32_t load[PLACE_CPUS];               /* time its vCPUs take */
	uint16_t lodgers[PLACE_CPUS];            /* its vCPUs */
	uint32_t flow[PLACE_NODES][PLACE_NODES]; /* time that vCPUs of one waited for another */
	uint32_t answered[PLACE_NODES];          /* pages that others waited for, fading */
	unsigned den;                            /* where sleepers live */
	unsigned budget;
	uint64_t touching,
		touched; /* nodes that vCPUs are gathered from or to, now and in the last step */
	bool spread_lately, failed_lately;
	uint32_t doubted_at;  /* when one that had failed before was spread again */
	unsigned floor_for;   /* windows */
	uint32_t floor_quiet; /* until then */
	uint8_t floor_tries;  /* in a row, none of which was enough */
	struct place_move *moves;
	unsigned move_count, move_max;
};

/* place.c: */
bool place_send(struct place *p, unsigned v, unsigned cpu, enum place_why why);
bool place_on_trial(const struct place *p, const struct place_seat *s);
bool place_alike(const struct place_seat *a, const struct place_seat *b);
bool place_may_gather(const struct place *p, const struct place_seat *s);
uint32_t place_relieved(const struct place *p, const struct place_seat *s, uint32_t stall);
uint64_t place_weighed(uint64_t time, unsigned weight);
unsigned place_least_loaded(const struct place *p, unsigned node);
uint64_t place_price(const struct place *p, const struct place_seat *s);

/* place_gather.c: those who wait for each other come together. */
void place_gather(struct place *p);
void place_floor(struct place *p);

/* place_spread.c: */
void place_sleepers(struct place *p);
void place_apart(struct place *p);
void place_spread(struct place *p);

#endif
