#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hv/base/log.h"
#include "hv/base/plat.h"
#include "tests/host/plat.h"

bool host_panic_expected;
jmp_buf host_panic_jump;

static uint8_t *ram;
static size_t ram_size;
static int ram_held;

void (*host_gmem_hook)(gpa_t gpa, bool write);

void host_ram_reset(size_t size)
{
	free(ram);
	ram = calloc(1, size ? size : 1);
	ram_size = size;
	ram_held = 0;
	host_gmem_hook = NULL;
}

uint8_t *host_ram(void)
{
	return ram;
}

int host_ram_held(void)
{
	return ram_held;
}

void *plat_gmem_acquire(gpa_t gpa, uint32_t len, bool write)
{
	if (host_gmem_hook)
		host_gmem_hook(gpa, write);
	if (len == 0 || (gpa & ~PAGE_MASK) + len > PAGE_SIZE) {
		fprintf(stderr, "gmem acquire of %u bytes at %#llx crosses a page\n", len,
			(unsigned long long)gpa);
		abort();
	}
	if (gpa >= ram_size || len > ram_size - gpa)
		return NULL;
	ram_held++;
	return ram + gpa;
}

void plat_gmem_release(gpa_t gpa, uint32_t len, bool write)
{
	(void)gpa, (void)len, (void)write;
	ram_held--;
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

void plat_log_wake(void)
{
}

void plat_relax(void)
{
}
