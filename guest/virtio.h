/*
 * What all virtio devices have in common: features, status, queues, interrupts, and their place on
 * PCI (guest/virtio_pci.c). Modern devices only: a driver has to take VIRTIO_F_VERSION_1. Whatever a
 * driver does wrong ends in DEVICE_NEEDS_RESET and a sentence in the log. All calls under the PC's
 * lock. VIRTIO 1.2, chapters 2 and 4.1.
 */
#ifndef GUEST_VIRTIO_H
#define GUEST_VIRTIO_H

#include "guest/msix.h"
#include "guest/virtq.h"

#define VIRTIO_QUEUES 2

/* Device ids, chapter 5. */
enum virtio_id { VIRTIO_NET = 1, VIRTIO_BLK = 2, VIRTIO_CONSOLE = 3 };

/* Features of all devices, chapter 6; virtio_init offers them. */
#define VIRTIO_F_INDIRECT_DESC 28
#define VIRTIO_F_EVENT_IDX     29
#define VIRTIO_F_VERSION_1     32

struct virtio;

struct virtio_ops {
	/* The driver may have made buffers available, and the device may use them. */
	void (*notify)(struct virtio *v, unsigned queue);
	/* Forget all buffers; nothing may touch them any more. May be NULL. */
	void (*reset)(struct virtio *v);
};

/* What a device is; must outlive it. */
struct virtio_kind {
	const char *name;
	enum virtio_id id;
	uint32_t pci_class;
	unsigned queues;
	uint16_t queue_size; /* the largest, and what a driver finds at first */
	const struct virtio_ops *ops;
};

struct virtio {
	struct pci_device pci;
	struct msix msix;
	const struct virtio_kind *kind;
	const void *config; /* device-specific configuration, read-only to the driver */
	uint32_t config_size;
	uint64_t offered, accepted; /* feature bits */
	uint32_t offered_select, accepted_select;
	uint8_t status, isr, generation;
	uint16_t queue_select, config_vector;
	struct virtq queue[VIRTIO_QUEUES];
	uint16_t vector[VIRTIO_QUEUES];
	unsigned again;  /* bit per queue: notify it at the next tick */
	unsigned window; /* offset of the capability for access through configuration space */
	uint64_t failures;
};

/*
 * Prepares a device with its features beside the common ones and its configuration space, which the
 * device may change (virtio_config_changed). Then pci_add(&v->pci) puts it on the bus.
 */
void virtio_init(struct virtio *v, const struct virtio_kind *kind, uint64_t features,
		 const void *config, uint32_t config_size);

static inline bool virtio_has(const struct virtio *v, unsigned feature)
{
	return v->accepted >> feature & 1;
}

/* May the device use this queue's buffers? */
bool virtio_ready(const struct virtio *v, unsigned queue);

/* The next buffer of a queue; false: none, or the driver broke a rule and the device has failed. */
bool virtio_pop(struct virtio *v, unsigned queue, struct virtq_chain *chain);

/* Gives a buffer back with `written` bytes and interrupts if the driver wants that. */
void virtio_push(struct virtio *v, unsigned queue, uint16_t head, uint32_t written);

/* Notify the queue again soon: its turn is over, though there may be more. */
void virtio_again(struct virtio *v, unsigned queue);

/* The configuration space changed. */
void virtio_config_changed(struct virtio *v);

/* The driver broke a rule: the device stops until it is reset. The sentence says which. */
void virtio_fail(struct virtio *v, const char *fmt, ...) PRINTF(2, 3);

/* For guest/virtio_pci.c: what the registers do. */
void virtio_reset(struct virtio *v);
void virtio_set_status(struct virtio *v, uint8_t status);
void virtio_accept(struct virtio *v, uint32_t bits);
struct virtq *virtio_selected(struct virtio *v); /* NULL: there is no such queue */
void virtio_enable_queue(struct virtio *v);
void virtio_notify(struct virtio *v, unsigned queue);
uint8_t virtio_take_isr(struct virtio *v);
void virtio_pci_init(struct virtio *v);
void virtio_tick(struct virtio *v);

#endif
