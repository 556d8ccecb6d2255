/* The loader's memory map made clean: sorted, whole pages, without overlap. Pure. */
#ifndef HV_X86_MEMMAP_H
#define HV_X86_MEMMAP_H

#include "boot/handoff.h"
#include "hv/base/err.h"

#define MEMMAP_RANGES (2 * HANDOFF_RANGES)

struct memmap {
	unsigned count;
	struct handoff_range ranges[MEMMAP_RANGES];
};

/*
 * Where ranges overlap the more careful kind wins, RAM last. RAM is cut to whole pages, everything
 * else is widened to them. ERR_INVALID when the input has no RAM or a count beyond HANDOFF_RANGES.
 */
int memmap_build(struct memmap *map, const struct handoff_range *in, unsigned count,
		 struct why *why) MUST_CHECK;

/* "RAM", "reserved" ...; never NULL. */
const char *memmap_kind_name(uint32_t kind);

/* Can the CPU read it as plain memory? RAM, boot files, the core, ACPI tables and NVS. */
bool memmap_is_memory(uint32_t kind);

/* End of the highest range that is memory. */
uint64_t memmap_top(const struct memmap *map);

/* The largest range of free RAM below `limit` and from `floor` on, cut to these; false if none. */
bool memmap_largest_ram(const struct memmap *map, uint64_t floor, uint64_t limit,
			struct handoff_range *out);

#endif
