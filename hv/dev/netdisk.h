/*
 * A disk on an AoE target, behind virtio-blk. Frames are taken from the wire wherever it is served, and
 * looked at in netdisk_poll(): only there may guest memory be waited for. All but netdisk_frame() under
 * vm->pc_lock, or before the machine starts; all but a request on the CPU that serves the wire.
 */
#ifndef HV_DEV_NETDISK_H
#define HV_DEV_NETDISK_H

#include "guest/virtio_blk.h"
#include "hv/base/report.h"

/*
 * Looks for the target, "SHELF.SLOT", and asks it for its size; `disk` is the backend then. `wake` is
 * called when netdisk_poll() has something to do. An error comes with a sentence.
 */
int netdisk_open(const char *name, struct blk_disk *disk, void (*wake)(void),
		 struct why *why) MUST_CHECK;

/* A frame of any kind from the wire; true: it was AoE's, for this node. */
bool netdisk_frame(const void *frame, size_t len);

/* Answers and sends what is due; returns when to come again, ns from now. */
uint64_t netdisk_poll(void);

/* Its counters. */
void netdisk_report(struct report *r);

#endif
