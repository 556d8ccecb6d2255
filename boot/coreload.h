/*
 * Puts the core, an ELF image inside the loader, into memory and builds the page tables it starts on.
 * Both loaders compile this file, one as 32-bit code.
 */
#ifndef BOOT_CORELOAD_H
#define BOOT_CORELOAD_H

#include <stdbool.h>

#include "boot/handoff.h"

struct coreload {
	const uint8_t *elf;
	uint64_t entry;        /* virtual address */
	uint32_t image_bytes;  /* memory the core takes, whole pages, zeroed part included */
	uint32_t table_bytes;  /* memory the page tables take, whole pages */
	uint64_t identity_top; /* the tables map [0, this) one to one */
	bool gib_pages;
};

/*
 * Looks the ELF image over and says how much memory is needed. `ram_top` is the end of the highest RAM;
 * `gib_pages` whether the CPU has 1 GiB pages. NULL, or a sentence about what is wrong.
 */
const char *coreload_plan(struct coreload *c, const uint8_t *elf, uint32_t size, uint64_t ram_top,
			  bool gib_pages);

/* Copies the segments to `image` (page aligned, image_bytes) and zeroes the rest. */
void coreload_place(const struct coreload *c, uint8_t *image);

/*
 * Builds the tables in `tables` (page aligned, table_bytes) for a core placed at physical
 * `core_base`; pointers are physical addresses here. Returns the value for CR3.
 */
uint64_t coreload_tables(const struct coreload *c, uint8_t *tables, uint64_t core_base);

/* CPUID 80000001h EDX: 26 1 GiB pages, 29 long mode. */
bool coreload_cpu_has_gib_pages(void);
bool coreload_cpu_has_long_mode(void);

#endif
