#include "hv/core/virtdev.h"
#include "guest/layout.h"
#include "guest/ramdisk.h"
#include "hv/base/log.h"

static struct {
	struct virtio_blk blk;
	bool present;
} disk;

void virtdev_disk_image(void *image, uint64_t bytes)
{
	struct blk_disk backend;

	ramdisk_init(&backend, image, bytes);
	virtio_blk_init(&disk.blk, &backend);
	disk.present = true;
	log_info(LOG_DEV, "the guest has a disk of %llu KiB, kept in this node's RAM",
		 (unsigned long long)(bytes >> 10));
}

int virtdev_plug(struct pci *bus, struct why *why)
{
	return disk.present ? pci_add(bus, &disk.blk.virtio.pci, LAYOUT_DISK_SLOT, why) : 0;
}
