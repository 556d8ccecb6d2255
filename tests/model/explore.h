/* The exhaustive walk: what to explore, what came of it. */
#ifndef TESTS_MODEL_EXPLORE_H
#define TESTS_MODEL_EXPLORE_H

#include "tests/model/world.h"

struct op_page {
	uint8_t page;
	bool write;
};

/* One instruction; its pages are touched (and faulted for) in this order, then all at once. */
struct op {
	const char *name;
	uint8_t count;
	struct op_page page[3];
};

struct explore {
	const char *name;
	struct world_config world;
	const struct op *ops;
	uint8_t op_count;
	uint8_t ops_each;  /* operations of each agent, each any of `ops` */
	bool endless;      /* agents never stop; then circles are no error */
	bool ordered;      /* the order of pages matters: they are not exchangeable */
	uint8_t evictions; /* at any time, of any copy that may go */
	uint8_t expiries;  /* holds that end before the instruction has retired */
	uint8_t losses;    /* of nodes, told to one other node */
	uint8_t table_bits;
	bool quiet, verbose;
	uint64_t limit; /* of states; 0: none */
};

struct explore_result {
	uint64_t states, moves, ends, ms;
	uint32_t depth;
	bool complete;
	const char *wrong;
};

struct explore_result explore(const struct explore *what);

extern const struct explore explore_jobs[];
extern const unsigned explore_job_count;

#endif
