/*
 * The node's own PCI devices: configuration space by mechanism 1 (PCI 3.0, 3.2.2.3.2) and registers
 * behind BARs. For one CPU at a time: the address port is shared.
 */
#ifndef HV_X86_PCI_H
#define HV_X86_PCI_H

#include "hv/base/compiler.h"
#include "hv/base/err.h"

#define PCI_BARS 6

struct pci_bar {
	bool io;
	uint16_t port; /* io */
	volatile uint8_t *mmio;
	uint64_t size; /* 0: not there */
};

struct pci_dev {
	uint8_t bus, dev, fn;
	struct pci_bar bars[PCI_BARS];
};

uint32_t pci_read(const struct pci_dev *d, unsigned offset, unsigned size);
void pci_write(const struct pci_dev *d, unsigned offset, unsigned size, uint32_t value);

/* Goes on to the next function there is; begin with one filled with zeros and *first true. */
bool pci_next(struct pci_dev *d, bool *first);

/* Sizes and maps the BARs; decoding is off meanwhile. `why` names the one that can't be mapped. */
int pci_map_bars(struct pci_dev *d, struct why *why) MUST_CHECK;

/* `offset` and `size` (1, 2, 4) must lie within the BAR: else reads are all ones and writes nothing. */
uint32_t pci_bar_read(const struct pci_dev *d, unsigned bar, uint32_t offset, unsigned size);
void pci_bar_write(const struct pci_dev *d, unsigned bar, uint32_t offset, unsigned size,
		   uint32_t value);

#endif
