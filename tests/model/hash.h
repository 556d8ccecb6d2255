/* Fingerprints of worlds that do not depend on numbering, places in tables or absolute versions. */
#ifndef TESTS_MODEL_HASH_H
#define TESTS_MODEL_HASH_H

#include "tests/model/world.h"

struct hash {
	uint64_t a, b;
};

/* One renumbering of nodes and pages that keeps who is home to what. */
struct symmetry {
	uint8_t node[W_NODES], page[W_PAGES]; /* old number to new */
	uint8_t node_at[W_NODES], page_at[W_PAGES];
};

/* Without an end to operations requests could be ever staler: then all stale ones count alike. */
extern bool world_stale_alike;

void hash_mix(struct hash *h, uint64_t v);

/* Everything of node `n` but its agents: pages, directory, what it has sent. */
void world_mix_node(struct hash *h, const struct symmetry *y, const struct world *w, unsigned n);

/* At most 44 bits for three needed pages; `cookie` is the instruction the agent is at. */
uint64_t world_agent_code(const struct symmetry *y, const struct world *w, unsigned n, unsigned a,
			  uint64_t cookie);

#endif
