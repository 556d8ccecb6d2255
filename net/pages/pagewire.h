/*
 * How a page travels: plain, packed with LZ4, or as what changed since it last went the same way. The two
 * ends of a direction remember the same last pages, each in the same slot, because messages with pages
 * arrive in order and exactly once; so no delta ever meets another page than it was made against.
 */
#ifndef NET_PAGES_PAGEWIRE_H
#define NET_PAGES_PAGEWIRE_H

#include "hv/base/compiler.h"
#include "hv/base/types.h"
#include "net/pages/pack.h"

#define PAGEWIRE_SLOTS 128u
/* Memory for the pages remembered of one peer, both directions. */
#define PAGEWIRE_BYTES (2 * (size_t)PAGEWIRE_SLOTS * PAGE_SIZE)
/* The most that travels instead of a plain page: with its heads it fits two frames where that takes three. */
#define PAGEWIRE_MAX   2700u

enum page_form { PAGE_PLAIN, PAGE_PACKED, PAGE_DELTA, PAGE_FORMS };

/* A page as it travels. */
struct page_parcel {
	enum page_form form;
	uint8_t slot;
	const void *bytes;
	size_t len;
};

/* One peer: what went to it last and what came from it, by slot. */
struct pagewire {
	gfn_t gfn[PAGEWIRE_SLOTS]; /* what went there; NO_GFN: nothing yet */
	uint8_t (*sent)[PAGE_SIZE], (*got)[PAGE_SIZE];
	uint64_t count[PAGE_FORMS], bytes; /* sent */
};

/* Where a page is made small; one serves all peers of a node. */
struct pagewire_scratch {
	uint64_t pack[PACK_SCRATCH / 8];
	uint8_t small[PAGEWIRE_MAX];
};

/* `mem` has PAGEWIRE_BYTES. */
void pagewire_init(struct pagewire *w, void *mem);

/* The page as it is to travel; `parcel->bytes` is the page itself or in `scratch`. */
void pagewire_send(struct pagewire *w, struct pagewire_scratch *scratch, gfn_t gfn,
		   const void *page, struct page_parcel *parcel);

/* The page that came, into the 4 KiB at `page`. False when it means nothing here; `page` may be spoilt. */
bool pagewire_receive(struct pagewire *w, const struct page_parcel *parcel, void *page) MUST_CHECK;

#endif
