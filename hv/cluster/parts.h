/*
 * Each node's part of the guest's memory: how much the guest can have, who homes what, and what that takes
 * of a node's RAM. Arithmetic alone, the same on every node, so that what the head chooses fits on all.
 */
#ifndef HV_CLUSTER_PARTS_H
#define HV_CLUSTER_PARTS_H

#include "dsm/dsm.h"
#include "hv/base/err.h"
#include "hv/core/vm.h"
#include "net/transport/outbox.h"

/* The engine's agents: each CPU of a node as its guest's, and as the hypervisor's; none is a vCPU's. */
#define SHARE_AGENTS 2

#define PARTS_SLOTS_EACH  16 /* of the node that gives most */
#define PARTS_SLOTS       (PARTS_SLOTS_EACH * VM_MAX_NODES)
#define PARTS_GUEST_MOST  GIB(16)
#define PARTS_GUEST_UNITS MIB(2)

/* How much a node keeps, holds and asks for. */
struct share_config {
	/* As those of struct dsm_config. */
	uint16_t set_max, kept_max, ahead_max;
	uint64_t hold_ns;
	/*
	 * Copies of other nodes' pages: for so many there are frames when all memory is in use, or for more;
	 * so many there are at most; and how many frames are made free before they are needed.
	 */
	uint32_t cache_min, cache_max, reserve_max;
};

/* A real node's. */
extern const struct share_config share_usual;

/* What the nodes have for it, as each said when the cluster formed. */
struct parts {
	const struct share_config *sizes;
	unsigned count, most_cpus;
	struct {
		uint64_t ram; /* bytes free, all of its own taken off */
		unsigned cpus;
	} node[VM_MAX_NODES];
};

/* The engine of node `self` for a guest of `ram_bytes`, with the fewest frames for other nodes' pages. */
void parts_config(const struct parts *p, unsigned self, uint64_t ram_bytes,
		  uint16_t slots[PARTS_SLOTS], struct dsm_config *c);

/* Bytes that node's memory of the guest takes, with `c` of parts_config(): tables, frames, page tables. */
uint64_t parts_memory(const struct parts *p, const struct dsm_config *c, uint64_t ram_bytes);

/*
 * Makes of `c` what a node with `free` bytes for it can have, at least parts_memory(): room for more copies
 * of other nodes' pages, in what is over and in what the pages homed there don't need yet.
 */
void parts_cache(const struct parts *p, struct dsm_config *c, uint64_t ram_bytes, uint64_t free);

/* Pages homed at node c->self that are memory. */
uint64_t parts_homed(const struct dsm_config *c, uint64_t ram_bytes);

/* The link's queues; who sends is the link's to say. And what those and the pages last exchanged take. */
struct outbox_config parts_outbox(const struct parts *p);
uint64_t parts_link_memory(const struct parts *p);

/*
 * The largest guest, a multiple of PARTS_GUEST_UNITS, that leaves each node some RAM for copies of the
 * others' pages; 0: a node has too little for any.
 */
uint64_t parts_most(const struct parts *p);

/* Fails with the sentence that names the node which has too little for such a guest. */
int parts_check(const struct parts *p, uint64_t ram_bytes, struct why *why) MUST_CHECK;

#endif
