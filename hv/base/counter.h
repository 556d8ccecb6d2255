/* Counters and histograms that cost one increment. Each has one writer; who reads may get a value
 * that is a little old. */
#ifndef HV_BASE_COUNTER_H
#define HV_BASE_COUNTER_H

#include "hv/base/bits.h"

/* Powers of two: bucket i counts values v with 2^(i-1) <= v < 2^i; bucket 0 counts zeros. */
#define HIST_BUCKETS 40

struct hist {
	uint64_t count, sum, max;
	uint64_t bucket[HIST_BUCKETS];
};

static inline void hist_add(struct hist *h, uint64_t v)
{
	unsigned b = v ? bit_highest(v) + 1 : 0;

	h->count++;
	h->sum += v;
	h->max = MAX(h->max, v);
	h->bucket[MIN(b, HIST_BUCKETS - 1u)]++;
}

/* Upper bound of the bucket that holds the given quantile (per mille); 0 when empty. */
static inline uint64_t hist_quantile(const struct hist *h, unsigned per_mille)
{
	uint64_t need = (h->count * per_mille + 999) / 1000, seen = 0;

	for (unsigned b = 0; b < HIST_BUCKETS && h->count; b++) {
		seen += h->bucket[b];
		if (seen >= need)
			return b == 0 ? 0 : MIN(h->max, BIT(b) - 1);
	}
	return 0;
}

#endif
