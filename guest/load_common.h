/* What both loaders share: the GDT they hand over, reading little-endian fields, joining ranges. */
#ifndef GUEST_LOAD_COMMON_H
#define GUEST_LOAD_COMMON_H

#include "guest/load.h"

/* Low memory that loaders use for what they hand to the kernel. */
#define LOAD_GDT      0x8000u
#define LOAD_INFO     0x9000u /* Linux's zero page, Multiboot's information */
#define LOAD_INFO_END 0x10000u
/* Longest command line with its closing NUL. */
#define LOAD_CMDLINE  4096u

/* Flat segments: Linux names these selectors, and Multiboot asks for no particular ones. */
#define LOAD_CS 0x10
#define LOAD_DS 0x18

static inline uint16_t load_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t load_u32(const uint8_t *p)
{
	return load_u16(p) | (uint32_t)load_u16(p + 2) << 16;
}

static inline uint64_t load_u64(const uint8_t *p)
{
	return load_u32(p) | (uint64_t)load_u32(p + 4) << 32;
}

/* Writes the GDT and fills what both protocols have in common of the CPU's state. */
int load_start_state(struct load_result *out, enum image_kind kind, gpa_t entry,
		     struct why *why) MUST_CHECK;

/* gmem_write with a sentence: "no RAM at ... for WHAT". */
int load_write(gpa_t gpa, const void *bytes, size_t size, const char *what,
	       struct why *why) MUST_CHECK;

#endif
