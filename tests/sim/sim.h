/*
 * N nodes of the real engine on one clock: seeded, deterministic, with a network that takes its time.
 * Every read is compared with the last write anywhere; nothing that comes out is assumed.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "dsm/dsm.h"
#include "net/transport/xport.h"

enum sim_pattern {
	SIM_PRIVATE,     /* each node its own pages, homed anywhere */
	SIM_READ_MOSTLY, /* all nodes read 16 pages, one access of 50 writes */
	SIM_MIGRATORY,   /* objects that one node after the other reads, then writes */
	SIM_PRODUCER,    /* pairs of nodes: one writes, the other reads */
	SIM_FALSE,       /* all nodes write their part of one page */
	SIM_LOCK,        /* test-and-set locks with a page of data each */
	SIM_RANDOM,      /* anything, also two pages at once */
	SIM_TRACE,       /* from a file */
	SIM_PATTERNS
};

struct sim_access {
	uint16_t node;
	bool write;
	gfn_t gfn;
};

struct sim_config {
	enum sim_pattern pattern;
	uint16_t nodes, agents;
	uint32_t ops; /* of each agent */
	uint64_t seed;
	uint64_t gfns;
	uint32_t cache_frames; /* 0: plenty */
	uint32_t
		spare_frames; /* besides one for each page homed at a node; 0: one for each of the cache's */
	uint16_t ahead_max; /* as in dsm_config; two pages written first make it ask for more */
	uint32_t guesses; /* as in dsm_config; two writes make a read ask for the right to write */
	/* as in dsm_config; then agents don't say when an instruction has retired */
	uint16_t kept_max;
	uint64_t one_way_ns, byte_ps, kick_ns, step_ns, think_ns;
	/* Frames of the real transport, in parts of 1000; none: ordered channels without loss. */
	bool transport;
	unsigned lose, twice, late;
	uint64_t lose_node_at; /* ns; 0: never. Node nodes - 1 falls silent and is reported. */
	const struct sim_access *trace;
	size_t trace_len;
};

struct sim_result {
	/* NULL: every read was right and all work was done (or rightly stopped) */
	const char *wrong;
	uint64_t time_ns, ops, faults, messages, pages, bytes, frames, resent;
	uint64_t evictions, home_waits, deferred, waited_ns, expired;
	uint64_t worst_messages; /* for one fault, invalidations included */
	struct hist read_ns, write_ns;
	double fairness; /* Jain's index of the nodes' rates: 1 is even */
	size_t node_bytes, directory_bytes;
	uint64_t events;
};

struct sim_result sim_run(const struct sim_config *cfg);

const char *sim_pattern_name(enum sim_pattern p);

#endif
