/*
 * The guest's network card: it shares the node's, with an address of its own. Frames for it are set aside
 * where the wire is served and reach the guest in netcard_poll(), as do those it sends: only there, on the
 * CPU that serves the wire, under vm->pc_lock, may guest memory be waited for.
 */
#ifndef HV_DEV_NETCARD_H
#define HV_DEV_NETCARD_H

#include "guest/pci.h"
#include "hv/base/report.h"

/*
 * The wire is up. `wake` is called when netcard_poll() has something to do. With `aoe` the guest may
 * speak ATA over Ethernet to whom it likes.
 */
void netcard_open(void (*wake)(void), bool aoe);

/* The device, for pci_add. */
struct pci_device *netcard_pci(void);

/* A frame of any kind from the wire; true: it was for the guest alone. */
bool netcard_frame(const void *frame, size_t len);

/* Moves what waits; returns when to come again, ns from now. */
uint64_t netcard_poll(void);

/* Its counters. */
void netcard_report(struct report *r);

#endif
