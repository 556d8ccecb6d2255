/*
 * PCI bus 0 behind configuration mechanism 1 (ports 0xCF8, 0xCFC). Devices are structures of their
 * owner's; the bus answers configuration cycles, places and decodes BARs and passes the accesses
 * on. PCI Local Bus Specification 3.0, 3.2.2.3.2 and chapter 6.
 */
#ifndef GUEST_PCI_H
#define GUEST_PCI_H

#include "hv/base/compiler.h"
#include "hv/base/err.h"

#define PCI_SLOTS  32
#define PCI_BARS   6
#define PCI_CONFIG 256

/* Offsets in the type 0 header that more than one file needs. */
#define PCI_VENDOR_ID      0x00
#define PCI_DEVICE_ID      0x02
#define PCI_COMMAND        0x04
#define PCI_STATUS         0x06
#define PCI_REVISION       0x08
#define PCI_CLASS          0x09 /* programming interface, then subclass, then base class */
#define PCI_HEADER_TYPE    0x0e
#define PCI_BAR            0x10
#define PCI_SUBSYSTEM      0x2c
#define PCI_CAPABILITIES   0x34
#define PCI_INTERRUPT_LINE 0x3c
#define PCI_INTERRUPT_PIN  0x3d

#define PCI_COMMAND_IO           0x0001u
#define PCI_COMMAND_MEMORY       0x0002u
#define PCI_COMMAND_MASTER       0x0004u
#define PCI_COMMAND_INTX_DISABLE 0x0400u
#define PCI_STATUS_INTX          0x0008u
#define PCI_STATUS_CAPABILITIES  0x0010u

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEM32, PCI_BAR_MEM64 };

struct pci_bar {
	enum pci_bar_kind kind;
	uint32_t size; /* a power of two; at least 4 (I/O) or 16 (memory) */
	bool prefetchable;
};

struct pci_device;
struct pci;

/* Any of these may be NULL: reads then give ones, writes are dropped. */
struct pci_device_ops {
	uint64_t (*bar_read)(struct pci_device *dev, unsigned bar, uint32_t offset, unsigned size,
			     uint64_t now);
	void (*bar_write)(struct pci_device *dev, unsigned bar, uint32_t offset, unsigned size,
			  uint64_t value, uint64_t now);
	/* Configuration bytes [offset, offset + size) are about to be read. */
	void (*config_reading)(struct pci_device *dev, unsigned offset, unsigned size);
	/* Configuration bytes [offset, offset + size) were written, masks applied. */
	void (*config_written)(struct pci_device *dev, unsigned offset, unsigned size);
	/* The device left work for later, see pci_device.work. */
	void (*tick)(struct pci_device *dev);
	/* The bus was reset: command register and BARs are as after pci_add again, INTA# is low. */
	void (*reset)(struct pci_device *dev);
};

struct pci_device {
	const char *name;
	uint8_t config[PCI_CONFIG];
	uint8_t writable[PCI_CONFIG];  /* 1 bits can be written by the guest */
	uint8_t clearable[PCI_CONFIG]; /* writing 1 clears */
	struct pci_bar bar[PCI_BARS];  /* a MEM64 BAR takes two entries; the second is NONE */
	const struct pci_device_ops *ops;
	unsigned slot;
	uint16_t command_at_reset;
	uint32_t bar_at_reset[PCI_BARS];
	bool intx; /* level of INTA#, set with pci_set_intx */
	bool work; /* ops->tick is wanted at the PC's next tick, which is due at once */
	uint8_t cap_last, cap_next; /* offsets of the last capability and behind it; 0: none yet */
	struct pci *bus;
};

struct pci {
	/* Where message signalled interrupts go; set by the owner of the bus. */
	void (*msi)(void *ctx, uint64_t address, uint32_t data);
	void *msi_ctx;
	uint32_t address; /* port 0xcf8 */
	struct pci_device *dev[PCI_SLOTS];
	struct pci_device host, isa;
	uint32_t next_io, next_mem; /* where the next BAR is placed */
};

void pci_init(struct pci *bus);
/* Devices stay in their slots, with the BARs that pci_add gave them. */
void pci_reset(struct pci *bus);

/* Fills the identity part of the header: everything is 0 before and read-only unless said here. */
void pci_device_init(struct pci_device *dev, const char *name, uint16_t vendor, uint16_t device,
		     uint32_t class_code, uint8_t revision);

/*
 * Adds a capability of `size` bytes, id and link included, before pci_add; returns its offset in the
 * configuration space. There must be room, which the device's author sees to. PCI 3.0, 6.7
 */
unsigned pci_add_capability(struct pci_device *dev, uint8_t id, unsigned size);

/*
 * Puts a device into a slot and places its BARs in the windows of layout.h. The device must outlive
 * the bus. ERR_BUSY: the slot is taken; ERR_NOMEM: a window is full; ERR_INVALID: a BAR's size.
 */
int pci_add(struct pci *bus, struct pci_device *dev, unsigned slot, struct why *why) MUST_CHECK;

/* The device's INTA# line; the PC passes it on at the end of the pc_* call, or at pc_pci_sync. */
void pci_set_intx(struct pci_device *dev, bool level);

/* Is INTA# of the device asserted, the command register's disable bit applied? */
bool pci_intx(const struct pci_device *dev);

/* A memory write of the device's to the interrupt controllers; nothing unless it is a bus master. */
void pci_send_msi(struct pci_device *dev, uint64_t address, uint32_t data);

/* Does a device wait for its tick? */
bool pci_work(const struct pci *bus);
void pci_tick(struct pci *bus);

/* Ports 0xcf8..0xcff; `port` and `size` as the guest used them. */
uint32_t pci_io_read(struct pci *bus, uint16_t port, unsigned size);
void pci_io_write(struct pci *bus, uint16_t port, unsigned size, uint32_t value);

/* The enabled I/O or memory BAR that decodes all of [addr, addr + size), or NULL. */
struct pci_device *pci_decode(struct pci *bus, bool io, uint64_t addr, unsigned size, unsigned *bar,
			      uint32_t *offset);

#endif
