/* Start-up order of memory, for start.c only. */
#ifndef HV_X86_PMEM_INIT_H
#define HV_X86_PMEM_INIT_H

#include "hv/x86/memmap.h"

/*
 * Before paging_init: memory is taken from one range of RAM below 4 GiB that the loader's tables reach
 * at its physical address, after it through the direct map.
 */
int pmem_early_init(const struct memmap *map, struct why *why) MUST_CHECK;
/* Zeroed and page-aligned; physical. Panics when the range is used up: the machine has no RAM to speak of. */
hpa_t pmem_early_alloc(uint64_t size);

/* Builds the final tables and switches to them. */
void paging_init(const struct memmap *mm, hpa_t core_base);

/* Gives what RAM is left to the allocator. */
void pmem_init(const struct memmap *map);

/* Reads physical memory that may lie outside the memory map, for firmware tables; NULL when it can't be. */
const void *paging_map_table(hpa_t pa, uint64_t size);

#endif
