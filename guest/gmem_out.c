#include "guest/gmem_out.h"
#include "hv/base/bits.h"
#include "hv/base/err.h"
#include "hv/base/gmem.h"

void gmem_out_put(struct gmem_out *o, const void *bytes, size_t size)
{
	if (!o->err && (o->at > o->end || size > o->end - o->at))
		o->err = ERR_NOMEM;
	if (!o->err)
		o->err = gmem_write(o->at, bytes, size);
	o->at += size;
}

void gmem_out_u8(struct gmem_out *o, uint8_t v)
{
	gmem_out_put(o, &v, 1);
}

void gmem_out_int(struct gmem_out *o, uint64_t v, unsigned size)
{
	uint8_t bytes[8];

	for (unsigned i = 0; i < size; i++)
		bytes[i] = (uint8_t)(v >> 8 * i);
	gmem_out_put(o, bytes, size);
}

void gmem_out_align(struct gmem_out *o, unsigned align)
{
	while (!is_aligned(o->at, align))
		gmem_out_u8(o, 0);
}

void gmem_out_patch(struct gmem_out *o, gpa_t at, const void *bytes, size_t size)
{
	if (!o->err)
		o->err = gmem_write(at, bytes, size);
}

void gmem_out_checksum(struct gmem_out *o, gpa_t from, size_t size, gpa_t at)
{
	uint8_t sum = 0, byte = 0;

	gmem_out_patch(o, at, &byte, 1);
	for (size_t i = 0; i < size && !o->err; i++) {
		o->err = gmem_read(from + i, &byte, 1);
		sum = (uint8_t)(sum + byte);
	}
	sum = (uint8_t)-sum;
	gmem_out_patch(o, at, &sum, 1);
}

int gmem_out_end(const struct gmem_out *o, gpa_t base, const char *what, unsigned cpus,
		 struct why *why)
{
	if (o->err == ERR_NOMEM)
		return why_set(why, ERR_NOMEM,
			       "the guest's %s for %u CPUs would be %llu bytes, %llu are set aside",
			       what, cpus, (unsigned long long)(o->at - base),
			       (unsigned long long)(o->end - base));
	if (o->err)
		return why_set(why, o->err, "the guest has no RAM at %#llx for its %s",
			       (unsigned long long)base, what);
	return 0;
}
