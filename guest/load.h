/*
 * Loaders: put a kernel image and its files into guest RAM and say in which state the boot CPU
 * starts. A malformed image is refused with a sentence; nothing of an image is trusted.
 */
#ifndef GUEST_LOAD_H
#define GUEST_LOAD_H

#include "guest/layout.h"
#include "hv/base/err.h"

enum image_kind { IMAGE_UNKNOWN, IMAGE_BZIMAGE, IMAGE_MULTIBOOT };

/* A boot file that goes with the kernel: an initrd (several are joined) or a Multiboot module. */
struct load_file {
	const uint8_t *data;
	size_t size;
	const char *args; /* a Multiboot module's string; may be NULL */
};

struct load_request {
	const uint8_t *image;
	size_t size;
	const char *cmdline; /* may be NULL: empty */
	const struct load_file *files;
	unsigned file_count;
	uint64_t ram_bytes;
	gpa_t rsdp; /* told to kernels that can take it; 0: unknown */
};

/*
 * The boot CPU's state: protected mode, paging off, interrupts off, flat 4 GiB segments. EFLAGS is
 * 2. Code segment `cs`, data in DS, ES, FS, GS, SS `ds`; both are in the GDT at `gdt`.
 */
struct load_result {
	enum image_kind kind;
	gpa_t entry;
	uint32_t eax, ebx, ecx, edx, esi, edi, ebp, esp;
	gpa_t gdt;
	uint16_t gdt_limit;
	uint16_t cs, ds;
};

/* By content: Linux's "HdrS", else Multiboot's header in the first 8 KiB. */
enum image_kind image_identify(const uint8_t *image, size_t size);
const char *image_kind_name(enum image_kind kind);

/* Identifies the image and loads it. Refuses what is malformed or does not fit, with a sentence. */
int load_image(const struct load_request *req, struct load_result *out, struct why *why) MUST_CHECK;

#endif
