/*
 * Litmus programs above the engine: each thread is a vCPU with a store buffer, each variable lies in
 * guest memory. All schedules are walked; what comes out is compared with what the x86-TSO operational
 * model (store buffers over one memory) allows.
 *
 * A store enters its buffer when its page is writable, and leaves it whenever it likes; a flush (the
 * CPU leaves guest mode) empties the buffers of all the node's CPUs; a fault need not. Hence a load
 * that passes an older store is seen by CPUs of the same node only: between nodes the machine is
 * stronger than it has to be. So each program runs with its threads spread, in pairs and together.
 */
#ifndef TESTS_MODEL_LITMUS_H
#define TESTS_MODEL_LITMUS_H

#include "tests/model/world.h"

#define L_THREADS 4
#define L_INS     4
#define L_VARS    3
#define L_REGS    4

enum l_op { L_END, L_LOAD, L_STORE, L_FENCE, L_XCHG };

struct l_ins {
	uint8_t op, var, value;
};

struct litmus {
	const char *name;
	struct l_ins thread[L_THREADS][L_INS];
	/* An outcome worth naming, "0:0=1" is register 0 of thread 0, "x=2" a final value. */
	const char *outcome;
	bool allowed;
	bool one_page; /* all variables in one page */
};

struct litmus_result {
	uint64_t states, outcomes, allowed_outcomes, forbidden_seen, missing;
	bool complete, named_seen;
	const char *wrong;
	uint64_t first_forbidden;
};

enum l_place { L_SPREAD, L_PAIRS, L_TOGETHER, L_PLACES };

/* `warm`: all nodes have read all pages before the program starts. */
struct litmus_result litmus_run(const struct litmus *l, enum l_place place, bool warm,
				uint64_t limit);

extern const struct litmus litmus_tests[];
extern const unsigned litmus_test_count;

#endif
