#include "net/pages/pack.h"
#include "hv/base/assert.h"
#include "net/pages/lz4_libc.h"
#include <lz4.h>

STATIC_ASSERT(LZ4_STREAM_MINSIZE <= PACK_SCRATCH, "LZ4's state fits");

size_t pack_page(const void *page, void *out, size_t room, void *scratch)
{
	int len = LZ4_compress_fast_extState(scratch, page, out, PAGE_SIZE, (int)room, 1);

	return len > 0 ? (size_t)len : 0;
}

bool unpack_page(const void *in, size_t len, void *page)
{
	return LZ4_decompress_safe(in, page, (int)len, PAGE_SIZE) == PAGE_SIZE;
}
