/*
 * Pages that are about to be written for the first time, one after the other: an image that is unpacked,
 * memory that the guest clears before it hands it out. Each would cost a fault, and most of them a round
 * trip, to learn that the page is all zeros. Where a page is to be written and those before it were written
 * first by this node, it asks for as many after it as there are before it, at most `ahead_max`; the requests
 * and their grants go together in a frame or two. A page that comes so is mapped at once and held for nobody.
 * To the protocol it is a write fault that the guest might have made, like those of dsm_guess.c; so it must
 * be memory, which the engine can't tell: what is asked for ahead ends where `ahead_shift` says that a hole
 * may begin.
 *
 * Left out: one request for a run of pages. The home would grant what it finds unwritten, one message each
 * way; but a grant whose extent nobody asked for needs states of its own at both ends, and homes change every
 * few pages.
 */
#include "dsm/dsm_state.h"

static bool first_written_here(const struct dsm *d, gfn_t gfn)
{
	const struct page *p = page_find(d, gfn);
	uint64_t dir;

	if (p)
		return p->state == PAGE_WRITABLE && p->version == 1;
	if (dsm_home(d, gfn) != d->cfg.self)
		return false;
	dir = *dsm_dir(d, gfn);
	return dir_get(dir, DIR_STATE) == PAGE_WRITABLE && dir_get(dir, DIR_VERSION) == 1;
}

static uint32_t run_before(const struct dsm *d, gfn_t gfn)
{
	uint32_t count = 0;

	while (count < d->cfg.ahead_max && count < gfn && first_written_here(d, gfn - 1 - count))
		count++;
	return count;
}

/* Nothing is known here that speaks against the page never having been written, and there is room for it. */
static bool may_be_new(const struct dsm *d, gfn_t gfn)
{
	const uint64_t *dir;

	int64_t kept_free = (int64_t)d->cfg.cache_reserve + d->cfg.ahead_max;

	if (gfn >= d->cfg.gfns || page_find(d, gfn))
		return false;
	if (dsm_home(d, gfn) != d->cfg.self)
		return frames_left(d) > kept_free;
	if ((int64_t)d->frames_spare - (int64_t)d->wish_count <= kept_free)
		return false;
	dir = dsm_dir(d, gfn);
	if (dir_get(*dir, DIR_VERSION) != 0)
		return false;
	for (uint32_t w = 0; w < d->copy_words; w++)
		if (dir[1 + w] & ~(w == d->cfg.self / 64 ? BIT(d->cfg.self % 64) : 0))
			return false;
	return true;
}

void ahead_ask(struct step *s, gfn_t gfn)
{
	struct dsm *d = s->d;
	uint32_t count = run_before(d, gfn);
	gfn_t end = MIN(gfn + 1 + count, align_up(gfn + 1, BIT(d->cfg.ahead_shift)));

	if (count < d->cfg.ahead_from)
		return;
	for (gfn++; gfn < end && d->aheads < d->cfg.ahead_max && may_be_new(d, gfn); gfn++) {
		struct page *p = page_get(d, gfn);

		p->ahead = true;
		d->aheads++;
		dsm_count(d)->aheads++;
		if (DSM_MUTANT(MUT_AHEAD_MAPPED_EARLY)) {
			p->state = PAGE_WRITABLE;
			page_map(s, p, true);
			p->state = PAGE_NONE;
		}
		page_ask(s, p, true);
	}
}

void ahead_came(struct step *s, struct page *p)
{
	p->ahead = false;
	s->d->aheads--;
	if (p->q_head == DSM_NIL)
		page_map(s, p, true);
	/* Nobody has used it yet: it is the first to go. */
	p->touched = false;
}
