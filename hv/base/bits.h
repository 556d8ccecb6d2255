/* Bits, alignment and bitmaps. Pure functions; no state. */
#ifndef HV_BASE_BITS_H
#define HV_BASE_BITS_H

#include "hv/base/compiler.h"

#define BIT(n)       (1ull << (n))
/* The mask of bits hi..lo, both included, as manuals write [hi:lo]. */
#define BITS(hi, lo) ((~0ull >> (63 - (hi))) & (~0ull << (lo)))

static inline uint64_t bits_get(uint64_t v, unsigned hi, unsigned lo)
{
	return (v & BITS(hi, lo)) >> lo;
}

/* `align` is a power of two. */
static inline uint64_t align_down(uint64_t v, uint64_t align)
{
	return v & ~(align - 1);
}

static inline uint64_t align_up(uint64_t v, uint64_t align)
{
	return (v + align - 1) & ~(align - 1);
}

static inline bool is_aligned(uint64_t v, uint64_t align)
{
	return (v & (align - 1)) == 0;
}

/* True when [base, base + len) does not wrap and lies within [0, limit). */
static inline bool range_within(uint64_t base, uint64_t len, uint64_t limit)
{
	return base <= limit && len <= limit - base;
}

/* Are the bits from `bits` - 1 on all the same? A linear address is canonical so. SDM vol. 1, 3.3.7.1 */
static inline bool is_sign_extended(uint64_t v, unsigned bits)
{
	unsigned shift = 64u - bits;

	return (uint64_t)((int64_t)(v << shift) >> shift) == v;
}

/* Index of the lowest / highest set bit; `v` must not be 0. */
static inline unsigned bit_lowest(uint64_t v)
{
	return (unsigned)__builtin_ctzll(v);
}

static inline unsigned bit_highest(uint64_t v)
{
	return 63u - (unsigned)__builtin_clzll(v);
}

#define BITMAP_WORDS(bits) (((bits) + 63) / 64)

static inline bool bitmap_test(const uint64_t *map, unsigned bit)
{
	return map[bit / 64] >> (bit % 64) & 1;
}

static inline void bitmap_set(uint64_t *map, unsigned bit)
{
	map[bit / 64] |= BIT(bit % 64);
}

static inline void bitmap_clear(uint64_t *map, unsigned bit)
{
	map[bit / 64] &= ~BIT(bit % 64);
}

/* a * b / c without overflow of the product; the quotient must fit 64 bits. c is not 0. */
static inline uint64_t mul_div(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t whole = a / c, rest = a % c;
	uint64_t high = whole * b;

	if (rest == 0 || b <= UINT64_MAX / rest)
		return high + rest * b / c;
	/* rest * b does not fit: long division, bit by bit of b. */
	uint64_t quot = 0, rem = 0;

	for (int i = 63; i >= 0; i--) {
		quot <<= 1;
		bool carry = rem >> 63;
		rem <<= 1;
		if (carry || rem >= c) {
			rem -= c;
			quot++;
		}
		if (b >> i & 1) {
			bool wrap = rem + rest < rem;
			rem += rest;
			if (wrap || rem >= c) {
				rem -= c;
				quot++;
			}
		}
	}
	return high + quot;
}

#endif
