/* Building the handoff's memory map: sorted, without overlaps, neighbours of one kind merged. */
#ifndef BOOT_RANGES_H
#define BOOT_RANGES_H

#include <stdbool.h>

#include "boot/handoff.h"

/*
 * Says that [base, base + size) is of this kind, whatever was said of parts of it before. False when the
 * table is full; the map is then unchanged.
 */
bool ranges_set(struct handoff *h, uint64_t base, uint64_t size, enum handoff_kind kind);

/* End of the highest RAM the map has, files and core included. */
uint64_t ranges_ram_top(const struct handoff *h);

#endif
