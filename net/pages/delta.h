/*
 * What changed of a page since the other end last saw it: pages that CPUs take from each other again and
 * again differ by a few words each time.
 */
#ifndef NET_PAGES_DELTA_H
#define NET_PAGES_DELTA_H

#include "hv/base/compiler.h"
#include "hv/base/types.h"

/*
 * Writes how the 4 KiB at `page` differ from those at `before` into at most `room` bytes at `out`. False
 * when it takes more; else *len is how many, 0 where nothing has changed. Both pages lie at multiples of 8.
 */
bool delta_make(const void *before, const void *page, void *out, size_t room,
		size_t *len) MUST_CHECK;

/* Makes the page out of the one before. False: what came is no delta, and `page` may be spoilt. */
bool delta_apply(const void *in, size_t len, void *page) MUST_CHECK;

#endif
