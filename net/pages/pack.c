#include "net/pages/pack.h"
#include "hv/base/types.h"
#include "net/pages/lz4_libc.h"
#include <lz4.h>

size_t pack_page(const void *page, void *out, size_t room)
{
	static uint64_t state[(LZ4_STREAM_MINSIZE + 7) / 8];
	int len = LZ4_compress_fast_extState(state, page, out, PAGE_SIZE, (int)room, 1);

	return len > 0 ? (size_t)len : 0;
}

bool unpack_page(const void *in, size_t len, void *page)
{
	return LZ4_decompress_safe(in, page, (int)len, PAGE_SIZE) == PAGE_SIZE;
}
