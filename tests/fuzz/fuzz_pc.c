/*
 * Random accesses to all ports of the guest's PC, with time, interrupts acknowledged and bytes typed
 * in between. Each step is five bytes: what, port (2), value, time. Lines are told only when they
 * move, and a tick at the next event's time always leaves the next one later.
 */
#include <stdlib.h>
#include <string.h>

#include "guest/layout.h"
#include "guest/pc.h"

struct host {
	uint32_t gsi;
	bool intr;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_gsi(void *ctx, unsigned gsi, bool level)
{
	struct host *h = ctx;

	if (gsi >= LAYOUT_IOAPIC_PINS || (h->gsi >> gsi & 1) == level)
		abort();
	h->gsi ^= 1u << gsi;
}

static void on_intr(void *ctx, bool level)
{
	struct host *h = ctx;

	if (h->intr == level)
		abort();
	h->intr = level;
}

static void on_power(void *ctx, enum pc_power what, uint8_t code)
{
}

static void on_tx(void *ctx, uint8_t byte)
{
}

static void on_timer(void *ctx)
{
}

static uint64_t bar_read(struct pci_device *dev, unsigned bar, uint32_t offset, unsigned size,
			 uint64_t now)
{
	if (bar > 2 || offset + size > dev->bar[bar].size)
		abort();
	return offset;
}

static void bar_write(struct pci_device *dev, unsigned bar, uint32_t offset, unsigned size,
		      uint64_t value, uint64_t now)
{
	if (bar > 2 || offset + size > dev->bar[bar].size)
		abort();
	pci_set_intx(dev, value & 1);
}

static void on_msi(void *ctx, uint64_t address, uint32_t data)
{
	abort();
}

static const struct pc_ops ops = {on_gsi, on_intr, on_power, on_tx, on_timer, on_msi};
static const struct pci_device_ops dev_ops = {.bar_read = bar_read, .bar_write = bar_write};

/* The ports with something behind them, so that random bytes find them. */
static uint16_t pick_port(uint8_t low, uint8_t high)
{
	static const uint16_t base[] = {0x00,  0x20,  0x40,  0x60,  0x70,  0x80,  0xa0,   0xc0,
					0x3f8, 0x4d0, 0x600, 0x608, 0xcf8, 0xcfc, 0xc000, 0xf0};

	return high & 0x80 ? (uint16_t)(low | high << 8) : (uint16_t)(base[high & 15] + (low & 15));
}

static uint64_t later(uint8_t v)
{
	return v & 0x80 ? 1ull << (v & 0x7f) % 46 : v;
}

static void step(struct pc *pc, const uint8_t *s, uint64_t now)
{
	uint16_t port = pick_port(s[1], s[2]);
	unsigned size = 1u << (s[0] >> 4) % 3;
	unsigned wide = 1u << (s[0] >> 4) % 4; /* of device memory */
	uint32_t value = s[3] * 0x01010101u;

	switch (s[0] & 15) {
	case 0 ... 5:
		pc_io_write(pc, port, size, value, now);
		break;
	case 6 ... 9:
		if (size < 4 && pc_io_read(pc, port, size, now) >> 8 * size)
			abort();
		break;
	case 10:
		pc_console_rx(pc, s, 5, now);
		break;
	case 11:
		pc_int_ack(pc);
		break;
	case 12:
		pc_mmio_write(pc, 0xc0000000 + port, wide, value | (uint64_t)value << 32, now);
		break;
	case 13:
		if (wide < 8 && pc_mmio_read(pc, 0xc0000000 + port, wide, now) >> 8 * wide)
			abort();
		pc_mmio_read(pc, 0 - (uint64_t)port, wide, now); /* up to the last address */
		break;
	case 14:
		if (s[3] == 0)
			pc_reset(pc, now);
		else
			pc_power_button(pc, now);
		break;
	default:
		pc_tick(pc, now);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint32_t ids[] = {0};
	static struct pc pc;
	static struct pci_device dev;
	const struct pc_config config = {.ram_bytes = GIB(5), .cpu_count = 1, .apic_ids = ids};
	struct host host = {0};
	uint64_t now = 1000, next;
	struct why why;

	pc_init(&pc, &config, &ops, &host, now);
	pci_device_init(&dev, "fuzz", 1, 2, 3, 4);
	dev.ops = &dev_ops;
	dev.bar[0] = (struct pci_bar){PCI_BAR_IO, 32, false};
	dev.bar[1] = (struct pci_bar){PCI_BAR_MEM64, 4096, false};
	if (pci_add(&pc.pci, &dev, 2, &why))
		abort();
	for (; size >= 5; size -= 5, data += 5) {
		now += later(data[4]);
		step(&pc, data, now);
		next = pc_next_event(&pc);
		if (next == UINT64_MAX || next < now || !(data[4] & 1))
			continue;
		now = next;
		pc_tick(&pc, now);
		if (pc_next_event(&pc) <= now)
			abort();
	}
	return 0;
}
