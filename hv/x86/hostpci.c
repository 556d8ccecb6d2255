#include <stdatomic.h>

#include "hv/x86/hostpci.h"
#include "hv/base/bits.h"
#include "hv/base/string.h"
#include "hv/x86/cpu.h"
#include "hv/x86/paging.h"

#define PORT_ADDRESS 0xcf8
#define PORT_DATA    0xcfc

#define REG_ID      0x00
#define REG_COMMAND 0x04
#define REG_HEADER  0x0e
#define REG_BAR     0x10
#define DECODE      0x3 /* I/O and memory */

static uint16_t select(const struct hostpci_dev *d, unsigned offset)
{
	outl(PORT_ADDRESS, 0x80000000u | (uint32_t)d->bus << 16 | (uint32_t)d->dev << 11 |
				   (uint32_t)d->fn << 8 | (offset & 0xfc));
	return (uint16_t)(PORT_DATA + (offset & 3));
}

uint32_t hostpci_read(const struct hostpci_dev *d, unsigned offset, unsigned size)
{
	uint16_t port = select(d, offset);

	return size == 1 ? inb(port) : size == 2 ? inw(port) : inl(port);
}

void hostpci_write(const struct hostpci_dev *d, unsigned offset, unsigned size, uint32_t value)
{
	uint16_t port = select(d, offset);

	if (size == 1)
		outb(port, (uint8_t)value);
	else if (size == 2)
		outw(port, (uint16_t)value);
	else
		outl(port, value);
}

static bool present(const struct hostpci_dev *d)
{
	return hostpci_read(d, REG_ID, 2) != 0xffff;
}

static bool step(struct hostpci_dev *d)
{
	unsigned at = (unsigned)d->bus << 8 | (unsigned)d->dev << 3 | d->fn;

	/* Functions 1 to 7 are there only if function 0 is and says so. */
	if (d->fn == 0 && (!present(d) || !(hostpci_read(d, REG_HEADER, 1) & 0x80)))
		at |= 7;
	if (++at > 0xffff)
		return false;
	memset(d, 0, sizeof(*d));
	d->bus = (uint8_t)(at >> 8);
	d->dev = (uint8_t)(at >> 3 & 31);
	d->fn = (uint8_t)(at & 7);
	return true;
}

bool hostpci_next(struct hostpci_dev *d, bool *first)
{
	while (*first || step(d)) {
		*first = false;
		if (present(d))
			return true;
	}
	return false;
}

/* Writes all ones to see which bits stay zero (PCI 3.0, 6.2.5.1), and puts the value back. */
static uint32_t probe(const struct hostpci_dev *d, unsigned reg, uint32_t value)
{
	uint32_t mask;

	hostpci_write(d, reg, 4, ~0u);
	mask = hostpci_read(d, reg, 4);
	hostpci_write(d, reg, 4, value);
	return mask;
}

static int map_bar(struct hostpci_dev *d, unsigned i, bool *wide, struct why *why)
{
	unsigned reg = REG_BAR + 4 * i;
	uint32_t low = hostpci_read(d, reg, 4), high = 0;
	uint64_t mask = probe(d, reg, low) | 0xffffffff00000000ull;
	struct hostpci_bar *b = &d->bars[i];

	*wide = !(low & 1) && (low & 6) == 4 && i + 1 < PCI_BARS;
	if ((uint32_t)mask == 0)
		return 0;
	if (low & 1) {
		b->io = true;
		b->port = (uint16_t)(low & ~3u);
		b->size = (~(mask | 3) & 0xffff) + 1;
		return 0;
	}
	if (*wide) {
		high = hostpci_read(d, reg + 4, 4);
		mask = (mask & 0xffffffff) | (uint64_t)probe(d, reg + 4, high) << 32;
	}
	b->size = ~(mask & ~0xfull) + 1;
	if ((low & ~0xfu) == 0 && high == 0)
		b->size = 0; /* the firmware gave it no address */
	if (b->size == 0)
		return 0;
	b->mmio = paging_map_mmio((uint64_t)high << 32 | (low & ~0xfu), b->size);
	if (b->mmio == NULL)
		return why_set(why, ERR_NOMEM,
			       "no memory to map BAR %u of PCI device %02x:%02x.%u, %llu bytes", i,
			       d->bus, d->dev, d->fn, (unsigned long long)b->size);
	return 0;
}

int hostpci_map_bars(struct hostpci_dev *d, struct why *why)
{
	uint32_t command = hostpci_read(d, REG_COMMAND, 2);
	int err = 0;

	hostpci_write(d, REG_COMMAND, 2, command & ~(uint32_t)DECODE);
	for (unsigned i = 0; i < PCI_BARS && err == 0; i++) {
		bool wide = false;

		err = map_bar(d, i, &wide, why);
		i += wide;
	}
	hostpci_write(d, REG_COMMAND, 2, command | DECODE);
	return err;
}

uint32_t hostpci_bar_read(const struct hostpci_dev *d, unsigned bar, uint32_t offset, unsigned size)
{
	const struct hostpci_bar *b = &d->bars[MIN(bar, PCI_BARS - 1u)];
	uint32_t value;

	if (bar >= PCI_BARS || !range_within(offset, size, b->size))
		return ~0u;
	if (b->io) {
		uint16_t port = (uint16_t)(b->port + offset);

		return size == 1 ? inb(port) : size == 2 ? inw(port) : inl(port);
	}
	if (size == 1)
		value = b->mmio[offset];
	else if (size == 2)
		value = *(const volatile uint16_t *)(b->mmio + offset);
	else
		value = *(const volatile uint32_t *)(b->mmio + offset);
	/* What the card says is in memory is read after. */
	atomic_signal_fence(memory_order_seq_cst);
	return value;
}

/* What the card is to find in memory is written before. The CPU keeps that order; the compiler is told to. */
static void mmio_write(volatile uint8_t *at, unsigned size, uint32_t value)
{
	atomic_signal_fence(memory_order_seq_cst);
	if (size == 1)
		*at = (uint8_t)value;
	else if (size == 2)
		*(volatile uint16_t *)at = (uint16_t)value;
	else
		*(volatile uint32_t *)at = value;
}

void hostpci_bar_write(const struct hostpci_dev *d, unsigned bar, uint32_t offset, unsigned size,
		       uint32_t value)
{
	const struct hostpci_bar *b = &d->bars[MIN(bar, PCI_BARS - 1u)];
	uint16_t port = (uint16_t)(b->port + offset);

	if (bar >= PCI_BARS || !range_within(offset, size, b->size))
		return;
	if (b->io && size == 1)
		outb(port, (uint8_t)value);
	else if (b->io && size == 2)
		outw(port, (uint16_t)value);
	else if (b->io)
		outl(port, value);
	else
		mmio_write(b->mmio + offset, size, value);
}
