/* A disk image in the hypervisor's memory, behind virtio-blk: writes stay in that memory. */
#ifndef GUEST_RAMDISK_H
#define GUEST_RAMDISK_H

#include "guest/virtio_blk.h"

/*
 * The disk that `bytes` of image at `image` are; the image stays the caller's and must last. What is
 * left over after the last whole sector is not part of it.
 */
void ramdisk_init(struct blk_disk *disk, void *image, uint64_t bytes);

#endif
