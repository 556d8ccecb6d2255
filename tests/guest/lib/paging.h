/* Page tables. SDM vol. 3, chapter 4. */
#ifndef TESTS_GUEST_LIB_PAGING_H
#define TESTS_GUEST_LIB_PAGING_H

#include "tests/guest/lib/cpu.h"

#define PTE_P  BIT32(0)
#define PTE_W  BIT32(1)
#define PTE_U  BIT32(2)
#define PTE_A  BIT32(5)
#define PTE_D  BIT32(6)
#define PTE_PS BIT32(7)
#define PTE_G  BIT32(8)
#define PTE_NX (1ull << 63)

#define PF_P    BIT32(0) /* the page was present: a protection fault */
#define PF_W    BIT32(1)
#define PF_U    BIT32(2)
#define PF_RSVD BIT32(3) /* a reserved bit was set */
#define PF_I    BIT32(4) /* instruction fetch, when NX is on */

/*
 * Identity, writable, for all 4 GiB by 4 MiB pages, except the 4 MiB at WINDOW, which `window_table`
 * maps by 4 KiB pages: empty at first, for the test to fill.
 */
#define WINDOW 0x40000000u

extern uint32_t page_dir[1024], window_table[1024];
void paging_on(void);  /* fills the tables, sets CR4.PSE and CR0.PG */
void paging_off(void); /* also clears PSE, PAE, PGE, WP */

static inline volatile uint32_t *window_pte(unsigned page)
{
	return &window_table[page];
}

static inline volatile uint8_t *window_page(unsigned page)
{
	return (volatile uint8_t *)(WINDOW + page * 4096);
}

#endif
