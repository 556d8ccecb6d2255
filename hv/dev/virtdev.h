/*
 * The machine's virtio devices: which there are, and what is behind each. Set up before the machine
 * first starts, plugged in once, and from then on under vm->pc_lock.
 */
#ifndef HV_DEV_VIRTDEV_H
#define HV_DEV_VIRTDEV_H

#include "hv/base/report.h"
#include "hv/core/vm.h"

/* The guest gets a disk whose content is this image, in place. The image must last. */
void virtdev_disk_image(void *image, uint64_t bytes);

/* The guest gets a disk on an AoE target, "SHELF.SLOT"; the wire is up. An error comes with a sentence. */
int virtdev_disk_aoe(struct vm *vm, const char *name, struct why *why) MUST_CHECK;

/* The guest gets a network card on the node's, with `aoe` also for AoE; the wire is up. */
void virtdev_net(struct vm *vm, bool aoe);

/* The guest gets a virtio console on this serial port of the host's; 0: none. */
void virtdev_console_open(uint16_t port);

/* Puts what was set up on the bus. */
int virtdev_plug(struct pci *bus, struct why *why) MUST_CHECK;

/* Moves what waits; returns when to come again, ns as `now`. */
uint64_t virtdev_poll(struct pc *pc, uint64_t now);

/* The counters of those there are. */
void virtdev_report(struct report *r);

#endif
