/*
 * Which pages are read only to be written soon: data under a lock goes from node to node that way, and would
 * cost each of them a fetch for the read and an upgrade for the write (migratory sharing). A page that was
 * upgraded here often enough is asked for with the right to write at once. It is mapped for reading only at
 * first, so that a fault that costs no message tells whether the guess was right; one that was wrong takes
 * the page back to where it began. A guess is a write fault that the guest has not made, which it might at
 * any time: nothing that is shown of the protocol depends on it.
 *
 * Left out: a mark at the home, which would see the pattern of all nodes at once. Its answer would differ
 * from what was asked, and it would need the copies' history in the directory's 16 bytes.
 */
#include "dsm/dsm_state.h"

#define SCORE_MAX 3

static struct guess *slot_of(const struct dsm *d, gfn_t gfn)
{
	struct guess *all = dsm_at(d, d->off_guesses);

	return &all[(gfn * 0x9e3779b97f4a7c15ull >> 40) % d->cfg.guesses];
}

struct guess *guess_find(const struct dsm *d, gfn_t gfn)
{
	struct guess *g;

	if (!d->cfg.guesses)
		return NULL;
	g = slot_of(d, gfn);
	return g->score && g->gfn == gfn ? g : NULL;
}

bool guess_write(struct dsm *d, gfn_t gfn)
{
	struct guess *g = guess_find(d, gfn);

	if (!g || g->score < d->cfg.guess_from)
		return false;
	g->open = true;
	dsm_count(d)->guesses++;
	return true;
}

bool guess_open(const struct dsm *d, gfn_t gfn)
{
	const struct guess *g = guess_find(d, gfn);

	return g && g->open;
}

void guess_written(struct dsm *d, gfn_t gfn)
{
	struct guess *g = guess_find(d, gfn);

	if (!d->cfg.guesses)
		return;
	if (!g) {
		g = slot_of(d, gfn);
		*g = (struct guess){.gfn = gfn};
	}
	g->score = (uint8_t)MIN(g->score + 1, SCORE_MAX);
	g->open = false;
}

void guess_lost(struct dsm *d, gfn_t gfn)
{
	struct guess *g = guess_find(d, gfn);

	if (!g || !g->open)
		return;
	*g = (struct guess){0};
	dsm_count(d)->guesses_wrong++;
}
