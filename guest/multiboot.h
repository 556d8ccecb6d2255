/* Multiboot Specification 0.6.96: ELF32 images, or the address fields of the header. */
#ifndef GUEST_MULTIBOOT_H
#define GUEST_MULTIBOOT_H

#include "guest/load.h"

bool multiboot_detect(const uint8_t *image, size_t size);

/* Loads the segments where they say and the files above them. Errors leave a sentence. */
int multiboot_load(const struct load_request *req, struct load_result *out,
		   struct why *why) MUST_CHECK;

#endif
