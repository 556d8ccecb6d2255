/* How fast vCPUs run where they are, by a simple model of what a remote page costs. */
#ifndef TESTS_PLACE_MODEL_H
#define TESTS_PLACE_MODEL_H

#include "tests/place/loads.h"

/* us; docs/placement.md has their sources. */
#define WINDOW_US 50000.0
#define WAIT_US   100.0
#define MOVE_US   200.0
#define HOT_PAGES 20.0 /* of a group: each goes to one node at a time */

struct model {
	const struct machine *m;
	unsigned vcpus;
	bool yields; /* who waits for a page leaves its pCPU to others */
	struct doing doing[MAX_VCPUS];
	unsigned cpu[MAX_VCPUS];
	double debt[MAX_VCPUS];   /* us of fetching its pages after a move */
	unsigned from[MAX_VCPUS]; /* the node that has them */
	/* What came out, as parts of the window: */
	double run[MAX_VCPUS], stall[MAX_VCPUS], ready[MAX_VCPUS], halted[MAX_VCPUS];
	double fetch[MAX_VCPUS]; /* of stall, for debt */
};

double model_weight(const struct machine *m, unsigned node);

/* One window. Returns the work done, in windows of an ordinary pCPU. */
double model_window(struct model *s);

/* Which part of v's waits is for those on `node`. */
double model_shares(const struct model *s, unsigned v, unsigned node);

#endif
