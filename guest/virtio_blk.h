/*
 * virtio-blk: a disk of 512-byte sectors whose content is a backend's. A request goes to the backend
 * when the driver makes it and is answered when the backend says so, in any order. VIRTIO 1.2, 5.2.
 */
#ifndef GUEST_VIRTIO_BLK_H
#define GUEST_VIRTIO_BLK_H

#include "guest/virtio.h"

#define BLK_SECTOR 512u
#define BLK_DEPTH  32 /* requests with the backend at a time; more wait in the queue */
#define BLK_SERIAL 20

enum blk_op { BLK_READ, BLK_WRITE, BLK_FLUSH };

struct virtio_blk;

struct blk_request {
	struct virtio_blk *blk;
	enum blk_op op;
	uint64_t sector; /* [sector, sector + count) lies within the disk */
	uint32_t count;
	bool busy;
	struct virtq_chain chain;
};

struct blk_backend_ops {
	/* Starts the request; blk_done answers it, within this call or later. */
	void (*submit)(void *ctx, struct blk_request *request);
	/* The device was reset: drop all requests, answer none of them. */
	void (*cancel)(void *ctx);
};

/* The disk behind a device. */
struct blk_disk {
	const struct blk_backend_ops *ops;
	void *ctx;
	uint64_t sectors;
	bool read_only;
	char serial[BLK_SERIAL + 1];
};

/* 5.2.4, as far as the features go that are offered */
struct blk_config {
	uint64_t capacity; /* in sectors */
	uint32_t size_max, seg_max;
	uint32_t geometry, block_size;
};

struct virtio_blk {
	struct virtio virtio;
	struct blk_config config;
	struct blk_disk disk;
	struct blk_request request[BLK_DEPTH];
	bool running; /* requests are being taken from the queue */
	uint64_t reads, writes, flushes, errors;
};

/* Prepares the device; `disk` is copied. Its place on the bus is pci_add's (blk->virtio.pci). */
void virtio_blk_init(struct virtio_blk *blk, const struct blk_disk *disk);

/*
 * For backends: the data of a write, or of a read, `len` bytes at byte `offset` of the request. False:
 * the guest named memory that it has not; the device has failed then, and the request is gone.
 */
bool blk_get(struct blk_request *request, uint32_t offset, void *buf, uint32_t len) MUST_CHECK;
bool blk_put(struct blk_request *request, uint32_t offset, const void *buf,
	     uint32_t len) MUST_CHECK;

/*
 * Answers a request. Outside of a pc_* call, pc_pci_sync has to follow.
 */
void blk_done(struct blk_request *request, bool good);

#endif
