/*
 * Which of the vCPUs that live on one CPU runs there, and for how long: arithmetic alone, on numbers 0 to
 * `count` - 1. Times are ticks of a counter that never runs back.
 *
 * Who has run least comes next, so nobody starves and who mostly sleeps is served soon. A turn lasts a slice,
 * which grows while turns are used to their end and shrinks while vCPUs spin for each other, and is shared
 * where many want to run. Three things end one early: the vCPU can't go on; it spins and gives way, to the
 * one it waits for where that is known; or another is called that has run less. A tick of a sleeping vCPU's
 * own timer is no call: it waits for the end of the turn, so that however many ticks there are, whoever
 * computes has a whole slice between them.
 */
#ifndef HV_CORE_SCHED_H
#define HV_CORE_SCHED_H

#include "hv/base/types.h"

#define SCHED_MAX  64u
#define SCHED_NONE UINT32_MAX

struct sched_limits {
	uint64_t slice_min, slice_max;
	uint64_t grain; /* the least that a turn lasts when another is called */
};

struct sched {
	struct sched_limits limits;
	unsigned current;  /* SCHED_NONE: nobody runs */
	unsigned favoured; /* whom the current one waits for, if it does; SCHED_NONE: not known */
	bool gives_way;
	bool fresh;     /* the current one has not been chosen again since its turn began */
	uint64_t slice; /* of one that shares the CPU with one other */
	uint64_t began; /* this turn */
	uint64_t at;    /* up to which what was run is counted */
	uint64_t ready; /* bit i: i wanted to run at the last choice */
	uint64_t
		least; /* nobody is taken to have run less, but for a slice that who wakes is let off */
	uint64_t ran[SCHED_MAX];
};

void sched_init(struct sched *s, const struct sched_limits *limits);

/* The current one spins: another that is ready runs next. */
void sched_give_way(struct sched *s);

/*
 * Who runs from now on; SCHED_NONE when nobody is ready. `ready` has a bit for each that wants to, and
 * `called` for each of those that somebody or something else waits for.
 */
unsigned sched_choose(struct sched *s, uint64_t ready, uint64_t called, uint64_t now);

/* When the choice is to be made again, though nothing happens; UINT64_MAX: nobody else wants the CPU. */
uint64_t sched_end(const struct sched *s, uint64_t ready, uint64_t called);

/* When one that is not ready may at the earliest end the turn by its own timer. */
uint64_t sched_tick(const struct sched *s);

#endif
