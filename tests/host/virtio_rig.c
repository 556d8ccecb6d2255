#include <assert.h>
#include <string.h>

#include "guest/layout.h"
#include "tests/host/plat.h"
#include "tests/host/virtio_rig.h"

#define NOW 1000000ull

/* --- Rings --- */

static void put(gpa_t at, const void *bytes, size_t len)
{
	assert(at + len <= RIG_RAM);
	memcpy(host_ram() + at, bytes, len);
}

static void put16(gpa_t at, uint16_t v)
{
	put(at, &v, sizeof(v));
}

static uint16_t get16(gpa_t at)
{
	uint16_t v;

	memcpy(&v, host_ram() + at, sizeof(v));
	return v;
}

void rig_queue_init(struct rig_queue *q, gpa_t base, uint16_t size)
{
	*q = (struct rig_queue){
		.desc = base,
		.avail = base + 16u * size,
		.used = (base + 16u * size + 6 + 2u * size + 3) & ~3ull,
		.size = size,
	};
}

void rig_desc_at(gpa_t at, gpa_t gpa, uint32_t len, uint16_t flags, uint16_t next)
{
	put(at, &gpa, 8);
	put(at + 8, &len, 4);
	put16(at + 12, flags);
	put16(at + 14, next);
}

void rig_desc(const struct rig_queue *q, unsigned i, gpa_t gpa, uint32_t len, uint16_t flags,
	      uint16_t next)
{
	rig_desc_at(q->desc + 16u * i, gpa, len, flags, next);
}

void rig_offer(struct rig_queue *q, uint16_t head)
{
	put16(q->avail + 4 + 2u * (q->offered % q->size), head);
	q->offered++;
	put16(q->avail + 2, q->offered);
}

bool rig_take(struct rig_queue *q, uint16_t *head, uint32_t *len)
{
	gpa_t at = q->used + 4 + 8u * (q->seen % q->size);

	if (get16(q->used + 2) == q->seen)
		return false;
	q->seen++;
	*head = get16(at);
	memcpy(len, host_ram() + at + 4, sizeof(*len));
	return true;
}

/* --- The PC --- */

static void on_gsi(void *ctx, unsigned gsi, bool level)
{
	struct rig *rig = ctx;

	rig->gsi = (rig->gsi & ~(1u << gsi)) | (uint32_t)level << gsi;
}

static void on_intr(void *ctx, bool level)
{
}

static void on_power(void *ctx, enum pc_power what, uint8_t code)
{
}

static void on_tx(void *ctx, uint8_t byte)
{
}

static void on_timer(void *ctx)
{
	((struct rig *)ctx)->timers++;
}

static void on_msi(void *ctx, uint64_t address, uint32_t data)
{
	struct rig *rig = ctx;

	rig->messages++;
	rig->message_address = address;
	rig->message_data = data;
}

void rig_power_on(struct rig *rig)
{
	static const struct pc_ops ops = {on_gsi, on_intr, on_power, on_tx, on_timer, on_msi};
	static const uint32_t ids[] = {0};
	struct pc_config config = {.ram_bytes = RIG_RAM, .cpu_count = 1, .apic_ids = ids};

	memset(rig, 0, sizeof(*rig));
	host_ram_reset(RIG_RAM);
	pc_init(&rig->pc, &config, &ops, rig, NOW);
}

void rig_init(struct rig *rig, struct virtio *dev)
{
	struct why why;
	int err;

	rig_power_on(rig);
	err = pci_add(&rig->pc.pci, &dev->pci, RIG_SLOT, &why);
	assert(!err);
	rig_drive(rig, dev);
}

void rig_drive(struct rig *rig, struct virtio *dev)
{
	rig->dev = dev;
	rig_config_set(rig, PCI_COMMAND, 2,
		       PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static void select_config(struct rig *rig, unsigned offset)
{
	pc_io_write(&rig->pc, 0xcf8, 4, 0x80000000u | rig->dev->pci.slot << 11 | (offset & 0xfc),
		    NOW);
}

uint32_t rig_config(struct rig *rig, unsigned offset, unsigned size)
{
	select_config(rig, offset);
	return pc_io_read(&rig->pc, (uint16_t)(0xcfc + offset % 4), size, NOW);
}

void rig_config_set(struct rig *rig, unsigned offset, unsigned size, uint32_t value)
{
	select_config(rig, offset);
	pc_io_write(&rig->pc, (uint16_t)(0xcfc + offset % 4), size, value, NOW);
}

unsigned rig_capability(struct rig *rig, uint8_t id, uint8_t type)
{
	unsigned at = rig_config(rig, PCI_CAPABILITIES, 1);

	for (; at; at = rig_config(rig, at + 1, 1)) {
		if (rig_config(rig, at, 1) != id)
			continue;
		if (!type || rig_config(rig, at + 3, 1) == type)
			return at;
	}
	return 0;
}

/* Accesses a register behind a capability, in whichever space its BAR is. */
static uint64_t reg(struct rig *rig, uint8_t type, uint32_t offset, unsigned size, bool write,
		    uint64_t value)
{
	unsigned cap = rig_capability(rig, 9, type);
	uint32_t bar = rig_config(rig, PCI_BAR + 4 * rig_config(rig, cap + 4, 1), 4);
	uint32_t at = (bar & ~15u) + rig_config(rig, cap + 8, 4) + offset;

	assert(cap);
	if (bar & 1 && write)
		pc_io_write(&rig->pc, (uint16_t)at, size, (uint32_t)value, NOW);
	else if (bar & 1)
		return pc_io_read(&rig->pc, (uint16_t)at, size, NOW);
	else if (write)
		pc_mmio_write(&rig->pc, at, size, value, NOW);
	else
		return pc_mmio_read(&rig->pc, at, size, NOW);
	return 0;
}

uint64_t rig_common(struct rig *rig, uint32_t offset, unsigned size)
{
	return reg(rig, 1, offset, size, false, 0);
}

void rig_common_set(struct rig *rig, uint32_t offset, unsigned size, uint64_t value)
{
	reg(rig, 1, offset, size, true, value);
}

uint64_t rig_device(struct rig *rig, uint32_t offset, unsigned size)
{
	return reg(rig, 4, offset, size, false, 0);
}

uint8_t rig_isr(struct rig *rig)
{
	return (uint8_t)reg(rig, 3, 0, 1, false, 0);
}

void rig_notify(struct rig *rig, unsigned queue)
{
	reg(rig, 2, 0, 2, true, queue);
}

void rig_start(struct rig *rig, uint64_t features, uint16_t size)
{
	rig_common_set(rig, 20, 1, 0);
	rig_common_set(rig, 20, 1, 1 | 2);
	for (unsigned half = 0; half < 2; half++) {
		rig_common_set(rig, 8, 4, half);
		rig_common_set(rig, 12, 4, (uint32_t)(features >> 32 * half));
	}
	rig_common_set(rig, 20, 1, 1 | 2 | 8);
	for (unsigned i = 0; i < rig->dev->kind->queues; i++) {
		rig_queue_init(&rig->queue[i], 0x1000 + 0x4000 * i, size);
		memset(host_ram() + 0x1000 + 0x4000 * i, 0, 0x4000);
		rig_common_set(rig, 22, 2, i);
		rig_common_set(rig, 24, 2, size);
		rig_common_set(rig, 32, 4, rig->queue[i].desc);
		rig_common_set(rig, 36, 4, 0);
		rig_common_set(rig, 40, 8, rig->queue[i].avail);
		rig_common_set(rig, 48, 8, rig->queue[i].used);
		rig_common_set(rig, 28, 2, 1);
	}
	rig_common_set(rig, 20, 1, 1 | 2 | 8 | 4);
	rig_tick(rig);
}

void rig_tick(struct rig *rig)
{
	pc_tick(&rig->pc, NOW);
}

bool rig_taken(struct rig *rig, unsigned queue, uint32_t expected)
{
	uint16_t head;
	uint32_t len;
	bool any = rig_take(&rig->queue[queue], &head, &len);

	assert(!any || len == expected);
	return any;
}
