/*
 * A node on the wire: cluster formation, then the transport between its members, behind one set of
 * calls of the same shape (see xport.h). Sessions to all members are opened when the membership stands;
 * what arrives over them counts as a sign of life.
 */
#ifndef NET_TRANSPORT_STATION_H
#define NET_TRANSPORT_STATION_H

#include "net/transport/cluster.h"
#include "net/transport/xport.h"

struct station {
	struct cluster cluster;
	struct xport xport; /* in use when `open` */
	bool open;
	uint16_t mtu;
	struct xport_peer *peers;
	struct xport_buf *pool;
	unsigned peer_max, pool_count;
	/* the latest time heard of: CPUs that take turns may read their clocks a little apart */
	uint64_t now;
};

enum station_event_kind { STATION_CLUSTER, STATION_WIRE };

struct station_event {
	enum station_event_kind kind;
	union {
		struct cluster_event cluster;
		struct xport_event wire;
	};
};

/* `peers` (one per node that is expected) and `pool` belong to the station from now on. */
void station_init(struct station *s, const struct cluster_config *config, uint16_t mtu,
		  struct xport_peer *peers, unsigned peer_max, struct xport_buf *pool,
		  unsigned pool_count, uint64_t now);

/* A frame of WIRE_ETHERTYPE came; it must stay until station_poll has returned false. */
void station_rx(struct station *s, uint64_t now, const void *frame, size_t len);
bool station_poll(struct station *s, uint64_t now, struct station_event *event);
/*
 * To be called when all that came before `seen` has gone through station_rx(): who was silent for too long is
 * lost.
 */
void station_heard(struct station *s, uint64_t seen);
/* Tells the others that this node stops, and why; station_tx() has the frames. */
void station_stop(struct station *s, const char *why);
/* Builds the next frame that is due into `buf` of at least WIRE_ETH + mtu bytes; 0: none. */
size_t station_tx(struct station *s, uint64_t now, void *buf);
uint64_t station_deadline(const struct station *s);

#endif
