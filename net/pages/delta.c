#include "net/pages/delta.h"
#include "hv/base/string.h"

#define WORDS (PAGE_SIZE / sizeof(uint64_t))

/* A run of words that changed; the words follow. */
struct PACKED run {
	uint16_t first, count;
};

/* The first word from `i` on that is not equal, or not different, any more. */
static unsigned skip(const uint64_t *a, const uint64_t *b, unsigned i, bool equal)
{
	while (i < WORDS && (a[i] == b[i]) == equal)
		i++;
	return i;
}

bool delta_make(const void *before, const void *page, void *out, size_t room, size_t *len)
{
	const uint64_t *old = before, *new = page;
	uint8_t *to = out;
	unsigned end;

	*len = 0;
	for (unsigned i = skip(old, new, 0, true); i < WORDS; i = skip(old, new, end, true)) {
		struct run run = {.first = (uint16_t)i};
		size_t bytes;

		end = skip(old, new, i, false);
		run.count = (uint16_t)(end - i);
		bytes = run.count * sizeof(uint64_t);
		if (sizeof(run) + bytes > room - *len)
			return false;
		memcpy(to + *len, &run, sizeof(run));
		memcpy(to + *len + sizeof(run), &new[i], bytes);
		*len += sizeof(run) + bytes;
	}
	return true;
}

bool delta_apply(const void *in, size_t len, void *page)
{
	const uint8_t *from = in;
	uint8_t *to = page;
	struct run run;

	while (len) {
		size_t bytes;

		if (len < sizeof(run))
			return false;
		memcpy(&run, from, sizeof(run));
		bytes = run.count * sizeof(uint64_t);
		from += sizeof(run);
		len -= sizeof(run);
		if (bytes > len || run.first + run.count > WORDS)
			return false;
		memcpy(to + run.first * sizeof(uint64_t), from, bytes);
		from += bytes;
		len -= bytes;
	}
	return true;
}
