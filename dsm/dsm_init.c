/* Checks a configuration, lays out the one block of memory and starts with all pages at their homes. */
#include "dsm/dsm_state.h"
#include "hv/base/string.h"

/* Offsets grow in this order; everything is 16-byte aligned. */
static size_t take(size_t *end, uint64_t count, size_t each)
{
	size_t at = (size_t)align_up(*end, 16);

	*end = at + (size_t)count * each;
	return at;
}

static uint32_t pow2_above(uint32_t n)
{
	uint32_t p = 16;

	while (p < n)
		p *= 2;
	return p;
}

static uint32_t slots_of(const struct dsm_config *cfg, uint16_t node)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < cfg->slot_count; i++)
		n += cfg->slots[i] == node;
	return n;
}

/* Fills in all sizes and offsets and returns the bytes needed. */
static size_t layout(struct dsm *d, const struct dsm_config *cfg)
{
	uint64_t stripes = (cfg->gfns + BIT(cfg->stripe_shift) - 1) >> cfg->stripe_shift;
	uint64_t rounds = (stripes + cfg->slot_count - 1) / cfg->slot_count;
	uint32_t requests = (uint32_t)cfg->nodes * (cfg->peer_agents + cfg->ahead_max);
	size_t end = sizeof(*d);

	d->home_stripes = slots_of(cfg, cfg->self);
	d->home_pages = rounds * d->home_stripes << cfg->stripe_shift;
	d->copy_words = BITMAP_WORDS(cfg->nodes);
	/* Every request on its way keeps at most one homed page busy, every agent what it holds. */
	d->pages = cfg->cache_frames + requests + 2 +
		   (uint32_t)cfg->agents * (cfg->set_max + cfg->kept_max + 1u);
	d->buckets = pow2_above(d->pages);
	d->items = requests + cfg->agents;
	d->self_room = 4u * cfg->agents + 2u * cfg->ahead_max + 16;
	d->off_slots = take(&end, cfg->slot_count, sizeof(uint16_t));
	d->off_ranks = take(&end, cfg->slot_count, sizeof(uint16_t));
	d->off_agents = take(&end, cfg->agents, sizeof(struct agent));
	d->off_kept = take(&end, (uint64_t)cfg->agents * cfg->kept_max, sizeof(struct kept));
	d->off_self = take(&end, d->self_room, sizeof(struct dsm_msg));
	d->wish_room = requests;
	d->off_wishes = take(&end, requests, sizeof(struct wish));
	d->off_buckets = take(&end, d->buckets, sizeof(uint32_t));
	d->off_pages = take(&end, d->pages, sizeof(struct page));
	d->off_items = take(&end, d->items, sizeof(struct item));
	d->off_dir = take(&end, d->home_pages, dsm_directory_bytes(d));
	d->off_guesses = take(&end, cfg->guesses, sizeof(struct guess));
	d->off_stats = take(&end, 1, sizeof(struct dsm_stats));
	d->off_heat = take(&end, (uint64_t)cfg->heat_sets * HEAT_WAYS, sizeof(struct dsm_heat));
	return end;
}

static int check_nodes(const struct dsm_config *c, struct why *why)
{
	if (c->nodes < 1 || c->nodes > DSM_NODES_MAX)
		return why_set(why, ERR_RANGE,
			       "dsm: %u nodes were asked for; 1 to %u can share memory", c->nodes,
			       DSM_NODES_MAX);
	if (c->self >= c->nodes)
		return why_set(why, ERR_RANGE,
			       "dsm: this node's number %u is not below the %u nodes", c->self,
			       c->nodes);
	if (c->slot_count < 1 || c->slot_count > UINT16_MAX || c->stripe_shift > 30 || !c->slots)
		return why_set(why, ERR_RANGE,
			       "dsm: the table of homes has %u slots of 2^%u pages; "
			       "1 to 65535 of at most 2^30 are expected",
			       c->slot_count, c->stripe_shift);
	for (uint32_t i = 0; i < c->slot_count; i++) {
		if (c->slots[i] >= c->nodes)
			return why_set(why, ERR_RANGE,
				       "dsm: slot %u of the table of homes names node %u of %u", i,
				       c->slots[i], c->nodes);
	}
	return 0;
}

uint32_t dsm_copies_least(const struct dsm_config *c)
{
	return (uint32_t)c->agents * (c->set_max + c->kept_max) + c->ahead_max;
}

static int check_sizes(const struct dsm_config *c, struct why *why)
{
	if (c->agents < 1 || c->agents > c->peer_agents)
		return why_set(why, ERR_RANGE,
			       "dsm: %u agents here; 1 to the cluster's most, %u, are expected",
			       c->agents, c->peer_agents);
	if (c->set_max < 1 || c->set_max > DSM_SET_MAX)
		return why_set(why, ERR_RANGE,
			       "dsm: an agent may hold %u pages; 1 to %u are expected", c->set_max,
			       DSM_SET_MAX);
	if (c->gfns < 1 || c->gfns > BIT(40))
		return why_set(why, ERR_RANGE,
			       "dsm: the guest has %llu frames; 1 to 2^40 are expected",
			       (unsigned long long)c->gfns);
	if (c->cache_frames < dsm_copies_least(c) + 1)
		return why_set(why, ERR_RANGE,
			       "dsm: %u frames for other nodes' pages are too few for %u agents "
			       "with %u pages each and %u pages asked for ahead; "
			       "give the node more memory",
			       c->cache_frames, c->agents, c->set_max + c->kept_max, c->ahead_max);
	if (c->frames && c->frames <= dsm_copies_least(c))
		return why_set(why, ERR_RANGE,
			       "dsm: %llu frames in all are too few for %u agents "
			       "with %u pages each and %u pages asked for ahead; "
			       "give the node more memory",
			       (unsigned long long)c->frames, c->agents, c->set_max + c->kept_max,
			       c->ahead_max);
	if (c->cache_reserve >= c->cache_frames)
		return why_set(why, ERR_RANGE,
			       "dsm: a reserve of %u free frames of %u leaves none to use",
			       c->cache_reserve, c->cache_frames);
	return 0;
}

size_t dsm_size(const struct dsm_config *cfg, struct why *why)
{
	struct dsm d;

	if (check_nodes(cfg, why) < 0 || check_sizes(cfg, why) < 0)
		return 0;
	return layout(&d, cfg);
}

uint32_t dsm_actions_max(const struct dsm_config *cfg)
{
	uint32_t agents = cfg->agents, set = cfg->set_max;

	/*
	 * First the messages: a home that answers, or a page whose queue is served, sends at most one to
	 * each node; that happens for what came, and for each page or agent that goes on because of it. It
	 * can drop a frame, for which a home that waits for one answers, too. Then what each agent maps,
	 * fills and resumes; what eviction takes; and for each page asked for ahead a request, or zeros and
	 * a mapping.
	 */
	return (2u * cfg->nodes + 5) * (agents * (1u + cfg->kept_max) + set + 2) +
	       agents * (4 * set + 6) + 3u * cfg->ahead_max + 2 * cfg->cache_reserve + 16;
}

static void fill_slots(struct dsm *d, const struct dsm_config *cfg)
{
	uint16_t *slots = dsm_at(d, d->off_slots), *ranks = dsm_at(d, d->off_ranks);
	uint16_t rank = 0;

	/* Only this node's own ranks are ever looked up. */
	for (uint32_t i = 0; i < cfg->slot_count; i++) {
		slots[i] = cfg->slots[i];
		ranks[i] = rank;
		rank = (uint16_t)(rank + (cfg->slots[i] == cfg->self));
	}
}

static void fill_lists(struct dsm *d)
{
	struct page *pages = dsm_pages(d);
	struct item *items = dsm_items(d);
	uint32_t *buckets = dsm_at(d, d->off_buckets);
	uint32_t cache = d->cfg.cache_frames;

	for (uint32_t i = 0; i < d->buckets; i++)
		buckets[i] = DSM_NIL;
	for (uint32_t i = 0; i < d->pages; i++)
		pages[i].next = i + 1 == cache || i + 1 == d->pages ? DSM_NIL : i + 1;
	for (uint32_t i = 0; i < d->items; i++)
		items[i].next = i + 1 == d->items ? DSM_NIL : i + 1;
	d->free_cache = 0;
	d->free_busy = cache;
	d->free_item = 0;
	d->frames_free = cache;
	d->frames_spare = d->cfg.frames ? d->cfg.frames : d->home_pages + cache;
	d->homes_left = d->frames_spare - dsm_copies_least(&d->cfg);
}

struct dsm *dsm_init(void *mem, const struct dsm_config *cfg)
{
	struct dsm *d = mem;
	uint64_t *dir;
	size_t size;

	memset(d, 0, sizeof(*d));
	size = layout(d, cfg);
	memset(d + 1, 0, size - sizeof(*d));
	d->cfg = *cfg;
	d->cfg.slots = NULL;
	fill_slots(d, cfg);
	fill_lists(d);
	dir = dsm_at(d, d->off_dir);
	for (uint64_t i = 0; i < d->home_pages; i++, dir += 1 + d->copy_words) {
		dir_set(dir, DIR_OWNER, cfg->self);
		dir_set(dir, DIR_STATE, PAGE_SHARED);
		bitmap_set(dir + 1, cfg->self);
	}
	return d;
}
