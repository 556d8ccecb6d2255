/*
 * A disk on an AoE target, behind virtio-blk. Frames are taken from the wire wherever it is served, and
 * looked at in netdisk_poll(): only there may guest memory be waited for. All but netdisk_frame() under
 * vm->pc_lock, or before the machine starts; all but a request on the CPU that serves the wire.
 */
#ifndef HV_DEV_NETDISK_H
#define HV_DEV_NETDISK_H

#include "guest/virtio_blk.h"
#include "hv/base/report.h"
#include "hv/dev/frame_ring.h"
#include "hv/dev/lan.h"
#include "net/aoe/aoe.h"

#define NETDISK_MTU_MAX 4400 /* the most that mtu= takes */
#define NETDISK_FRAME   AOE_FRAME_MAX(NETDISK_MTU_MAX)

struct netdisk {
	struct aoe aoe;
	const struct lan *lan;
	struct aoe_io io[BLK_DEPTH]; /* one for each request of the device */
	struct frame_ring came;
	uint16_t slots[FRAME_RING_BYTES(AOE_FRAMES, NETDISK_FRAME) / 2];
	uint8_t out[NETDISK_FRAME];
};

/*
 * Looks for the target, "SHELF.SLOT", and asks it for its size; `disk` is the backend then. From the
 * first call of lan->poll on frames go to netdisk_frame(). `lan` must last. An error comes with a sentence.
 */
int netdisk_open(struct netdisk *n, const struct lan *lan, const char *name, struct blk_disk *disk,
		 struct why *why) MUST_CHECK;

/* A frame of any kind from the wire; true: it was AoE's, for this node. */
bool netdisk_frame(struct netdisk *n, const void *frame, size_t len);

/* Answers and sends what is due; returns when to come again, ns from now. */
uint64_t netdisk_poll(struct netdisk *n);

/* Its counters. */
void netdisk_report(const struct netdisk *n, struct report *r);

#endif
