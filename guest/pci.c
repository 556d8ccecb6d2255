#include "guest/pci.h"
#include "guest/layout.h"
#include "hv/base/assert.h"
#include "hv/base/bits.h"
#include "hv/base/types.h"

/* Port 0xcf8: enable, bus, device, function, register. PCI 3.0, figure 3-2 */
#define ADDRESS_PORT     0xcf8u
#define DATA_PORT        0xcfcu
#define ADDRESS_ENABLE   0x80000000u
#define ADDRESS_WRITABLE 0x80fffffcu

/* Where a type 0 header ends. */
#define FIRST_CAPABILITY 0x40u

#define BAR_IO       0x1u
#define BAR_64       0x4u
#define BAR_PREFETCH 0x8u

/*
 * The bridges' identities: an Intel host bridge made for virtual machines and the PIIX4's ISA
 * bridge. Linux has no fix-up and no driver for either, so it says nothing about them.
 */
#define VENDOR_INTEL 0x8086
#define HOST_DEVICE  0x0d57
#define HOST_CLASS   0x060000
#define ISA_DEVICE   0x7110
#define ISA_CLASS    0x060100
#define ISA_SLOT     1

static uint32_t get(const struct pci_device *dev, unsigned offset, unsigned size)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < size; i++)
		v |= (uint32_t)dev->config[offset + i] << 8 * i;
	return v;
}

static void put(uint8_t *bytes, unsigned offset, unsigned size, uint32_t v)
{
	for (unsigned i = 0; i < size; i++)
		bytes[offset + i] = (uint8_t)(v >> 8 * i);
}

void pci_device_init(struct pci_device *dev, const char *name, uint16_t vendor, uint16_t device,
		     uint32_t class_code, uint8_t revision)
{
	*dev = (struct pci_device){.name = name};
	put(dev->config, PCI_VENDOR_ID, 2, vendor);
	put(dev->config, PCI_DEVICE_ID, 2, device);
	put(dev->config, PCI_REVISION, 1, revision);
	put(dev->config, PCI_CLASS, 3, class_code);
}

void pci_init(struct pci *bus)
{
	*bus = (struct pci){.next_io = LAYOUT_PCI_IO, .next_mem = LAYOUT_DEVICE_HOLE};
	pci_device_init(&bus->host, "host bridge", VENDOR_INTEL, HOST_DEVICE, HOST_CLASS, 0);
	pci_device_init(&bus->isa, "ISA bridge", VENDOR_INTEL, ISA_DEVICE, ISA_CLASS, 2);
	bus->isa.slot = ISA_SLOT;
	bus->dev[0] = &bus->host;
	bus->dev[ISA_SLOT] = &bus->isa;
}

void pci_reset(struct pci *bus)
{
	bus->address = 0;
	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		struct pci_device *dev = bus->dev[slot];

		if (!dev)
			continue;
		dev->intx = dev->work = false;
		put(dev->config, PCI_COMMAND, 2, dev->command_at_reset);
		for (unsigned bar = 0; bar < PCI_BARS; bar++)
			put(dev->config, PCI_BAR + 4 * bar, 4, dev->bar_at_reset[bar]);
		if (dev->ops && dev->ops->reset)
			dev->ops->reset(dev);
	}
}

/* Reserves a naturally aligned piece of a window; 0 when it is full. */
static uint32_t take(uint32_t *next, uint32_t end, uint32_t size)
{
	uint64_t base = align_up(*next, size);

	if (base + size > end)
		return 0;
	*next = (uint32_t)(base + size);
	return (uint32_t)base;
}

static int place_bar(struct pci *bus, struct pci_device *dev, unsigned i, struct why *why)
{
	struct pci_bar *bar = &dev->bar[i];
	bool io = bar->kind == PCI_BAR_IO, wide = bar->kind == PCI_BAR_MEM64;
	uint32_t flags = io ? BAR_IO : (wide ? BAR_64 : 0) | (bar->prefetchable ? BAR_PREFETCH : 0);
	uint32_t base;

	if (bar->kind == PCI_BAR_NONE)
		return 0;
	if (bar->size < (io ? 4u : 16u) || bar->size & (bar->size - 1) ||
	    (wide && (i + 1 == PCI_BARS || dev->bar[i + 1].kind != PCI_BAR_NONE)))
		return why_set(why, ERR_INVALID,
			       "BAR %u of PCI device %s has %u bytes; expected a power of two, "
			       "and a free BAR after a 64-bit one",
			       i, dev->name, bar->size);
	base = io ? take(&bus->next_io, 0x10000, bar->size)
		  : take(&bus->next_mem, LAYOUT_PCI_MMIO_END, bar->size);
	if (!base)
		return why_set(why, ERR_NOMEM,
			       "BAR %u of PCI device %s needs %u bytes of %s space, which is full",
			       i, dev->name, bar->size, io ? "I/O" : "memory");
	/* What can't be written gives the size. PCI 3.0, 6.2.5.1 */
	put(dev->config, PCI_BAR + 4 * i, 4, base | flags);
	put(dev->writable, PCI_BAR + 4 * i, 4, ~(bar->size - 1) & (io ? 0xfffffffcu : 0xfffffff0u));
	if (wide)
		put(dev->writable, PCI_BAR + 4 * i + 4, 4, 0xffffffffu);
	put(dev->config, PCI_COMMAND, 2,
	    get(dev, PCI_COMMAND, 2) | (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY));
	return 0;
}

unsigned pci_add_capability(struct pci_device *dev, uint8_t id, unsigned size)
{
	unsigned at = dev->cap_last ? dev->cap_next : FIRST_CAPABILITY;

	ASSERT(at + size <= PCI_CONFIG);
	dev->config[dev->cap_last ? dev->cap_last + 1u : PCI_CAPABILITIES] = (uint8_t)at;
	dev->config[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
	dev->config[at] = id;
	dev->cap_last = (uint8_t)at;
	dev->cap_next = (uint8_t)align_up(at + size, 4);
	return at;
}

int pci_add(struct pci *bus, struct pci_device *dev, unsigned slot, struct why *why)
{
	int err = 0;

	if (slot >= PCI_SLOTS || bus->dev[slot])
		return why_set(why, ERR_BUSY, "PCI slot %u for device %s is %s", slot, dev->name,
			       slot >= PCI_SLOTS ? "beyond the bus, which has 32" : "taken");
	dev->slot = slot;
	dev->bus = bus;
	put(dev->writable, PCI_COMMAND, 2,
	    PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
	dev->writable[PCI_INTERRUPT_LINE] = 0xff;
	if (dev->config[PCI_INTERRUPT_PIN])
		dev->config[PCI_INTERRUPT_LINE] = (uint8_t)layout_pci_irq(slot, 0);
	for (unsigned i = 0; i < PCI_BARS && !err; i++)
		err = place_bar(bus, dev, i, why);
	if (err)
		return err;
	dev->command_at_reset = (uint16_t)get(dev, PCI_COMMAND, 2);
	for (unsigned i = 0; i < PCI_BARS; i++)
		dev->bar_at_reset[i] = get(dev, PCI_BAR + 4 * i, 4);
	bus->dev[slot] = dev;
	return 0;
}

void pci_set_intx(struct pci_device *dev, bool level)
{
	dev->intx = level;
}

bool pci_intx(const struct pci_device *dev)
{
	return dev->intx && !(get(dev, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE);
}

void pci_send_msi(struct pci_device *dev, uint64_t address, uint32_t data)
{
	if (get(dev, PCI_COMMAND, 2) & PCI_COMMAND_MASTER)
		dev->bus->msi(dev->bus->msi_ctx, address, data);
}

bool pci_work(const struct pci *bus)
{
	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		if (bus->dev[slot] && bus->dev[slot]->work)
			return true;
	}
	return false;
}

void pci_tick(struct pci *bus)
{
	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		struct pci_device *dev = bus->dev[slot];

		if (!dev || !dev->work)
			continue;
		dev->work = false;
		dev->ops->tick(dev);
	}
}

/* The device that the address register selects; other buses and functions are empty. */
static struct pci_device *selected(const struct pci *bus)
{
	if (!(bus->address & ADDRESS_ENABLE) || bits_get(bus->address, 23, 16) ||
	    bits_get(bus->address, 10, 8))
		return NULL;
	return bus->dev[bits_get(bus->address, 15, 11)];
}

static uint8_t config_byte(const struct pci_device *dev, unsigned offset)
{
	uint8_t v = dev->config[offset];

	return offset == PCI_STATUS && dev->intx ? v | PCI_STATUS_INTX : v;
}

static void config_write(struct pci_device *dev, unsigned offset, unsigned size, uint32_t value)
{
	for (unsigned i = 0; i < size; i++) {
		uint8_t v = (uint8_t)(value >> 8 * i), mask = dev->writable[offset + i];
		uint8_t *at = &dev->config[offset + i];

		*at = (uint8_t)((*at & ~mask) | (v & mask)) &
		      (uint8_t) ~(v & dev->clearable[offset + i]);
	}
	if (dev->ops && dev->ops->config_written)
		dev->ops->config_written(dev, offset, size);
}

uint32_t pci_io_read(struct pci *bus, uint16_t port, unsigned size)
{
	struct pci_device *dev = selected(bus);
	unsigned offset = (bus->address & 0xfc) + (port & 3u);
	uint32_t v = 0;

	if (port == ADDRESS_PORT && size == 4)
		return bus->address;
	if (port < DATA_PORT || !dev || port + size > DATA_PORT + 4)
		return 0xffffffffu;
	if (dev->ops && dev->ops->config_reading)
		dev->ops->config_reading(dev, offset, size);
	for (unsigned i = 0; i < size; i++)
		v |= (uint32_t)config_byte(dev, offset + i) << 8 * i;
	return v;
}

void pci_io_write(struct pci *bus, uint16_t port, unsigned size, uint32_t value)
{
	struct pci_device *dev = selected(bus);

	if (port == ADDRESS_PORT && size == 4)
		bus->address = value & ADDRESS_WRITABLE;
	else if (port >= DATA_PORT && dev && port + size <= DATA_PORT + 4)
		config_write(dev, (bus->address & 0xfc) + (port & 3u), size, value);
}

static bool bar_decodes(const struct pci_device *dev, unsigned i, bool io, uint64_t addr,
			unsigned size, uint32_t *offset)
{
	const struct pci_bar *bar = &dev->bar[i];
	uint32_t enable = io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
	uint64_t base;

	if (bar->kind == PCI_BAR_NONE || (bar->kind == PCI_BAR_IO) != io ||
	    !(get(dev, PCI_COMMAND, 2) & enable))
		return false;
	base = get(dev, PCI_BAR + 4 * i, 4) & (io ? 0xfffffffcu : 0xfffffff0u);
	if (bar->kind == PCI_BAR_MEM64)
		base |= (uint64_t)get(dev, PCI_BAR + 4 * i + 4, 4) << 32;
	if (addr < base || !range_within(addr - base, size, bar->size))
		return false;
	*offset = (uint32_t)(addr - base);
	return true;
}

struct pci_device *pci_decode(struct pci *bus, bool io, uint64_t addr, unsigned size, unsigned *bar,
			      uint32_t *offset)
{
	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		struct pci_device *dev = bus->dev[slot];

		for (*bar = 0; dev && *bar < PCI_BARS; (*bar)++) {
			if (bar_decodes(dev, *bar, io, addr, size, offset))
				return dev;
		}
	}
	return NULL;
}
