/*
 * The node on its network: one card, IP on it, and the station (formation and transport) beside it.
 *
 *     who made it     is told of the membership (`on_cluster`) and of messages (`on_transport`)
 *     netnode         polls, sends, judges silence
 *     station | IP    frames of WIRE_ETHERTYPE go to the one, all others to the other
 *     nic             the card
 *
 * One CPU owns it, the one that called netnode_start(), but for netnode_send().
 */
#ifndef NET_NODE_NETNODE_H
#define NET_NODE_NETNODE_H

#include "net/ip/netip.h"
#include "net/transport/station.h"

#define NETNODE_POOL 256

struct netnode_config {
	/* `mac` and `life` are filled in from the card and the seed */
	struct cluster_config cluster;
	/* `raw`, `raw_type`, `status`, `seed` are filled in; `ctx` is this one's */
	struct netip_config ip;
	/*
	 * The clock of every `now`, ns. Frames are stamped with it after they were taken from the card: an
	 * earlier stamp would break the promise on the clock agreement's error.
	 */
	uint64_t (*clock)(void);
	uint16_t mtu;  /* 1500, or up to NIC_MTU_JUMBO */
	uint64_t seed; /* unlike that of any other start of any node */
	void (*on_cluster)(void *ctx, uint64_t now, const struct cluster_event *event);
	void (*on_transport)(void *ctx, uint64_t now, const struct xport_event *event);
	/* Sees every frame before anything else does; true: it was for it alone. May be NULL. */
	bool (*on_frame)(void *ctx, const void *frame, size_t len);
	/* Adds to the status console's text, at most `size` bytes; returns how many. May be NULL. */
	size_t (*status)(void *ctx, char *buf, size_t size);
	void *ctx;
};

/* Who made it may read and use what is in `nic`, `ip` and `station`; the rest is its own. */
struct netnode {
	struct nic nic;
	struct netip *ip;
	struct station station;
	struct netnode_config config;
	struct xport_peer *peers;
	uint64_t say_at;
};

/* Bytes of memory a node of a cluster of `nodes` needs, page aligned and contiguous on the bus. */
size_t netnode_memory(unsigned nodes, uint16_t mtu);

/* Starts the card behind `hw`, IP and formation. `hw` and `n` stay the caller's and must last. */
int netnode_start(struct netnode *n, const struct nic_hw *hw, const struct netnode_config *config,
		  void *mem, size_t size, uint64_t now, struct why *why) MUST_CHECK;

/* Everything that is due at `now`. True when something came or went. */
bool netnode_poll(struct netnode *n, uint64_t now);
/* Sends what is due; from any CPU, while no other is in any function of this file. */
void netnode_send(struct netnode *n, uint64_t now);
uint64_t netnode_deadline(struct netnode *n, uint64_t now);

/* Tells the other nodes that this one stops, and why; the frames have gone to the card when it returns. */
void netnode_stop(struct netnode *n, uint64_t now, const char *why);

#endif
