/*
 * The core's own address space, the same on all CPUs:
 *
 *     0                    nothing at all; a null pointer faults
 *     0xffff800000000000   all RAM at this offset, RW NX
 *     0xffffc00000000000   device registers (paging_map_mmio), RW NX uncached
 *     0xffffd00000000000   stacks, an unmapped page below each
 *     0xffffffff80000000   the core: text RX, rodata R NX, data RW NX
 */
#ifndef HV_X86_PAGING_H
#define HV_X86_PAGING_H

#include "hv/base/assert.h"
#include "hv/base/compiler.h"
#include "hv/base/err.h"

#define PAGING_DIRECT_MAP 0xffff800000000000ull
#define PAGING_MMIO       0xffffc00000000000ull
#define PAGING_STACKS     0xffffd00000000000ull
#define PAGING_CORE       0xffffffff80000000ull

/* Physical address of the core's first byte, the one linked at PAGING_CORE. */
extern hpa_t paging_core_base;

static inline void *phys_to_virt(hpa_t pa)
{
	return (void *)(uintptr_t)(PAGING_DIRECT_MAP + pa);
}

/* Of a pointer into the direct map or the core's image (not a stack, not MMIO). */
static inline hpa_t virt_to_phys(const void *p)
{
	uint64_t va = (uintptr_t)p;

	ASSERT(va >= PAGING_CORE || (va >= PAGING_DIRECT_MAP && va < PAGING_MMIO));
	return va >= PAGING_CORE ? va - PAGING_CORE + paging_core_base : va - PAGING_DIRECT_MAP;
}

/*
 * Maps device registers uncached; `pa` and `size` need no alignment. Never unmapped. Returns NULL when
 * page tables can't be had. Not for RAM.
 */
void *paging_map_mmio(hpa_t pa, uint64_t size) MUST_CHECK;

/* The same write-combining, for framebuffers. */
void *paging_map_wc(hpa_t pa, uint64_t size) MUST_CHECK;

/* A stack of `size` bytes (whole pages) with an unmapped page below; returns its top, or NULL. */
uint8_t *paging_alloc_stack(uint64_t size) MUST_CHECK;

/* If `va` is the unmapped page below a stack, a text that says so, else NULL; for the panic dump. */
const char *paging_describe_fault(uint64_t va);

/* Is there anything at `va`? */
bool paging_is_mapped(uint64_t va);

/* CR3 of the final tables. */
hpa_t paging_root(void);

#endif
