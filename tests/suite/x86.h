#pragma once
/* Single instructions (SDM volume 2). Operands of the locked ones may cross a page. */

#include <stdint.h>

static inline void cpu_relax(void)
{
	__asm__ volatile("pause" ::: "memory");
}

static inline void mfence(void)
{
	__asm__ volatile("mfence" ::: "memory");
}

/* Empty steps, without PAUSE: a hypervisor may have its own idea of what to do at that. */
static inline void linger(unsigned steps)
{
	for (; steps; steps--)
		__asm__ volatile("");
}

/* A locked instruction on the thread's own stack: orders like MFENCE. */
static inline void lock_fence(void)
{
	__asm__ volatile("lock; addl $0, (%%esp)" ::: "memory", "cc");
}

/* CPUID as the serializing instruction. */
static inline void serialize(void)
{
	uint32_t a = 0, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d)::"memory");
}

/* LFENCE keeps the counter from being read before the loads in front of it. */
static inline uint64_t rdtsc_ordered(void)
{
	uint64_t tsc;

	__asm__ volatile("lfence; rdtsc" : "=A"(tsc)::"memory");
	return tsc;
}

static inline void lock_add(volatile uint32_t *p, uint32_t value)
{
	__asm__ volatile("lock; addl %1, %0" : "+m"(*p) : "r"(value) : "memory", "cc");
}

static inline uint32_t lock_xadd(volatile uint32_t *p, uint32_t value)
{
	__asm__ volatile("lock; xaddl %1, %0" : "+m"(*p), "+r"(value)::"memory", "cc");
	return value;
}

static inline uint32_t xchg(volatile uint32_t *p, uint32_t value)
{
	__asm__ volatile("xchgl %1, %0" : "+m"(*p), "+r"(value)::"memory");
	return value;
}

/* What was there; the store happened when that equals `old`. */
static inline uint32_t cmpxchg(volatile uint32_t *p, uint32_t old, uint32_t value)
{
	__asm__ volatile("lock; cmpxchgl %2, %0"
			 : "+m"(*p), "+a"(old)
			 : "r"(value)
			 : "memory", "cc");
	return old;
}

static inline uint64_t cmpxchg8b(volatile uint64_t *p, uint64_t old, uint64_t value)
{
	__asm__ volatile("lock; cmpxchg8b %0"
			 : "+m"(*p), "+A"(old)
			 : "b"((uint32_t)value), "c"((uint32_t)(value >> 32))
			 : "memory", "cc");
	return old;
}
