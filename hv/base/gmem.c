#include "hv/base/gmem.h"
#include "hv/base/err.h"
#include "hv/base/plat.h"
#include "hv/base/string.h"

/* The bytes from gpa to the end of its page, at most len. */
static uint32_t chunk(gpa_t gpa, size_t len)
{
	size_t rest = PAGE_SIZE - (gpa & ~PAGE_MASK);

	return (uint32_t)MIN(rest, len);
}

int gmem_read(gpa_t gpa, void *buf, size_t len)
{
	uint8_t *to = buf;

	while (len) {
		uint32_t n = chunk(gpa, len);
		const void *from = plat_gmem_acquire(gpa, n, false);

		if (!from)
			return ERR_RANGE;
		memcpy(to, from, n);
		plat_gmem_release(gpa, n, false);
		gpa += n;
		to += n;
		len -= n;
	}
	return 0;
}

int gmem_write(gpa_t gpa, const void *buf, size_t len)
{
	const uint8_t *from = buf;

	while (len) {
		uint32_t n = chunk(gpa, len);
		void *to = plat_gmem_acquire(gpa, n, true);

		if (!to)
			return ERR_RANGE;
		memcpy(to, from, n);
		plat_gmem_release(gpa, n, true);
		gpa += n;
		from += n;
		len -= n;
	}
	return 0;
}

int gmem_fill(gpa_t gpa, uint8_t byte, size_t len)
{
	while (len) {
		uint32_t n = chunk(gpa, len);
		void *to = plat_gmem_acquire(gpa, n, true);

		if (!to)
			return ERR_RANGE;
		memset(to, byte, n);
		plat_gmem_release(gpa, n, true);
		gpa += n;
		len -= n;
	}
	return 0;
}
