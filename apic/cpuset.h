/* A set of guest CPUs, by their 0-based number in the whole machine. */
#ifndef APIC_CPUSET_H
#define APIC_CPUSET_H

#include "hv/base/bits.h"

#define CPUSET_MAX   256u
#define CPUSET_WORDS BITMAP_WORDS(CPUSET_MAX)

struct cpuset {
	uint64_t bits[CPUSET_WORDS];
};

static inline void cpuset_clear(struct cpuset *s)
{
	for (unsigned w = 0; w < CPUSET_WORDS; w++)
		s->bits[w] = 0;
}

static inline void cpuset_add(struct cpuset *s, unsigned cpu)
{
	bitmap_set(s->bits, cpu);
}

static inline void cpuset_remove(struct cpuset *s, unsigned cpu)
{
	bitmap_clear(s->bits, cpu);
}

static inline bool cpuset_has(const struct cpuset *s, unsigned cpu)
{
	return cpu < CPUSET_MAX && bitmap_test(s->bits, cpu);
}

static inline bool cpuset_empty(const struct cpuset *s)
{
	uint64_t any = 0;

	for (unsigned w = 0; w < CPUSET_WORDS; w++)
		any |= s->bits[w];
	return any == 0;
}

static inline unsigned cpuset_count(const struct cpuset *s)
{
	unsigned n = 0;

	for (unsigned w = 0; w < CPUSET_WORDS; w++)
		n += (unsigned)__builtin_popcountll(s->bits[w]);
	return n;
}

/* The first member that is `from` or above; CPUSET_MAX when there is none. */
static inline unsigned cpuset_next(const struct cpuset *s, unsigned from)
{
	for (unsigned w = from / 64; w < CPUSET_WORDS; w++) {
		uint64_t left = s->bits[w];

		if (w == from / 64)
			left &= ~0ull << (from % 64);
		if (left)
			return w * 64 + bit_lowest(left);
	}
	return CPUSET_MAX;
}

/* `cpu` is an unsigned variable of the caller's; `s` a pointer to the set. */
#define cpuset_for_each(cpu, s) \
	for ((cpu) = cpuset_next(s, 0); (cpu) < CPUSET_MAX; (cpu) = cpuset_next(s, (cpu) + 1))

#endif
