/*
 * The guest PC's fixed addresses: where RAM lies, where the hole for devices is, which I/O ports
 * and interrupt lines the platform's own devices have.
 */
#ifndef GUEST_LAYOUT_H
#define GUEST_LAYOUT_H

#include "hv/base/compiler.h"

#define LAYOUT_EBDA         0x9fc00u /* one KiB below 640 KiB, as BIOSes have it */
#define LAYOUT_VGA_HOLE     0xa0000u /* .. 0xbffff: unbacked */
#define LAYOUT_ROM          0xe0000u /* .. 0xfffff: RAM that holds the firmware's tables */
#define LAYOUT_BIOS         0xf0000u /* the F segment */
#define LAYOUT_HIGH_MEMORY  0x100000u
#define LAYOUT_DEVICE_HOLE  0xc0000000u /* .. 4 GiB: no RAM; PCI windows, IOAPIC, LAPIC */
#define LAYOUT_PCI_MMIO_END 0xfec00000u /* end of the window for PCI memory BARs */
#define LAYOUT_IOAPIC       0xfec00000u
#define LAYOUT_LAPIC        0xfee00000u
#define LAYOUT_COPIES       0xff000000u /* .. 4 GiB: what the hypervisor lets the CPU walk; no device */
#define LAYOUT_RAM_ABOVE    0x100000000ull

#define LAYOUT_PCI_IO      0xc000u /* .. 0xffff: window for PCI I/O BARs */
#define LAYOUT_PM_PORT     0x600u
#define LAYOUT_RESET_PORT  0xcf9u
#define LAYOUT_RESET_VALUE 0x06u
#define LAYOUT_UART_PORT   0x3f8u
#define LAYOUT_DEBUG_EXIT  0xf4u

#define LAYOUT_IOAPIC_PINS 24u
#define LAYOUT_PIT_GSI     2u
#define LAYOUT_UART_IRQ    4u
#define LAYOUT_RTC_IRQ     8u
#define LAYOUT_SCI_IRQ     9u
/* INTA..INTD of the slots are spread over this many GSIs from the first. */
#define LAYOUT_PCI_GSI     16u
#define LAYOUT_PCI_GSIS    8u

/* Slots of PCI bus 0, behind the two bridges. */
#define LAYOUT_DISK_SLOT    2u
#define LAYOUT_NET_SLOT     3u
#define LAYOUT_CONSOLE_SLOT 4u

/* RAM below the device hole, and what continues at 4 GiB; `ram_bytes` is the whole. */
static inline uint64_t layout_ram_low(uint64_t ram_bytes)
{
	return MIN(ram_bytes, LAYOUT_DEVICE_HOLE);
}

static inline uint64_t layout_ram_above(uint64_t ram_bytes)
{
	return ram_bytes - layout_ram_low(ram_bytes);
}

/* The address behind the last byte of RAM. */
static inline uint64_t layout_ram_end(uint64_t ram_bytes)
{
	uint64_t above = layout_ram_above(ram_bytes);

	return above ? LAYOUT_RAM_ABOVE + above : ram_bytes;
}

/*
 * The IOAPIC input of a PCI slot's interrupt pin (0 = INTA#); the _PRT and the MP table say the
 * same.
 */
static inline unsigned layout_pci_gsi(unsigned slot, unsigned pin)
{
	return LAYOUT_PCI_GSI + (slot + pin) % LAYOUT_PCI_GSIS;
}

/* The ISA interrupt the same pin has while the guest uses the 8259s: 10 or 11. */
static inline unsigned layout_pci_irq(unsigned slot, unsigned pin)
{
	return 10 + (slot + pin) % 2;
}

/*
 * What firmware says of memory: ACPI 6.5, table 15.374, types 1 and 2; BIOS call E820 and Multiboot
 * alike.
 */
enum layout_kind { LAYOUT_RAM = 1, LAYOUT_RESERVED = 2 };

struct layout_range {
	uint64_t base, size;
	enum layout_kind kind;
};

#define LAYOUT_RANGES 8

/* Fills the map, ascending and without overlaps; returns how many entries it has. */
unsigned layout_map(uint64_t ram_bytes, struct layout_range map[LAYOUT_RANGES]);

#endif
