/* Loads and machines of the placement's simulation. */
#ifndef TESTS_PLACE_LOADS_H
#define TESTS_PLACE_LOADS_H

#include <stdbool.h>
#include <stdint.h>

#define MAX_VCPUS 512
#define MAX_NODES 64

/* What a vCPU does at a time. A rate is per ms that it runs. */
struct doing {
	double duty;    /* of its time, if nothing were in its way */
	double wakeups; /* rate */
	unsigned group; /* who it shares pages with; 0: nobody */
	double waits; /* rate: for pages that others of the group wrote, were all those on other nodes */
	bool in_turns; /* one of the group at a time */
	double set;    /* pages it uses in a window */
};

struct machine {
	const char *name;
	unsigned nodes, cpus; /* of each node */
	double weight[4];     /* of nodes, in turn; 0 ends the list */
};

struct load {
	const char *name;
	void (*doing)(struct doing *d, unsigned v, unsigned vcpus, unsigned window);
	unsigned phase; /* windows after which it changes; 0: never */
	bool lies;      /* counters are noise */
};

extern const struct load loads[];
extern const unsigned load_count;
extern const struct machine machines[];
extern const unsigned machine_count;

#endif
