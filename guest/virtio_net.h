/*
 * virtio-net with one queue pair and no offloads: every buffer is one Ethernet frame without FCS, behind
 * a header that says nothing. What the wire has no room for waits in the guest. VIRTIO 1.2, 5.1.
 */
#ifndef GUEST_VIRTIO_NET_H
#define GUEST_VIRTIO_NET_H

#include "guest/virtio.h"

#define VIRTIO_NET_MAC   6
#define VIRTIO_NET_FRAME 1518 /* 1500 bytes with Ethernet and VLAN headers */

/* 5.1.4, as far as the features go that are offered */
struct net_config {
	uint8_t mac[VIRTIO_NET_MAC];
	uint16_t status;
};

struct virtio_net {
	struct virtio virtio;
	struct net_config config;
	bool (*send)(void *ctx, const void *frame, size_t len);
	void *ctx;
	struct virtq_chain out, in;
	bool sending; /* `out` waits for room */
	uint8_t frame[VIRTIO_NET_FRAME];
	uint64_t tx_frames, tx_dropped, rx_frames, rx_dropped;
};

/*
 * `send` puts a frame of the guest's on the wire, or drops it; the frame is gone when it returns. False:
 * there is no room, and virtio_net_resume comes when there is.
 */
void virtio_net_init(struct virtio_net *n, const uint8_t mac[VIRTIO_NET_MAC],
		     bool (*send)(void *ctx, const void *frame, size_t len), void *ctx);

/* Outside of a pc_* call, pc_pci_sync has to follow these. */

void virtio_net_resume(struct virtio_net *n);

/* A frame for the guest; false: it had no buffer and the frame is dropped. */
bool virtio_net_rx(struct virtio_net *n, const void *frame, size_t len);

/* The cable; it is in at first. */
void virtio_net_link(struct virtio_net *n, bool up);

#endif
