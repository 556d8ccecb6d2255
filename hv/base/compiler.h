/* What the compiler is told beyond ISO C, and the few macros worth having. */
#ifndef HV_BASE_COMPILER_H
#define HV_BASE_COMPILER_H

#include "hv/base/types.h"

#define PACKED           __attribute__((packed))
#define ALIGNED(n)       __attribute__((aligned(n)))
#define NORETURN         __attribute__((noreturn))
#define MUST_CHECK       __attribute__((warn_unused_result))
#define UNUSED           __attribute__((unused))
#define COLD             __attribute__((cold, noinline)) /* kept out of its hot caller */
#define SECTION(name)    __attribute__((section(name)))
#define PRINTF(fmt, arg) __attribute__((format(printf, fmt, arg)))

#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
