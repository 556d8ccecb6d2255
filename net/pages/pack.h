/*
 * Pages on a wire with small frames: most pack into one or two of them where plain ones take three.
 */
#ifndef NET_PAGES_PACK_H
#define NET_PAGES_PACK_H

#include "hv/base/compiler.h"
#include "hv/base/types.h"

/* What packing needs to remember while it is at it. */
#define PACK_SCRATCH 4160u

/*
 * Packs the 4 KiB at `page` into at most `room` bytes at `out`; returns how many, or 0 when they don't
 * fit. `scratch` has PACK_SCRATCH bytes, at a multiple of 8; what is in it does not matter.
 */
size_t pack_page(const void *page, void *out, size_t room, void *scratch);

/* The other way; `page` has room for 4 KiB. False: what came is no packed page, `page` may be spoilt. */
bool unpack_page(const void *in, size_t len, void *page) MUST_CHECK;

#endif
