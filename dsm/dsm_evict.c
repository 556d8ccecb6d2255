/* Frames of the cache: which copy goes when they run out. */
#include "dsm/dsm_state.h"

bool evictable(const struct page *p)
{
	return p->used && p->state != PAGE_NONE && !p->pend && !p->evict && !p->flushing &&
	       !p->read_holds && !p->write_holds && p->q_head == DSM_NIL;
}

/* Second chance: a copy that was asked for since the hand last came by stays. */
static struct page *victim(struct dsm *d)
{
	struct page *pages = dsm_pages(d);

	for (uint32_t i = 0; i < 2 * d->cfg.cache_frames; i++) {
		struct page *p = &pages[d->clock_hand];

		d->clock_hand = (d->clock_hand + 1) % d->cfg.cache_frames;
		if (!evictable(p))
			continue;
		if (!p->touched)
			return p;
		p->touched = false;
	}
	return NULL;
}

void evict_send(struct step *s, struct page *p)
{
	struct dsm_msg m = {.type = DSM_PUT, .gfn = p->gfn, .version = p->version};
	bool owner = p->state != PAGE_SHARED;

	if (DSM_MUTANT(MUT_EVICT_CLEAN_LOSES) && p->state == PAGE_OWNED)
		owner = false;
	m.flags = owner ? DSM_F_PAGE : 0;
	p->evict = EVICT_SENT;
	dsm_count(s->d)->evict_dirty += owner;
	dsm_count(s->d)->evict_clean += !owner;
	step_send(s, dsm_home(s->d, p->gfn), &m, p);
	if (DSM_MUTANT(MUT_EVICT_FORGETS_DATA))
		p->state = PAGE_NONE;
	if (DSM_MUTANT(MUT_DROP_EARLY))
		page_act(s, DSM_ACT_DROP, p);
}

void evict_start(struct step *s, struct page *p)
{
	s->d->evicting++;
	p->evict = EVICT_FLUSH;
	if (p->mapped != DSM_PERM_NONE)
		page_kick(s, p, DSM_PERM_NONE);
	if (p->mapped == DSM_PERM_NONE || DSM_MUTANT(MUT_EVICT_NO_FLUSH))
		evict_send(s, p);
}

void evict_some(struct step *s)
{
	struct dsm *d = s->d;
	const struct agent *agents = dsm_agents(d);
	uint32_t wanted = 0, most = MAX(MAX(d->cfg.agents, d->cfg.cache_reserve), 1u);
	int64_t left = DSM_MUTANT(MUT_WISH_NO_ROOM) ? MAX(frames_left(d), 0) : frames_left(d);

	for (uint32_t i = 0; i < d->cfg.agents; i++)
		wanted += agents[i].state == AGENT_WAIT && agents[i].no_frame;
	wanted = MAX(wanted, d->cfg.cache_reserve);
	/* However many homed pages wait: only so many are under way at a time. */
	while (left + d->evicting < wanted && d->evicting < most) {
		struct page *p = victim(d);

		if (!p)
			return;
		evict_start(s, p);
	}
}
