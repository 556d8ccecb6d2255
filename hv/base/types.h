/* The types every file speaks in. Freestanding headers only. */
#ifndef HV_BASE_TYPES_H
#define HV_BASE_TYPES_H

#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t gpa_t; /* guest-physical address, bytes */
typedef uint64_t gva_t; /* guest-linear address, bytes */
typedef uint64_t gfn_t; /* guest page frame number, gpa >> 12 */
typedef uint64_t hpa_t; /* host-physical address, bytes */

#define NO_GFN UINT64_MAX

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096u
#define PAGE_MASK  (~(uint64_t)(PAGE_SIZE - 1))

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull

#endif
