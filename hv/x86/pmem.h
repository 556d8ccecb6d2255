/* The node's RAM, page by page, from the loader's memory map. Thread-safe; not for interrupt handlers. */
#ifndef HV_X86_PMEM_H
#define HV_X86_PMEM_H

#include "hv/base/bits.h"
#include "hv/base/compiler.h"
#include "hv/x86/paging.h"

#define PMEM_NONE      (~(hpa_t)0)
#define PMEM_MAX_ORDER 18u /* 1 GiB */

/* The least order whose block has so many bytes. */
static inline unsigned pmem_order(size_t bytes)
{
	return bytes > PAGE_SIZE ? bit_highest(bytes - 1) + 1 - PAGE_SHIFT : 0;
}

/* 2^order pages, aligned to their size; PMEM_NONE when there is no such block. Contents: garbage. */
hpa_t pmem_alloc(unsigned order) MUST_CHECK;
hpa_t pmem_alloc_zeroed(unsigned order) MUST_CHECK;
/* Below 4 GiB, for devices and structures that reach no further. */
hpa_t pmem_alloc_low(unsigned order) MUST_CHECK;
/* So many bytes of zeros, in whole pages one after the other, for good; PMEM_NONE when that can't be had. */
hpa_t pmem_take(size_t bytes) MUST_CHECK;
/* `order` is the one it was allocated with. */
void pmem_free(hpa_t base, unsigned order);

uint64_t pmem_free_bytes(void);
uint64_t pmem_total_bytes(void); /* what was ever given to the allocator */

/* Good for all RAM the node has, in the allocator or not. */
static inline void *pmem_virt(hpa_t pa)
{
	return phys_to_virt(pa);
}

/* Of a pointer from pmem_virt or into the core's image. */
static inline hpa_t pmem_phys(const void *p)
{
	return virt_to_phys(p);
}

/* A page below 1 MiB that no one else uses, for real-mode code; PMEM_NONE when there is no more. */
hpa_t pmem_take_real_mode_page(void);

#endif
