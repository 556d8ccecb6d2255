#include "tests/hosted/series.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

void series_add(struct series *s, unsigned block, uint64_t ns)
{
	if (s->count[block] < BLOCK_MAX)
		s->ns[block][s->count[block]++] = ns;
}

static double sorted_at(uint64_t *ns, unsigned count, unsigned percent)
{
	if (!count)
		return 0;
	qsort(ns, count, sizeof(*ns), compare);
	return (double)ns[count * percent / 100] / 1000;
}

double series_median(const struct series *s, unsigned block)
{
	uint64_t ns[BLOCK_MAX];

	memcpy(ns, s->ns[block], s->count[block] * sizeof(*ns));
	return sorted_at(ns, s->count[block], 50);
}

double series_all(const struct series *s, unsigned percent)
{
	static uint64_t ns[BLOCKS * BLOCK_MAX];
	unsigned count = 0;

	for (unsigned b = 0; b < BLOCKS; b++) {
		memcpy(ns + count, s->ns[b], s->count[b] * sizeof(*ns));
		count += s->count[b];
	}
	return sorted_at(ns, count, percent);
}

static struct ratio sorted(const struct ratio *r)
{
	struct ratio copy = *r;

	qsort(copy.block, BLOCKS, sizeof(copy.block[0]), compare_doubles);
	return copy;
}

void series_print(const char *name, const struct series *s)
{
	struct ratio r;

	for (unsigned b = 0; b < BLOCKS; b++)
		r.block[b] = series_median(s, b);
	r = sorted(&r);
	printf("  %-52s %7.1f %8.1f   %6.1f to %6.1f", name, series_all(s, 50), series_all(s, 99),
	       r.block[0], r.block[BLOCKS - 1]);
}

double ratio_median(const struct ratio *r)
{
	return sorted(r).block[BLOCKS / 2];
}

void ratio_print(const char *name, const struct ratio *r)
{
	struct ratio s = sorted(r);

	printf("  %-60s %6.2f   %5.2f to %5.2f\n", name, s.block[BLOCKS / 2], s.block[0],
	       s.block[BLOCKS - 1]);
}

void ratio_print_aim(const char *name, const struct ratio *r, double aim)
{
	struct ratio s = sorted(r);

	printf("  %-60s %6.2f   %5.2f to %5.2f   at most %.2f: %s\n", name, s.block[BLOCKS / 2],
	       s.block[0], s.block[BLOCKS - 1], aim, s.block[BLOCKS / 2] <= aim ? "met" : "MISSED");
}
