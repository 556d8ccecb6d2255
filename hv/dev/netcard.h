/*
 * The guest's network card: it shares the node's, with an address of its own. Frames for it are set aside
 * where the wire is served and reach the guest in netcard_poll(), as do those it sends: only there, on the
 * CPU that serves the wire, under vm->pc_lock, may guest memory be waited for.
 */
#ifndef HV_DEV_NETCARD_H
#define HV_DEV_NETCARD_H

#include "guest/lan_rules.h"
#include "guest/virtio_net.h"
#include "hv/base/report.h"
#include "hv/dev/frame_ring.h"
#include "hv/dev/lan.h"

#define NETCARD_QUEUE 64 /* frames that wait for the guest */

struct netcard {
	struct virtio_net dev;
	struct lan_rules rules;
	const struct lan *lan;
	bool polling, aoe_told;
	struct frame_ring came;
	uint16_t slots[FRAME_RING_BYTES(NETCARD_QUEUE, VIRTIO_NET_FRAME) / 2];
	uint64_t last; /* when a frame came or went */
	uint64_t lost, refused[LAN_VERDICTS];
};

/* With `aoe` the guest may speak ATA over Ethernet to whom it likes. `lan` must last. */
void netcard_open(struct netcard *n, const struct lan *lan, bool aoe);

/* A frame of any kind from the wire; true: it was for the guest alone. */
bool netcard_frame(struct netcard *n, const void *frame, size_t len);

/* Moves what waits; returns when to come again, ns from now. */
uint64_t netcard_poll(struct netcard *n);

/* Its counters. */
void netcard_report(const struct netcard *n, struct report *r);

#endif
