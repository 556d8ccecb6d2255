#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hv/base/log.h"
#include "hv/base/spinlock.h"
#include "tests/host/plat.h"

bool host_panic_expected;
jmp_buf host_panic_jump;

static uint8_t *ram;
static size_t ram_size;

/* Each thread has CPUs of its own; `host_cpu` says which one it is. */
static _Thread_local uint32_t ranks[8];
static _Thread_local struct {
	gpa_t gpa;
	uint32_t len;
	bool write;
} pages[8];

void (*host_gmem_hook)(gpa_t gpa, bool write);

void host_ram_reset(size_t size)
{
	free(ram);
	ram = calloc(1, size ? size : 1);
	ram_size = size;
	host_gmem_hook = NULL;
	*plat_ranks() &= ~(1u << RANK_GUEST_PAGE);
}

uint8_t *host_ram(void)
{
	return ram;
}

bool host_ram_held(void)
{
	return *plat_ranks() >> RANK_GUEST_PAGE & 1;
}

void *plat_gmem_acquire(gpa_t gpa, uint32_t len, bool write)
{
	if (host_gmem_hook)
		host_gmem_hook(gpa, write);
	rank_check(RANK_GUEST_PAGE);
	if (len == 0 || (gpa & ~PAGE_MASK) + len > PAGE_SIZE)
		plat_panic("gmem acquire of %u bytes at %#llx crosses a page", len,
			   (unsigned long long)gpa);
	if (gpa >= ram_size || len > ram_size - gpa)
		return NULL;
	rank_take(RANK_GUEST_PAGE);
	pages[host_cpu].gpa = gpa;
	pages[host_cpu].len = len;
	pages[host_cpu].write = write;
	return ram + gpa;
}

void plat_gmem_release(gpa_t gpa, uint32_t len, bool write)
{
	gpa_t had = pages[host_cpu].gpa;
	uint32_t bytes = pages[host_cpu].len;

	if (had != gpa || bytes != len || pages[host_cpu].write != write)
		plat_panic("gmem release of %u bytes at %#llx, but %u at %#llx were acquired", len,
			   (unsigned long long)gpa, bytes, (unsigned long long)had);
	rank_drop(RANK_GUEST_PAGE);
}

void plat_panic(const char *fmt, ...)
{
	va_list ap;

	if (host_panic_expected)
		longjmp(host_panic_jump, 1);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	abort();
}

uint64_t host_log_ns = 1234567000ull;

uint64_t plat_log_ns(void)
{
	return host_log_ns;
}

unsigned host_cpu;

unsigned plat_cpu(void)
{
	return host_cpu;
}

uint32_t *plat_ranks(void)
{
	return &ranks[host_cpu];
}

void plat_relax(void)
{
}
