/*
 * A PCI device's message signalled interrupts: the capability, and the vector table and pending bits
 * in one of the device's memory BARs. PCI 3.0, 6.8.2.
 */
#ifndef GUEST_MSIX_H
#define GUEST_MSIX_H

#include "guest/pci.h"

#define MSIX_VECTORS_MAX 8

struct msix_vector {
	uint64_t address;
	uint32_t data, control;
};

struct msix {
	struct pci_device *dev;
	unsigned capability, count;
	uint32_t table, pending_at; /* offsets within the BAR */
	uint64_t pending;
	struct msix_vector vector[MSIX_VECTORS_MAX];
};

/* Bytes that the table of `count` vectors takes in the BAR; the pending bits take 8. */
#define MSIX_TABLE(count) (16u * (count))
#define MSIX_PENDING      8u

/* Adds the capability, before pci_add. `table` and `pending_at` are 8-byte aligned. */
void msix_init(struct msix *m, struct pci_device *dev, unsigned count, unsigned bar, uint32_t table,
	       uint32_t pending_at);
void msix_reset(struct msix *m);

/* Has the driver switched it on? Then INTA# is not used. */
bool msix_enabled(const struct msix *m);

/* Sends the vector's message, or keeps it pending while it is masked. */
void msix_raise(struct msix *m, unsigned vector);

/* Accesses of the BAR, aligned and of 4 or 8 bytes; false: not one of these tables'. */
bool msix_read(const struct msix *m, uint32_t offset, unsigned size, uint64_t *value);
bool msix_write(struct msix *m, uint32_t offset, unsigned size, uint64_t value);

/* For pci_device_ops.config_written. */
void msix_config_written(struct msix *m);

#endif
