/*
 * The coherence engine: one guest memory over N nodes, single writer or many readers per 4 KiB page.
 *
 * One `struct dsm` is one node's part: the directory of the pages it is home to, its copies of pages,
 * and its agents (each CPU for its guest, and for hypervisor code that wants guest memory). It is a pure
 * state machine in one block of memory without pointers: an event goes in, actions come out, nothing is
 * called. The protocol, its message counts and why it gives x86-TSO are in docs/coherence.md.
 *
 * One caller at a time. Actions are to be carried out in the order given, all of them, before the next
 * event. Time is in nanoseconds of any clock that does not go back; it comes with the event.
 */
#ifndef DSM_DSM_H
#define DSM_DSM_H

#include "dsm/dsm_msg.h"
#include "hv/base/counter.h"
#include "hv/base/err.h"

#define DSM_NODES_MAX 1024u
/* Pages one instruction can need at once: code and operands across a page end, and their tables. */
#define DSM_SET_MAX   16u

struct dsm;

struct dsm_config {
	uint16_t nodes; /* 2..DSM_NODES_MAX (1 works too: everything is local) */
	uint16_t self;
	uint16_t agents;      /* of this node */
	uint16_t peer_agents; /* the most agents any node of the cluster has */
	uint16_t set_max;     /* pages an agent may hold at once, 1..DSM_SET_MAX */
	uint64_t gfns;        /* guest frames, holes included */
	/*
	 * Homes: the guest is cut into stripes of 2^stripe_shift pages; stripe s has the home
	 * slots[s % slot_count]. A node that offers more RAM stands there more often. Read by
	 * dsm_init only.
	 */
	unsigned stripe_shift;
	uint32_t slot_count;
	const uint16_t *slots;
	/*
	 * The most copies of pages homed elsewhere; at least dsm_copies_least() + 1.
	 */
	uint32_t cache_frames;
	uint32_t cache_reserve; /* eviction starts when fewer than these are free */
	/*
	 * All frames there are, for such copies and for the pages homed here, which take theirs when they are
	 * first used; 0: one for each. At least dsm_copies_least() more than there are pages homed here that
	 * are memory. See dsm_frames.c.
	 */
	uint64_t frames;
	/*
	 * How long a granted page is kept for a vCPU that does not say that its instruction has
	 * retired; doubles up to hold_max_ns while the same instruction faults again and again.
	 */
	uint64_t hold_ns, hold_max_ns;
	/* At least so many times as long as a page takes to come that nobody holds back. */
	uint32_t hold_fetches;
	/*
	 * Pages an agent keeps for the rest of their hold after it went on to another instruction.
	 * Without them two nodes can take turns so fast that neither runs: each needs several pages
	 * for every few instructions (page tables, code, data) and finds one of them gone again.
	 */
	uint16_t kept_max;
	/*
	 * Pages whose reads are watched for writes that follow, 0: none; and so many writes make the next
	 * read ask for the right to write. See dsm_guess.c.
	 */
	uint32_t guesses;
	uint8_t guess_from;
	/*
	 * Pages asked for before they are needed, at most so many at a time, 0: none; and how many before
	 * them must have been written first by this node. See dsm_ahead.c.
	 */
	uint16_t ahead_max;
	uint16_t ahead_from;
	/* They end where 2^ahead_shift pages do: there may be a hole behind them, which is no memory. */
	uint8_t ahead_shift;
	uint32_t heat_sets; /* of 4 pages each that the list of hot pages can hold; 0: no list */
};

enum dsm_access { DSM_READ, DSM_WRITE, DSM_EXECUTE };

enum dsm_event_kind {
	/* An agent can't go on: `agent`, `gfn`, `access`. `cookie` tells instructions apart: the same
	 * value again means the same instruction was tried again without having retired. */
	DSM_EV_FAULT,
	/* `agent` needs none of its pages any more: the instruction has retired, the copy is done. */
	DSM_EV_RELEASE,
	/* The DSM_ACT_KICK for `gfn` is done on all CPUs of this node. */
	DSM_EV_FLUSHED,
	/* `msg` has come from `peer`; its page, if it carries one, is for the DSM_ACT_FILL. */
	DSM_EV_MESSAGE,
	/* Nothing but `now_ns`: holds may end. Due at dsm_deadline(). */
	DSM_EV_TICK,
	/* `peer` is gone: memory may be gone with it. Nothing is served from here on. */
	DSM_EV_PEER_LOST,
};

struct dsm_event {
	enum dsm_event_kind kind;
	enum dsm_access access;
	uint16_t agent, peer;
	gfn_t gfn;
	uint64_t cookie;
	uint64_t now_ns;
	struct dsm_msg msg;
};

enum dsm_perm { DSM_PERM_NONE, DSM_PERM_READ, DSM_PERM_WRITE }; /* READ: and execute; WRITE: all */

enum dsm_action_kind {
	/* Send `msg` to `node`, on the channel dsm_msg_class() names. A message that carries a page
	 * takes the content of `frame` as it is now. */
	DSM_ACT_SEND,
	/* Put the page that came with this event into `frame`, which is `gfn`'s. */
	DSM_ACT_FILL,
	/* Fill `frame`, which is `gfn`'s, with zeros. */
	DSM_ACT_ZERO,
	/* `frame` holds nothing that is needed any more: what is behind it may serve as another. */
	DSM_ACT_DROP,
	/* Let the guest reach `frame` at `gfn` with at most `perm`. That is more than before, so there
	 * is nothing to flush. */
	DSM_ACT_MAP,
	/* Take access to `gfn` down to `perm`, make every local CPU leave guest mode and flush, then
	 * give DSM_EV_FLUSHED. Until then the guest may still use the old rights. */
	DSM_ACT_KICK,
	/* `agent` has all pages it asked for: try again what faulted. */
	DSM_ACT_RESUME,
	/* Guest memory is no longer whole or a peer broke the protocol: stop the guest on this node
	 * and say dsm_stop_reason(). */
	DSM_ACT_STOP,
};

struct dsm_action {
	enum dsm_action_kind kind;
	enum dsm_perm perm;
	uint16_t node, agent;
	uint64_t frame; /* 0..dsm_home_frames() - 1 for pages homed here, cache frames above */
	gfn_t gfn;
	struct dsm_msg msg;
};

/* The caller's; room for dsm_actions_max() actions. dsm_step starts it anew each time. */
struct dsm_actions {
	struct dsm_action *list;
	uint32_t count, room;
};

struct dsm_stats {
	uint64_t faults[3];    /* by enum dsm_access */
	uint64_t faults_local; /* answered without a message */
	uint64_t upgrades;     /* write grants that needed no page */
	uint64_t zero_fills;   /* never-written pages got as one word */
	uint64_t evict_clean, evict_dirty;
	uint64_t home_waits; /* writes that waited at their home for a frame */
	uint64_t kicks;
	uint64_t deferred;  /* requests that waited here for a hold, a flush or a grant */
	uint64_t waited_ns; /* all of them together */
	uint64_t restarts;  /* instructions whose pages had to be gathered in order again */
	uint64_t holds_expired;
	uint64_t guesses;       /* reads that asked to write */
	uint64_t guesses_wrong; /* of these, the ones after which nothing was written */
	uint64_t aheads;        /* pages asked for before they were needed */
	uint64_t sent[DSM_MSG_TYPES];
	uint64_t pages_sent;           /* messages that carried 4 KiB */
	struct hist read_ns, write_ns; /* fault to resume */
};

struct dsm_heat {
	gfn_t gfn;
	uint64_t requests; /* that reached this home, at most `over` too many */
	uint64_t over;
};

/* Bytes dsm_init needs, or 0 with a sentence when the configuration breaks a rule. */
size_t dsm_size(const struct dsm_config *cfg, struct why *why) MUST_CHECK;

/* Copies of pages that the agents may need all at once. */
uint32_t dsm_copies_least(const struct dsm_config *cfg);

/* `mem` is 16-byte aligned and stays the caller's. All pages start unwritten, at their homes. */
struct dsm *dsm_init(void *mem, const struct dsm_config *cfg);

uint32_t dsm_actions_max(const struct dsm_config *cfg);

/*
 * 0; ERR_INVALID when the caller or a peer broke a rule, or ERR_NOTFOUND once the engine has stopped
 * (see dsm_stop_reason).
 */
int dsm_step(struct dsm *d, const struct dsm_event *in, struct dsm_actions *out);

/* When the next DSM_EV_TICK is due, UINT64_MAX when none is. */
uint64_t dsm_deadline(const struct dsm *d);

/* The sentence that goes with DSM_ACT_STOP; NULL while all is well. */
const char *dsm_stop_reason(const struct dsm *d);

uint16_t dsm_home(const struct dsm *d, gfn_t gfn);
uint64_t dsm_home_frames(const struct dsm *d);
/* Bytes of directory per homed page: 16 up to 64 nodes. */
size_t dsm_directory_bytes(const struct dsm *d);
const struct dsm_stats *dsm_stats(const struct dsm *d);

/* The hottest pages homed here, hottest first; returns how many of `max` were written to `list`. */
uint32_t dsm_heat(const struct dsm *d, struct dsm_heat *list, uint32_t max);

#endif
