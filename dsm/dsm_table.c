/* The directory's words, the pages' hash table, and the lists of free records. */
#include "dsm/dsm_state.h"
#include "hv/base/string.h"

static uint32_t slot_of(const struct dsm *d, gfn_t gfn)
{
	return (uint32_t)((gfn >> d->cfg.stripe_shift) % d->cfg.slot_count);
}

uint16_t dsm_home(const struct dsm *d, gfn_t gfn)
{
	const uint16_t *slots = dsm_at(d, d->off_slots);

	return slots[slot_of(d, gfn)];
}

uint64_t dsm_home_frames(const struct dsm *d)
{
	return d->home_pages;
}

size_t dsm_directory_bytes(const struct dsm *d)
{
	return sizeof(uint64_t) * (1 + d->copy_words);
}

/* Stripes of this home lie one after another in its directory. */
uint64_t dsm_home_index(const struct dsm *d, gfn_t gfn)
{
	const uint16_t *ranks = dsm_at(d, d->off_ranks);
	uint64_t round = (gfn >> d->cfg.stripe_shift) / d->cfg.slot_count;
	uint64_t stripe = round * d->home_stripes + ranks[slot_of(d, gfn)];

	return stripe << d->cfg.stripe_shift | (gfn & (BIT(d->cfg.stripe_shift) - 1));
}

uint64_t *dsm_dir(const struct dsm *d, gfn_t gfn)
{
	uint64_t *dir = dsm_at(d, d->off_dir);

	return dir + dsm_home_index(d, gfn) * (1 + d->copy_words);
}

bool page_homed(const struct dsm *d, const struct page *p)
{
	return (uint32_t)(p - dsm_pages(d)) >= d->cfg.cache_frames;
}

uint64_t page_frame(const struct dsm *d, const struct page *p)
{
	if (page_homed(d, p))
		return dsm_home_index(d, p->gfn);
	return d->home_pages + (uint64_t)(p - dsm_pages(d));
}

static uint32_t *bucket_of(const struct dsm *d, gfn_t gfn)
{
	uint32_t *buckets = dsm_at(d, d->off_buckets);

	return &buckets[(gfn * 0x9e3779b97f4a7c15ull >> 32) & (d->buckets - 1)];
}

struct page *page_find(const struct dsm *d, gfn_t gfn)
{
	struct page *pages = dsm_pages(d);

	for (uint32_t i = *bucket_of(d, gfn); i != DSM_NIL; i = pages[i].next) {
		if (pages[i].gfn == gfn)
			return &pages[i];
	}
	return NULL;
}

struct page *page_get(struct dsm *d, gfn_t gfn)
{
	struct page *p = page_find(d, gfn);
	bool homed = dsm_home(d, gfn) == d->cfg.self;
	uint32_t *list = homed ? &d->free_busy : &d->free_cache;
	uint32_t *bucket = bucket_of(d, gfn);
	uint32_t i = *list;

	if (p || i == DSM_NIL || (!homed && frames_left(d) <= 0))
		return p;
	p = &dsm_pages(d)[i];
	*list = p->next;
	*p = (struct page){
		.gfn = gfn, .next = *bucket, .q_head = DSM_NIL, .q_tail = DSM_NIL, .used = true};
	*bucket = i;
	if (homed) {
		uint64_t *dir = dsm_dir(d, gfn);

		p->state = (uint8_t)dir_get(*dir, DIR_STATE);
		p->mapped = (uint8_t)dir_get(*dir, DIR_MAPPED);
		p->version = dir_get(*dir, DIR_VERSION);
		*dir |= DIR_BUSY;
	} else {
		d->frames_free--;
		d->frames_spare--;
	}
	return p;
}

void page_free(struct dsm *d, struct page *p)
{
	uint32_t i = (uint32_t)(p - dsm_pages(d));
	uint32_t *link = bucket_of(d, p->gfn);
	uint32_t *list = page_homed(d, p) ? &d->free_busy : &d->free_cache;

	while (*link != i)
		link = &dsm_pages(d)[*link].next;
	*link = p->next;
	if (page_homed(d, p)) {
		uint64_t *dir = dsm_dir(d, p->gfn);

		dir_set(dir, DIR_STATE, p->state);
		dir_set(dir, DIR_MAPPED, p->mapped);
		*dir &= ~DIR_BUSY;
	} else {
		d->frames_free++;
		d->frames_spare += !DSM_MUTANT(MUT_DROP_NEVER);
	}
	*p = (struct page){.next = *list};
	*list = i;
}

struct item *item_push(struct dsm *d, struct page *p)
{
	struct item *items = dsm_items(d);
	uint32_t i = d->free_item;

	if (i == DSM_NIL)
		return NULL;
	d->free_item = items[i].next;
	items[i].next = DSM_NIL;
	if (p->q_head == DSM_NIL)
		p->q_head = i;
	else
		items[p->q_tail].next = i;
	p->q_tail = i;
	return &items[i];
}

void item_pop(struct dsm *d, struct page *p)
{
	struct item *items = dsm_items(d);
	uint32_t i = p->q_head;

	p->q_head = items[i].next;
	items[i] = (struct item){.next = d->free_item};
	d->free_item = i;
}
