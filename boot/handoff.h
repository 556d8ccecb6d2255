/*
 * What a boot loader tells the core: the only thing boot/ shares with the rest. The loader puts the
 * core in memory, builds page tables (layout in docs/boot.md), and jumps to the ELF entry in 64-bit
 * mode with interrupts off and the physical address of this structure in RDI.
 *
 * Compiled as 32-bit code too, so it has no pointers and no implicit padding.
 */
#ifndef BOOT_HANDOFF_H
#define BOOT_HANDOFF_H

#include <stddef.h>
#include <stdint.h>

#define HANDOFF_MAGIC   0x464f444e41484d41ull /* "AMHANDOF" */
#define HANDOFF_VERSION 1u

#define HANDOFF_RANGES  384
#define HANDOFF_FILES   16
#define HANDOFF_CMDLINE 2048
#define HANDOFF_NAME    64
#define HANDOFF_ARGS    448

/* Where the core is linked; the loader maps its image there, wherever in RAM it lies. */
#define HANDOFF_CORE_VIRT 0xffffffff80000000ull

enum handoff_loader { HANDOFF_UEFI = 1, HANDOFF_MULTIBOOT = 2 };

enum handoff_kind {
	HANDOFF_RAM = 1,      /* free to use */
	HANDOFF_RESERVED = 2, /* not RAM, or not ours */
	HANDOFF_ACPI = 3,     /* ACPI tables; RAM again once they are read */
	HANDOFF_NVS = 4,      /* ACPI NVS: firmware's, never touched */
	HANDOFF_CORE = 5,     /* the core's image, loader page tables, this structure */
	HANDOFF_FILE = 6,     /* a boot file below */
	HANDOFF_BAD = 7,      /* defective RAM */
};

struct handoff_range {
	uint64_t base, size; /* bytes */
	uint32_t kind;       /* enum handoff_kind */
	uint32_t reserved;
};

/* A guest kernel, initrd or other file. `args` is its own command line, as the boot menu gave it. */
struct handoff_file {
	uint64_t base, size; /* physical, bytes */
	char name[HANDOFF_NAME];
	char args[HANDOFF_ARGS];
};

struct handoff_framebuffer {
	uint64_t base;
	uint32_t pitch;         /* bytes per line; 0: there is no framebuffer */
	uint32_t width, height; /* pixels, 32 bits each */
	uint32_t bgr;           /* 1: blue is the lowest byte; 0: red is */
};

struct handoff {
	uint64_t magic;
	uint32_t version;
	uint32_t size;   /* of this structure, bytes */
	uint32_t loader; /* enum handoff_loader */
	uint32_t range_count, file_count;
	uint32_t cmdline_cut;          /* 1: the command line was longer than fits */
	uint64_t core_base, core_size; /* physical place of the core's image */
	uint64_t rsdp;                 /* physical; 0: not told, search for it */
	uint64_t start_tsc;            /* TSC when the loader started */
	uint8_t boot_mac[8];           /* NIC it was booted from, 6 bytes; all 0: not known */
	struct handoff_framebuffer fb;
	char cmdline[HANDOFF_CMDLINE];
	struct handoff_range ranges[HANDOFF_RANGES];
	struct handoff_file files[HANDOFF_FILES];
};

_Static_assert(sizeof(struct handoff_range) == 24, "same layout in 32-bit and 64-bit code");
_Static_assert(sizeof(struct handoff_file) == 528, "same layout in 32-bit and 64-bit code");
_Static_assert(offsetof(struct handoff, ranges) == 96 + HANDOFF_CMDLINE, "no hidden padding");
_Static_assert(sizeof(struct handoff) ==
		       96 + HANDOFF_CMDLINE + 24 * HANDOFF_RANGES + 528 * HANDOFF_FILES,
	       "no hidden padding");

#endif
