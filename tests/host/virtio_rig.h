/* The driver's side of virtio for tests: rings in the host's guest RAM, and a device on a PC's PCI bus. */
#ifndef TESTS_HOST_VIRTIO_RIG_H
#define TESTS_HOST_VIRTIO_RIG_H

#include "guest/pc.h"
#include "guest/virtio.h"

#define RIG_RAM       0x100000
#define RIG_SLOT      3
#define RIG_NEXT      1
#define RIG_WRITE     2
#define RIG_INDIRECT  4
#define RIG_VERSION_1 (1ull << 32)

/* A queue as the driver lays it out, at `base` in guest RAM. */
struct rig_queue {
	gpa_t desc, avail, used;
	uint16_t size, offered, seen;
};

struct rig {
	struct pc pc;
	struct virtio *dev;
	uint32_t gsi; /* level of each line */
	unsigned messages, timers;
	uint64_t message_address;
	uint32_t message_data;
	struct rig_queue queue[VIRTIO_QUEUES];
};

void rig_queue_init(struct rig_queue *q, gpa_t base, uint16_t size);
void rig_desc(const struct rig_queue *q, unsigned i, gpa_t gpa, uint32_t len, uint16_t flags,
	      uint16_t next);
/* The same at an address, for indirect tables. */
void rig_desc_at(gpa_t at, gpa_t gpa, uint32_t len, uint16_t flags, uint16_t next);
void rig_offer(struct rig_queue *q, uint16_t head);
/* The next used entry, false when there is none. */
bool rig_take(struct rig_queue *q, uint16_t *head, uint32_t *len);

/* A PC with the device in slot RIG_SLOT, powered on; guest RAM is empty. */
void rig_init(struct rig *rig, struct virtio *dev);
/*
 * The same in two steps, for devices that come onto the bus by themselves; the last one driven is meant
 * below.
 */
void rig_power_on(struct rig *rig);
void rig_drive(struct rig *rig, struct virtio *dev);
uint32_t rig_config(struct rig *rig, unsigned offset, unsigned size);
void rig_config_set(struct rig *rig, unsigned offset, unsigned size, uint32_t value);
/* The nth capability of that id and, for vendor ones, type (0: any); 0: none. */
unsigned rig_capability(struct rig *rig, uint8_t id, uint8_t type);
/* Registers of the common configuration, and the device's own. */
uint64_t rig_common(struct rig *rig, uint32_t offset, unsigned size);
void rig_common_set(struct rig *rig, uint32_t offset, unsigned size, uint64_t value);
uint64_t rig_device(struct rig *rig, uint32_t offset, unsigned size);
uint8_t rig_isr(struct rig *rig);
void rig_notify(struct rig *rig, unsigned queue);
/* What a driver does to start: features, queues of `size`, DRIVER_OK. */
void rig_start(struct rig *rig, uint64_t features, uint16_t size);
void rig_tick(struct rig *rig);
/* Takes the next used entry, which must have `expected` bytes; false when there is none. */
bool rig_taken(struct rig *rig, unsigned queue, uint32_t expected);

#endif
