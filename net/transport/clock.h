/*
 * How another node's clock runs against ours, measured with pairs of messages: sent at t1 by our
 * clock, received at t2 and answered at t3 by theirs, answer received at t4 by ours. The offset of a
 * pair is wrong by at most half its round trip, so the shortest round trips are kept, and a line
 * through them tells the drift. All times in ns; the error bound holds as long as no clock drifts by
 * more than CLOCK_DRIFT_MAX nor changes its drift by more than CLOCK_WANDER.
 */
#ifndef NET_TRANSPORT_CLOCK_H
#define NET_TRANSPORT_CLOCK_H

#include "hv/base/bits.h"

#define CLOCK_DRIFT_MAX 200000 /* ppb between two clocks: twice what crystals are sold with */
#define CLOCK_WANDER    1000   /* ppb by which the drift itself changes within CLOCK_POINTS spans */
#define CLOCK_POINTS    16
#define CLOCK_SPAN      (2 * NS_PER_S) /* the best sample of every such span becomes a point */

struct clock_point {
	int64_t offset; /* theirs - ours */
	uint64_t at;    /* our clock, middle of the exchange */
	uint64_t error; /* at that time */
};

struct clock_peer {
	struct clock_point best;                 /* of the running span */
	struct clock_point points[CLOCK_POINTS]; /* of the spans before, oldest first */
	unsigned count;
	bool any;
	uint64_t span_end;
	int64_t drift;        /* ppb, theirs faster is positive */
	uint64_t drift_error; /* ppb */
	uint64_t samples, rejected;
	/* samples that broke the promise on drift: what was known before is forgotten */
	uint64_t jumps;
	uint64_t rtt_min;
};

void clock_init(struct clock_peer *c);

/* Takes one exchange; one that can't be (it would need time to run backwards) is counted and dropped. */
void clock_sample(struct clock_peer *c, uint64_t t1, uint64_t t2, uint64_t t3, uint64_t t4);

/*
 * Their clock minus ours at our time `now`; `error` gets the bound on how wrong that is. False before
 * the first sample.
 */
bool clock_offset(const struct clock_peer *c, uint64_t now, int64_t *offset, uint64_t *error);

#endif
