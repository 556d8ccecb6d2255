/*
 * Simulated nodes that form clusters on one Ethernet, which loses, doubles, delays and damages frames as its
 * seed says.
 */
#ifndef TESTS_HOST_CLUSTER_LAB_H
#define TESTS_HOST_CLUSTER_LAB_H

#include <stdio.h>
#include <stdlib.h>

#include "net/transport/cluster.h"

#define NODES 10
#define BEAT  (50 * NS_PER_MS)
#define LOST  (1000 * NS_PER_MS)
#define NEVER UINT64_MAX

extern uint64_t seed_now;

#define CHECK(cond)                                                                              \
	do {                                                                                     \
		if (!(cond)) {                                                                   \
			printf("seed %llu: %s:%d: %s\n", (unsigned long long)seed_now, __FILE__, \
			       __LINE__, #cond);                                                 \
			abort();                                                                 \
		}                                                                                \
	} while (0)

struct node {
	struct cluster c;
	struct cluster_config config;
	bool on, other_version;
	bool deaf; /* to all but broadcasts */
	uint64_t start_at, stop_at;
	/* What it said: how often, when, and the last sentence of each kind. */
	unsigned ups, losts, lost_node;
	uint64_t lost_at;
	char lost[320], refused[320], refuses[320], note[320];
	unsigned refusals;
};

extern struct node nodes[NODES];
extern unsigned node_count;
extern uint64_t now;
extern struct lab_faults {
	unsigned drop, dup, corrupt; /* per mille */
	uint64_t latency;
} lab_faults;

extern uint64_t lab_rng_state;
uint64_t lab_rng(uint64_t below);

void lab_reset(uint64_t seed);
/* A node that fits a cluster "lab" of `expected`; the test changes what it wants to before lab_run(). */
struct node *lab_node(unsigned expected);
/* Takes the node's events. */
void lab_events(struct node *n);
/* Starts it, or starts it anew. */
void lab_boot(struct node *n);
void lab_run(uint64_t until);

/* All nodes on of this name that run have one membership; returns how many run. */
unsigned check_agreement(const char *name);

#endif
