/*
 * The node's own PCI devices: configuration space by mechanism 1 (PCI 3.0, 3.2.2.3.2) and registers
 * behind BARs. For one CPU at a time: the address port is shared.
 */
#ifndef HV_X86_HOSTPCI_H
#define HV_X86_HOSTPCI_H

#include "hv/base/compiler.h"
#include "hv/base/err.h"

#define PCI_BARS 6

struct hostpci_bar {
	bool io;
	uint16_t port; /* io */
	volatile uint8_t *mmio;
	uint64_t size; /* 0: not there */
};

struct hostpci_dev {
	uint8_t bus, dev, fn;
	struct hostpci_bar bars[PCI_BARS];
};

uint32_t hostpci_read(const struct hostpci_dev *d, unsigned offset, unsigned size);
void hostpci_write(const struct hostpci_dev *d, unsigned offset, unsigned size, uint32_t value);

/* Goes on to the next function there is; begin with one filled with zeros and *first true. */
bool hostpci_next(struct hostpci_dev *d, bool *first);

/* Sizes and maps the BARs; decoding is off meanwhile. `why` names the one that can't be mapped. */
int hostpci_map_bars(struct hostpci_dev *d, struct why *why) MUST_CHECK;

/* `offset` and `size` (1, 2, 4) must lie within the BAR: else reads are all ones and writes nothing. */
uint32_t hostpci_bar_read(const struct hostpci_dev *d, unsigned bar, uint32_t offset,
			  unsigned size);
void hostpci_bar_write(const struct hostpci_dev *d, unsigned bar, uint32_t offset, unsigned size,
		       uint32_t value);

#endif
