/* For our own broken state only; outside input gets an error and a sentence instead. */
#ifndef HV_BASE_ASSERT_H
#define HV_BASE_ASSERT_H

#include "hv/base/plat.h"

#define ASSERT(cond)                                                                          \
	do {                                                                                  \
		if (UNLIKELY(!(cond)))                                                        \
			plat_panic("%s:%d: broken invariant: %s", __FILE__, __LINE__, #cond); \
	} while (0)

#define STATIC_ASSERT(cond, text) _Static_assert(cond, text)

/* Size of a hardware or wire structure; the manual's section stands in a comment beside it. */
#define ASSERT_SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type " has a fixed size")

#define ASSERT_OFFSET(type, member, bytes) \
	_Static_assert(offsetof(type, member) == (bytes), #type "." #member " has a fixed offset")

#endif
