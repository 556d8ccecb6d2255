/*
 * Writes structures one after the other into guest memory. The first error sticks, so that a
 * builder checks once at its end.
 */
#ifndef GUEST_GMEM_OUT_H
#define GUEST_GMEM_OUT_H

#include "hv/base/compiler.h"
#include "hv/base/err.h"

struct gmem_out {
	gpa_t at, end; /* where the next byte goes; nothing is written from `end` on */
	int err;       /* 0, ERR_NOMEM past the end, ERR_RANGE without RAM */
};

void gmem_out_put(struct gmem_out *o, const void *bytes, size_t size);
void gmem_out_u8(struct gmem_out *o, uint8_t v);
/* Little endian, `size` bytes. */
void gmem_out_int(struct gmem_out *o, uint64_t v, unsigned size);
/* Zeros up to a multiple of `align`, a power of two. */
void gmem_out_align(struct gmem_out *o, unsigned align);
/* Replaces what was written before. */
void gmem_out_patch(struct gmem_out *o, gpa_t at, const void *bytes, size_t size);
/* Sets the byte at `at` so that [from, from + size) sums up to 0, as firmware tables want it. */
void gmem_out_checksum(struct gmem_out *o, gpa_t from, size_t size, gpa_t at);

/*
 * A builder's end: 0, or the first error with a sentence on `what`, firmware's for `cpus` CPUs, which was
 * written from `base` on.
 */
int gmem_out_end(const struct gmem_out *o, gpa_t base, const char *what, unsigned cpus,
		 struct why *why) MUST_CHECK;

#endif
