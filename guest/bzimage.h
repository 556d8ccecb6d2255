/* The Linux/x86 boot protocol, 2.10 and later, 32-bit entry: Documentation/arch/x86/boot.rst. */
#ifndef GUEST_BZIMAGE_H
#define GUEST_BZIMAGE_H

#include "guest/load.h"

bool bzimage_detect(const uint8_t *image, size_t size);

/* Loads the kernel at 1 MiB, the initrd as high as it may go. Errors leave a sentence. */
int bzimage_load(const struct load_request *req, struct load_result *out,
		 struct why *why) MUST_CHECK;

#endif
