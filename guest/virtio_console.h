/*
 * virtio-console with one port. What the guest writes goes to a sink that takes as much as it can; what
 * it does not take waits in the guest's own buffers. VIRTIO 1.2, 5.3.
 */
#ifndef GUEST_VIRTIO_CONSOLE_H
#define GUEST_VIRTIO_CONSOLE_H

#include "guest/virtio.h"

/* 5.3.4; without features a driver looks at none of it */
struct console_config {
	uint16_t columns, rows;
	uint32_t ports, emergency_write;
};

struct virtio_console {
	struct virtio virtio;
	struct console_config config;
	/* Takes bytes the guest wrote; returns how many. After less than all, virtio_console_resume. */
	size_t (*tx)(void *ctx, const uint8_t *bytes, size_t count);
	void *ctx;
	bool sending; /* `out` is with us, `sent` bytes of it are gone */
	struct virtq_chain in, out;
	uint32_t sent;
	uint64_t bytes_in, bytes_out;
};

void virtio_console_init(struct virtio_console *c,
			 size_t (*tx)(void *ctx, const uint8_t *bytes, size_t count), void *ctx);

/* Outside of a pc_* call, pc_pci_sync has to follow these two. */

/* The sink has room again. */
void virtio_console_resume(struct virtio_console *c);

/* Bytes for the guest; returns how many it had buffers for. */
size_t virtio_console_rx(struct virtio_console *c, const uint8_t *bytes, size_t count);

#endif
