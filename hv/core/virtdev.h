/*
 * The machine's virtio devices: which there are, and what is behind each. Set up before the machine
 * first starts, plugged in once, and from then on under vm->pc_lock.
 */
#ifndef HV_CORE_VIRTDEV_H
#define HV_CORE_VIRTDEV_H

#include "guest/pci.h"

/* The guest gets a disk whose content is this image, in place. The image must last. */
void virtdev_disk_image(void *image, uint64_t bytes);

/* Puts what was set up on the bus. */
int virtdev_plug(struct pci *bus, struct why *why) MUST_CHECK;

#endif
