#include "tests/model/hash.h"

bool world_stale_alike;

void hash_mix(struct hash *h, uint64_t v)
{
	h->a = (h->a ^ v) * 0x9fb21c651e98df25ull;
	h->a ^= h->a >> 32;
	h->b = (h->b + v) * 0xd6e8feb86659fd93ull;
	h->b ^= h->b >> 29;
}

/* Versions count only as how far they are behind the directory's, and whether they are the first. */
static uint64_t version_code(uint64_t dir, uint64_t v)
{
	return ((dir - v + 1) & 0x3f) | (uint64_t)(v == 0) << 6;
}

static uint64_t dir_version(const struct world *w, unsigned page)
{
	const struct dsm *home = world_dsm(w, world_cfg.home[page]);

	return dir_get(*dsm_dir(home, page), DIR_VERSION);
}

static uint64_t map_set(const struct symmetry *y, uint64_t set)
{
	uint64_t out = 0;

	for (unsigned n = 0; n < world_cfg.nodes; n++)
		out |= (set >> n & 1) << y->node[n];
	return out;
}

static void mix_page(struct hash *h, const struct symmetry *y, const struct world *w, unsigned n,
		     unsigned page)
{
	const struct dsm *d = world_dsm(w, n);
	const struct page *p = page_find(d, page);
	const struct world_tlb *t = &w->tlb[n][page];
	uint64_t ver = dir_version(w, page);
	uint64_t word = t->perm | t->kick << 2;

	if (p) {
		uint64_t frame = page_frame(d, p);
		bool live = p->state || p->granted || t->perm;

		word |= 1u << 4 | p->state << 5 | p->mapped << 7 | p->pend << 9 | p->evict << 11 |
			p->flushing << 13 | p->flush_to << 14;
		word |= live ? (uint64_t)w->content[n][frame] << 48 : 0;
		word |= (uint64_t)(p->acks & 0xf) << 17 | (uint64_t)(p->read_holds & 7) << 21 |
			(uint64_t)(p->write_holds & 7) << 24;
		word |= (p->state ? version_code(ver, p->version) : 0) << 28;
		word |= (p->granted ? version_code(ver, p->granted) : 0x7f) << 36;
		hash_mix(h, word);
		for (uint32_t i = p->q_head; i != DSM_NIL; i = dsm_items(d)[i].next) {
			const struct item *it = &dsm_items(d)[i];

			hash_mix(h, 1 + it->type + 16 * it->flags + 256 * y->node[it->requester] +
					    4096 * it->acks +
					    65536 * version_code(ver, it->version));
		}
	} else {
		uint64_t state = 0;

		if (dsm_home(d, page) == n) {
			uint64_t dir = *dsm_dir(d, page);

			state = dir_get(dir, DIR_STATE) | dir_get(dir, DIR_MAPPED) << 2;
			if (dir_get(dir, DIR_STATE))
				state |= (uint64_t)w->content[n][dsm_home_index(d, page)] << 4;
		}
		hash_mix(h, word | state << 5);
	}
	if (guess_find(d, page))
		hash_mix(h, 1 + guess_find(d, page)->score + 8 * guess_find(d, page)->open);
	if (dsm_home(d, page) == n) {
		const uint64_t *dir = dsm_dir(d, page);

		hash_mix(h, map_set(y, dir[1]) | y->node[dir_get(*dir, DIR_OWNER)] << 8 |
				    (uint64_t)(ver == 0) << 12 | (*dir & DIR_FRAME));
	}
}

static void mix_chan(struct hash *h, const struct symmetry *y, const struct world *w,
		     const struct world_chan *c)
{
	for (unsigned i = 0; i < c->count; i++) {
		const struct dsm_msg *m = &c->q[i].m;
		uint64_t v = version_code(dir_version(w, (unsigned)m->gfn), m->version);

		if (m->type == DSM_REQ_READ ||
		    (m->type == DSM_REQ_WRITE && !(m->flags & DSM_F_HAVE)))
			v = 0;
		/* Without end a stale request could be ever staler; stale it stays, and is so treated. */
		else if (world_stale_alike && m->type == DSM_REQ_WRITE)
			v = m->version == dir_version(w, (unsigned)m->gfn);
		hash_mix(h, 1 + m->type + 16 * m->flags + 256 * y->node[m->requester] +
				    4096 * m->acks + 65536 * v + ((uint64_t)y->page[m->gfn] << 24) +
				    ((uint64_t)c->q[i].content << 28));
	}
	hash_mix(h, 0xff);
}

static uint64_t kept_code(const struct symmetry *y, const struct kept *k)
{
	return 1u | k->write << 1 | y->page[k->gfn] << 2;
}

uint64_t world_agent_code(const struct symmetry *y, const struct world *w, unsigned n, unsigned a,
			  uint64_t cookie)
{
	const struct agent *g = &dsm_agents(world_dsm(w, n))[a];
	uint64_t code =
		w->resumed[n][a] | g->state << 1 | g->count << 3 | (g->cookie == cookie) << 6;

	if (g->state == AGENT_WAIT)
		code |= (uint64_t)(1 + y->page[g->waiting]) << 8 | (uint64_t)g->no_frame << 11;
	for (uint32_t i = 0; i < g->count; i++)
		code |= (uint64_t)(1u | y->page[g->set[i].gfn] << 1 | g->set[i].write << 3 |
				   g->set[i].held << 4)
			<< (12 + 5 * i);
	for (uint32_t i = 0; i < g->kept_count; i++)
		code |= kept_code(y, &dsm_kept(world_dsm(w, n), g)[i]) << (28 + 4 * i);
	return code;
}

/* Which copy goes when a frame is needed, and which request waits for one. */
static void mix_frames(struct hash *h, const struct symmetry *y, const struct world *w, unsigned n)
{
	const struct dsm *d = world_dsm(w, n);

	hash_mix(h, d->clock_hand);
	for (uint32_t i = 0; i < d->cfg.cache_frames; i++) {
		const struct page *p = &dsm_pages(d)[i];

		hash_mix(h, p->used ? 1u + y->page[p->gfn] + 16u * p->touched : p->next + 32ull);
	}
	hash_mix(h, d->free_cache);
	for (uint32_t i = 0; i < d->wish_count; i++) {
		const struct wish *x = frame_wish(d, i);

		hash_mix(h, 1 + y->node[x->from] + 16 * y->page[x->msg.gfn] + 256 * x->msg.flags +
				    4096 * (x->msg.version == 0));
	}
}

void world_mix_node(struct hash *h, const struct symmetry *y, const struct world *w, unsigned n)
{
	hash_mix(h, w->lost[n]);
	if (world_cfg.frames[n])
		mix_frames(h, y, w, n);
	for (unsigned p = 0; p < world_cfg.pages; p++)
		mix_page(h, y, w, n, y->page_at[p]);
	for (unsigned i = 0; i < world_cfg.nodes; i++) {
		if (y->node_at[i] == n)
			continue;
		mix_chan(h, y, w, &w->chan[n][y->node_at[i]][0]);
		mix_chan(h, y, w, &w->chan[n][y->node_at[i]][1]);
	}
}
