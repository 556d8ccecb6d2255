/*
 * ACPI's static tables, as far as the node needs them. Pure: all memory is read through the callback,
 * and every length and checksum is checked before use. ACPI 6.4, chapter 5.
 */
#ifndef HV_X86_ACPI_H
#define HV_X86_ACPI_H

#include "hv/x86/platform.h"

/* Copies `len` bytes of physical memory; false when they can't be read. */
struct phys_reader {
	bool (*read)(void *ctx, hpa_t pa, void *buf, size_t len);
	void *ctx;
};

/* Looks for the RSDP where a BIOS puts it: EBDA, then 0xE0000-0xFFFFF. 0 when it is not there. */
hpa_t acpi_find_rsdp(const struct phys_reader *mem);

/*
 * Adds what the tables say to *pf. True when there is a usable root table; a bad table below it is
 * named in the log and left out.
 */
bool acpi_read(const struct phys_reader *mem, hpa_t rsdp, struct platform *pf);

/* For MP tables too: does [pa, pa + len) sum up to 0 modulo 256? False when it can't be read. */
bool acpi_checksum_ok(const struct phys_reader *mem, hpa_t pa, uint32_t len);

/* Segment of the extended BIOS data area, from the BIOS data area; 0 when it makes no sense. */
hpa_t acpi_ebda(const struct phys_reader *mem);

#endif
