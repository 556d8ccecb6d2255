/* Times taken in blocks, so that what disturbs one block shows in the spread and not in the result. */
#ifndef TESTS_HOSTED_SERIES_H
#define TESTS_HOSTED_SERIES_H

#include <stdint.h>

#define BLOCKS    9u
#define BLOCK_MAX 512u

struct series {
	uint64_t ns[BLOCKS][BLOCK_MAX];
	unsigned count[BLOCKS];
};

void series_add(struct series *s, unsigned block, uint64_t ns);

/* In us: of one block; of all blocks together, where `percent` of the times are below. */
double series_median(const struct series *s, unsigned block);
double series_all(const struct series *s, unsigned percent);

/* One row, without the end of the line: median, 99th percentile, lowest and highest median of a block. */
void series_print(const char *name, const struct series *s);

/* A ratio, block by block. */
struct ratio {
	double block[BLOCKS];
};

double ratio_median(const struct ratio *r);
/* The same without an aim. */
void ratio_print(const char *name, const struct ratio *r);
void ratio_print_aim(const char *name, const struct ratio *r, double aim);

#endif
