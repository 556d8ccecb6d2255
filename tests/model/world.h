/*
 * A few nodes of the real engine, joined by channels that may delay as they like: the state the model
 * checker and the litmus executor walk through. It is one plain block without pointers into itself.
 */
#ifndef TESTS_MODEL_WORLD_H
#define TESTS_MODEL_WORLD_H

#include "dsm/dsm_state.h"

#define W_NODES  4
#define W_PAGES  4
#define W_AGENTS 4
#define W_FRAMES 16
#define W_CHAN   12
#define W_BYTES  5632 /* of one node's engine, without its statistics */

struct world_config {
	uint16_t nodes, agents, pages, set_max;
	uint16_t home[W_PAGES];
	uint16_t kept_max;
	uint16_t guesses;        /* one write makes the next read ask for the right to write */
	uint16_t ahead_max;      /* one page written first makes it ask for the next */
	uint8_t frames[W_NODES]; /* each node has in all, 0: plenty */
};

struct world_msg {
	struct dsm_msg m;
	uint8_t content; /* of the page it carries */
};

struct world_chan {
	uint8_t count;
	struct world_msg q[W_CHAN];
};

/* Rights as the node's CPUs may still use them: what was mapped, until the flush is done. */
struct world_tlb {
	uint8_t perm, frame;
	uint8_t kick; /* 0, or 1 + the rights to be left by the flush that is under way */
};

struct world {
	struct {
		_Alignas(16) uint8_t bytes[W_BYTES];
	} node[W_NODES];
	struct world_chan chan[W_NODES][W_NODES][2];
	struct world_tlb tlb[W_NODES][W_PAGES];
	uint8_t content[W_NODES][W_FRAMES];
	uint16_t backed[W_NODES]; /* a bit for each frame that was filled and not dropped */
	uint8_t zero[W_PAGES];    /* what a page of zeros counts as */
	uint8_t resumed[W_NODES][W_AGENTS];
	uint8_t lost[W_NODES]; /* this node was told that another is gone */
	const char *broken;    /* what an engine said when it stopped, or what the channels saw */
};

extern struct world_config world_cfg;

static inline struct dsm *world_dsm(const struct world *w, unsigned node)
{
	return (struct dsm *)(void *)w->node[node].bytes;
}

void world_init(struct world *w);

/* Of `from` what this small cluster uses, half of a world or less; the rest of `to` has no meaning. */
void world_copy(struct world *to, const struct world *from);

/* Steps one engine and carries its actions out, but for flushes and messages: those take their time. */
int world_step(struct world *w, unsigned node, const struct dsm_event *in, uint8_t content);

void world_deliver(struct world *w, unsigned from, unsigned to, unsigned class);
void world_flush(struct world *w, unsigned node, unsigned page);
void world_fault(struct world *w, unsigned node, unsigned agent, unsigned page, bool write,
		 uint64_t cookie);
void world_release(struct world *w, unsigned node, unsigned agent);
void world_lose(struct world *w, unsigned node, unsigned gone);
void world_evict(struct world *w, unsigned node, struct page *p);

/* No message, no flush, no agent that waits. */
bool world_quiet(const struct world *w);

/* NULL, or what is wrong with it: one writer or many readers, at rest the directories are right. */
const char *world_check(const struct world *w);

/* One line about every node, page and channel, for a counterexample. */
void world_print(const struct world *w);

#endif
