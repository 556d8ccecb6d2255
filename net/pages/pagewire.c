#include "net/pages/pagewire.h"
#include "hv/base/string.h"
#include "net/pages/delta.h"

/* With its heads a delta fits one frame; what is longer is rather packed. */
#define DELTA_MAX 1300u

void pagewire_init(struct pagewire *w, void *mem)
{
	memset(w, 0, sizeof(*w));
	for (unsigned i = 0; i < PAGEWIRE_SLOTS; i++)
		w->gfn[i] = NO_GFN;
	w->sent = mem;
	w->got = w->sent + PAGEWIRE_SLOTS;
}

void pagewire_send(struct pagewire *w, struct pagewire_scratch *scratch, gfn_t gfn,
		   const void *page, struct page_parcel *parcel)
{
	uint8_t *small = scratch->small;
	unsigned slot = (unsigned)(gfn ^ gfn >> 7) % PAGEWIRE_SLOTS;
	size_t len;

	*parcel = (struct page_parcel){PAGE_PLAIN, (uint8_t)slot, page, PAGE_SIZE};
	if (w->gfn[slot] == gfn && delta_make(w->sent[slot], page, small, DELTA_MAX, &len))
		*parcel = (struct page_parcel){PAGE_DELTA, (uint8_t)slot, small, len};
	else if ((len = pack_page(page, small, PAGEWIRE_MAX, scratch->pack)) != 0)
		*parcel = (struct page_parcel){PAGE_PACKED, (uint8_t)slot, small, len};
	w->gfn[slot] = gfn;
	memcpy(w->sent[slot], page, PAGE_SIZE);
	w->count[parcel->form]++;
	w->bytes += parcel->len;
}

bool pagewire_receive(struct pagewire *w, const struct page_parcel *parcel, void *page)
{
	bool good = false;

	if (parcel->slot >= PAGEWIRE_SLOTS)
		return false;
	switch (parcel->form) {
	case PAGE_PLAIN:
		good = parcel->len == PAGE_SIZE;
		if (good)
			memcpy(page, parcel->bytes, PAGE_SIZE);
		break;
	case PAGE_PACKED:
		good = unpack_page(parcel->bytes, parcel->len, page);
		break;
	case PAGE_DELTA:
		memcpy(page, w->got[parcel->slot], PAGE_SIZE);
		good = delta_apply(parcel->bytes, parcel->len, page);
		break;
	case PAGE_FORMS:
		break;
	}
	if (good)
		memcpy(w->got[parcel->slot], page, PAGE_SIZE);
	return good;
}
