/*
 * The part of <string.h> that portable code may use; the hosted build takes libc's, the hypervisor string.c.
 */
#ifndef HV_BASE_STRING_H
#define HV_BASE_STRING_H

#include "hv/base/types.h"

void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);

/*
 * A freestanding compiler takes these for any functions; asked by name it makes the short ones on the spot.
 */
#if !__STDC_HOSTED__
#define memcpy(dst, src, n)  __builtin_memcpy(dst, src, n)
#define memmove(dst, src, n) __builtin_memmove(dst, src, n)
#define memset(dst, c, n)    __builtin_memset(dst, c, n)
#define memcmp(a, b, n)      __builtin_memcmp(a, b, n)
#endif

/* Copies at most size - 1 characters and always terminates; false when `src` was cut. size > 0. */
static inline bool str_copy(char *dst, const char *src, size_t size)
{
	size_t n = 0;

	while (n + 1 < size && src[n]) {
		dst[n] = src[n];
		n++;
	}
	dst[n] = '\0';
	return src[n] == '\0';
}

static inline bool str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

#endif
