/*
 * The machine's virtio devices: which there are, and what is behind each. Set up before the machine
 * first starts, plugged in once, and from then on under vm->pc_lock.
 */
#ifndef HV_DEV_VIRTDEV_H
#define HV_DEV_VIRTDEV_H

#include "guest/virtio_console.h"
#include "guest/pc.h"
#include "hv/dev/netcard.h"
#include "hv/dev/netdisk.h"
#include "hv/dev/tty.h"

struct virtdev {
	void (*wake)(void *ctx);
	void *wake_ctx;
	struct virtio_blk blk;
	struct netdisk remote; /* the disk's backend, where it is on the network */
	bool disk, disk_remote;
	struct netcard card;
	bool net;
	struct lan lan; /* of the two that are on the network */
	bool on_lan;
	uint64_t lan_next;
	struct virtio_console console;
	struct tty tty; /* behind it */
};

/*
 * None yet; `d` is zeros, and lasts. `wake` is called when virtdev_poll() has something to do, from any CPU
 * and with any lock held.
 */
void virtdev_init(struct virtdev *d, void (*wake)(void *ctx), void *ctx);

/* The guest gets a disk whose content is this image, in place. The image must last. */
void virtdev_disk_image(struct virtdev *d, void *image, uint64_t bytes);

/* The network for the next two; it is copied. */
void virtdev_lan(struct virtdev *d, const struct lan *lan);
/* The guest gets a disk on an AoE target, "SHELF.SLOT". An error comes with a sentence. */
int virtdev_disk_aoe(struct virtdev *d, const char *name, struct why *why) MUST_CHECK;
/* The guest gets a network card on the node's, with `aoe` also for AoE. */
void virtdev_net(struct virtdev *d, bool aoe);

/* The guest gets a virtio console on this serial port of the host's; 0: none. */
void virtdev_console_open(struct virtdev *d, uint16_t port);

/* Puts what was set up on the bus. */
int virtdev_plug(struct virtdev *d, struct pci *bus, struct why *why) MUST_CHECK;

/* Moves what waits; returns when to come again, ns as `now`. */
uint64_t virtdev_poll(struct virtdev *d, struct pc *pc, uint64_t now);

/* The counters of those there are. */
void virtdev_report(const struct virtdev *d, struct report *r);

#endif
