/*
 * Errors. A function that can fail returns 0 or a negative `enum err`; one
 * whose failure a person must understand also takes a `struct why` and leaves a
 * whole sentence there: what was wrong, what was expected, what to do.
 */
#ifndef HV_BASE_ERR_H
#define HV_BASE_ERR_H

#include "hv/base/compiler.h"

enum err {
	ERR_INVALID = -1,     /* the input breaks a rule */
	ERR_NOMEM = -2,       /* out of memory, or a fixed table is full */
	ERR_NOTFOUND = -3,    /* nothing by that name or address */
	ERR_UNSUPPORTED = -4, /* valid, but this machine or build can't do it */
	ERR_RANGE = -5,       /* outside the allowed range */
	ERR_BUSY = -6,        /* would have to wait */
	ERR_TIMEOUT = -7,     /* waited long enough */
};

/* One short word for an error, for logs; never NULL. */
const char *err_name(int err);

struct why {
	char text[240];
};

/* Writes the sentence and returns `err`, so that `return why_set(...)` reads well. `why` may be NULL. */
int why_set(struct why *why, int err, const char *fmt, ...) PRINTF(3, 4);

#endif
