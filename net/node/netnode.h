/*
 * The node on its network: one card, IP on it, the station (formation and transport) beside it. What a
 * hypervisor needs to call; it is told of events through two functions. One CPU owns it.
 */
#ifndef NET_IP_NETNODE_H
#define NET_IP_NETNODE_H

#include "net/ip/netip.h"
#include "net/transport/station.h"

#define NETNODE_POOL 256

struct netnode_config {
	struct cluster_config
		cluster;        /* `mac` and `life` are filled in from the card and the seed */
	struct netip_config ip; /* `wire`, `wire_type`, `status`, `ctx` are filled in */
	/*
	 * The clock of every `now`, ns. Frames are stamped with it after they were taken from the card: an
	 * earlier stamp would break the promise on the clock agreement's error.
	 */
	uint64_t (*clock)(void);
	uint16_t mtu;  /* 1500, or up to NIC_MTU_JUMBO */
	uint64_t seed; /* unlike that of any other start of any node */
	void (*cluster_event)(void *ctx, uint64_t now, const struct cluster_event *event);
	void (*wire_event)(void *ctx, uint64_t now, const struct xport_event *event);
	/* Adds to the status console's text, as netip_config.status does. May be NULL. */
	size_t (*status)(void *ctx, char *buf, size_t size);
	void *ctx;
};

/* Bytes of memory a node of a cluster of `nodes` needs, page aligned and contiguous on the bus. */
size_t netnode_memory(unsigned nodes, uint16_t mtu);

/* Starts the card behind `hw`, IP and formation. `hw` stays the caller's and must last. */
int netnode_start(const struct nic_hw *hw, const struct netnode_config *config, void *mem,
		  size_t size, uint64_t now, struct why *why) MUST_CHECK;

/* Everything that is due at `now`. True when something came or went. */
bool netnode_poll(uint64_t now);
/* Sends what is due; from any CPU, while no other is in any function of this file. */
void netnode_send(uint64_t now);
uint64_t netnode_deadline(uint64_t now);

struct nic *netnode_nic(void);
struct station *netnode_station(void);

#endif
