#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/model/world.h"

struct world_config world_cfg;

#ifdef DSM_MUTANTS
unsigned dsm_mutant;
#endif

static struct dsm_config node_config(unsigned self)
{
	return (struct dsm_config){
		.nodes = world_cfg.nodes,
		.self = (uint16_t)self,
		.agents = world_cfg.agents,
		.peer_agents = world_cfg.agents,
		.set_max = world_cfg.set_max,
		.kept_max = world_cfg.kept_max,
		.guesses = world_cfg.guesses,
		.guess_from = 1,
		.ahead_max = world_cfg.ahead_max,
		.ahead_from = 1,
		.ahead_shift = 2,
		.gfns = world_cfg.pages,
		.slot_count = world_cfg.pages,
		.slots = world_cfg.home,
		.cache_frames = world_cfg.agents * (world_cfg.set_max + world_cfg.kept_max) +
				world_cfg.ahead_max + 1u + (world_cfg.frames[self] ? W_PAGES : 0),
		.frames = world_cfg.frames[self],
		.hold_ns = 1000,
		.hold_max_ns = 100000,
	};
}

void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	for (unsigned n = 0; n < world_cfg.nodes; n++) {
		struct dsm_config cfg = node_config(n);
		struct why why;
		size_t size = dsm_size(&cfg, &why);
		struct dsm *d;

		if (!size) {
			fprintf(stderr, "model: %s\n", why.text);
			exit(2);
		}
		/* The statistics come last; they are made here, left out and not missed. */
		static _Alignas(16) uint8_t whole[4 * W_BYTES];

		if (size > sizeof(whole)) {
			fprintf(stderr, "model: an engine of %zu bytes is too large\n", size);
			exit(2);
		}
		d = dsm_init(whole, &cfg);
		if (d->off_stats > W_BYTES || d->home_pages + cfg.cache_frames > W_FRAMES) {
			fprintf(stderr, "model: a world has no room for %zu bytes\n", d->off_stats);
			exit(2);
		}
		memcpy(w->node[n].bytes, d, d->off_stats);
	}
}

static void back(struct world *w, unsigned node, uint64_t frame)
{
	w->backed[node] |= (uint16_t)BIT(frame);
	if (world_cfg.frames[node] &&
	    (unsigned)__builtin_popcount(w->backed[node]) > world_cfg.frames[node])
		w->broken = "a node needs more frames than it has";
}

static void carry_out(struct world *w, unsigned node, const struct dsm_action *a, uint8_t content)
{
	struct world_chan *c;

	switch (a->kind) {
	case DSM_ACT_SEND:
		c = &w->chan[node][a->node][dsm_msg_class(&a->msg)];
		if (c->count == W_CHAN) {
			w->broken = "a channel of the model is full";
			return;
		}
		c->q[c->count++] = (struct world_msg){
			a->msg, a->msg.flags & DSM_F_PAGE ? w->content[node][a->frame] : 0};
		return;
	case DSM_ACT_FILL:
		w->content[node][a->frame] = content;
		back(w, node, a->frame);
		return;
	case DSM_ACT_ZERO:
		w->content[node][a->frame] = w->zero[a->gfn];
		back(w, node, a->frame);
		return;
	case DSM_ACT_DROP:
		w->content[node][a->frame] = 0;
		w->backed[node] &= (uint16_t)~BIT(a->frame);
		return;
	case DSM_ACT_MAP:
		w->tlb[node][a->gfn].perm = (uint8_t)a->perm;
		w->tlb[node][a->gfn].frame = (uint8_t)a->frame;
		return;
	case DSM_ACT_KICK:
		w->tlb[node][a->gfn].kick = (uint8_t)(1 + a->perm);
		return;
	case DSM_ACT_RESUME:
		w->resumed[node][a->agent] = 1;
		return;
	case DSM_ACT_STOP:
		return;
	}
}

static void chan_copy(struct world_chan *to, const struct world_chan *from)
{
	to->count = from->count;
	memcpy(to->q, from->q, from->count * sizeof(from->q[0]));
}

void world_copy(struct world *to, const struct world *from)
{
	unsigned nodes = world_cfg.nodes;

	for (unsigned n = 0; n < nodes; n++) {
		memcpy(to->node[n].bytes, from->node[n].bytes, world_dsm(from, n)->off_stats);
		for (unsigned i = 0; i < 2 * nodes; i++)
			chan_copy(&to->chan[n][i / 2][i % 2], &from->chan[n][i / 2][i % 2]);
	}
	memcpy(&to->tlb, &from->tlb, sizeof(*to) - offsetof(struct world, tlb));
}

int world_step(struct world *w, unsigned node, const struct dsm_event *in, uint8_t content)
{
	/* Room for statistics behind the state, so that the engine can count. */
	static _Alignas(16) uint8_t scratch[4 * W_BYTES];
	static struct dsm_action list[512];
	struct dsm_actions out = {.list = list, .room = 512};
	struct dsm *d = (struct dsm *)(void *)scratch;
	size_t size = world_dsm(w, node)->off_stats;
	int err;

	memcpy(d, world_dsm(w, node), size);
	err = dsm_step(d, in, &out);
	memcpy(world_dsm(w, node), d, size);
	for (uint32_t i = 0; i < out.count; i++)
		carry_out(w, node, &list[i], content);
	if (w->lost[node] && out.count && in->kind != DSM_EV_PEER_LOST)
		w->broken = "a node served memory after another was lost";
	if (w->lost[node])
		return err;
	if (d->stopped)
		w->broken = d->stopped;
	else if (err)
		w->broken = "the engine refused an event";
	return err;
}

void world_deliver(struct world *w, unsigned from, unsigned to, unsigned class)
{
	struct world_chan *c = &w->chan[from][to][class];
	struct world_msg m = c->q[0];
	struct dsm_event in = {.kind = DSM_EV_MESSAGE, .peer = (uint16_t)from, .msg = m.m};

	c->count--;
	memmove(&c->q[0], &c->q[1], c->count * sizeof(c->q[0]));
	world_step(w, to, &in, m.content);
}

void world_flush(struct world *w, unsigned node, unsigned page)
{
	struct world_tlb *t = &w->tlb[node][page];
	struct dsm_event in = {.kind = DSM_EV_FLUSHED, .gfn = page};

	t->perm = (uint8_t)MIN(t->perm, t->kick - 1);
	t->kick = 0;
	world_step(w, node, &in, 0);
}

void world_fault(struct world *w, unsigned node, unsigned agent, unsigned page, bool write,
		 uint64_t cookie)
{
	struct dsm_event in = {.kind = DSM_EV_FAULT,
			       .agent = (uint16_t)agent,
			       .gfn = page,
			       .access = write ? DSM_WRITE : DSM_READ,
			       .cookie = cookie};

	w->resumed[node][agent] = 0;
	world_step(w, node, &in, 0);
}

void world_release(struct world *w, unsigned node, unsigned agent)
{
	struct dsm_event in = {.kind = DSM_EV_RELEASE, .agent = (uint16_t)agent};

	w->resumed[node][agent] = 0;
	world_step(w, node, &in, 0);
}

void world_lose(struct world *w, unsigned node, unsigned gone)
{
	struct dsm_event in = {.kind = DSM_EV_PEER_LOST, .peer = (uint16_t)gone};

	w->lost[node] = 1;
	world_step(w, node, &in, 0);
}

void world_evict(struct world *w, unsigned node, struct page *p)
{
	static _Alignas(16) uint8_t scratch[4 * W_BYTES];
	static struct dsm_action list[64];
	struct dsm_actions out = {.list = list, .room = 64};
	struct dsm *d = (struct dsm *)(void *)scratch;
	size_t size = world_dsm(w, node)->off_stats;
	struct step s = {d, &out};

	memcpy(d, world_dsm(w, node), size);
	evict_start(&s, page_find(d, p->gfn));
	memcpy(world_dsm(w, node), d, size);
	for (uint32_t i = 0; i < out.count; i++)
		carry_out(w, node, &list[i], 0);
}

/* A request for a page that no agent needs yet can be all that waits. */
static bool waits_for_hold(const struct dsm *d, gfn_t gfn)
{
	const struct page *p = page_find(d, gfn);

	return p && p->q_head != DSM_NIL && (p->read_holds || p->write_holds);
}

bool world_quiet(const struct world *w)
{
	for (unsigned n = 0; n < world_cfg.nodes; n++) {
		if (world_dsm(w, n)->wish_count)
			return false;
		for (unsigned a = 0; a < world_cfg.agents; a++) {
			if (dsm_agents(world_dsm(w, n))[a].state == AGENT_WAIT)
				return false;
		}
		for (unsigned p = 0; p < world_cfg.pages; p++) {
			if (w->tlb[n][p].kick || waits_for_hold(world_dsm(w, n), p))
				return false;
		}
		for (unsigned to = 0; to < world_cfg.nodes; to++) {
			if (w->chan[n][to][0].count || w->chan[n][to][1].count)
				return false;
		}
	}
	return true;
}

/* A node's copy of a page as its engine sees it, homed pages at rest included. */
static unsigned copy_state(const struct world *w, unsigned node, unsigned page)
{
	const struct dsm *d = world_dsm(w, node);
	const struct page *p = page_find(d, page);

	if (p)
		return p->state;
	return dsm_home(d, page) == node ? (unsigned)dir_get(*dsm_dir(d, page), DIR_STATE) : 0;
}

static const char *check_rest(const struct world *w, unsigned page)
{
	const struct dsm *home = world_dsm(w, world_cfg.home[page]);
	const uint64_t *dir = dsm_dir(home, page);

	for (unsigned n = 0; n < world_cfg.nodes; n++) {
		unsigned state = copy_state(w, n, page);
		const struct page *p = page_find(world_dsm(w, n), page);
		bool owner = dir_get(*dir, DIR_OWNER) == n;

		if (bitmap_test(dir + 1, n) != (state != PAGE_NONE))
			return "at rest the copyset differs from the copies";
		if (state > PAGE_SHARED && !owner)
			return "at rest a node owns a page against the directory";
		if (owner && n != world_cfg.home[page] && state < PAGE_OWNED)
			return "at rest the directory's owner does not own the page";
		if (p && state && p->version != dir_get(*dir, DIR_VERSION))
			return "at rest a copy has another version than the directory";
		if (p && (p->pend || p->q_head != DSM_NIL))
			return "at rest a request is left over";
	}
	return NULL;
}

const char *world_check(const struct world *w)
{
	bool rest = world_quiet(w);

	if (w->broken)
		return w->broken;
	for (unsigned n = 0; n < world_cfg.nodes; n++)
		rest &= !w->lost[n];
	for (unsigned p = 0; p < world_cfg.pages; p++) {
		unsigned readers = 0, writers = 0;

		for (unsigned n = 0; n < world_cfg.nodes; n++) {
			readers += w->tlb[n][p].perm == DSM_PERM_READ;
			writers += w->tlb[n][p].perm == DSM_PERM_WRITE;
		}
		if (writers > 1 || (writers && readers))
			return "a page is writable at one node and mapped at another";
		if (rest && check_rest(w, p))
			return check_rest(w, p);
	}
	return NULL;
}

static void print_page(const struct world *w, unsigned n, unsigned p)
{
	static const char *const states[] = {"-", "S", "O", "M"};
	static const char *const perms[] = {"-", "r", "w"};
	const struct page *page = page_find(world_dsm(w, n), p);

	printf("  n%u p%u %s tlb=%s%s", n, p, states[copy_state(w, n, p)], perms[w->tlb[n][p].perm],
	       w->tlb[n][p].kick ? " flushing" : "");
	if (page) {
		printf(" v%llu pend=%u granted=%llu acks=%d evict=%u holds=%u/%u",
		       (unsigned long long)page->version, page->pend,
		       (unsigned long long)page->granted, page->acks, page->evict, page->read_holds,
		       page->write_holds);
		for (uint32_t i = page->q_head; i != DSM_NIL;
		     i = dsm_items(world_dsm(w, n))[i].next) {
			const struct item *it = &dsm_items(world_dsm(w, n))[i];

			printf(" [%s v%llu for n%u]", dsm_msg_name(it->type),
			       (unsigned long long)it->version, it->requester);
		}
	}
	if (world_cfg.home[p] == n) {
		const uint64_t *dir = dsm_dir(world_dsm(w, n), p);

		printf("  home: v%llu owner=n%llu copies=%#llx",
		       (unsigned long long)dir_get(*dir, DIR_VERSION),
		       (unsigned long long)dir_get(*dir, DIR_OWNER), (unsigned long long)dir[1]);
	}
	putchar('\n');
}

void world_print(const struct world *w)
{
	for (unsigned n = 0; n < world_cfg.nodes; n++) {
		for (unsigned p = 0; p < world_cfg.pages; p++)
			print_page(w, n, p);
		for (unsigned a = 0; a < world_cfg.agents; a++) {
			const struct agent *agent = &dsm_agents(world_dsm(w, n))[a];

			printf("  n%u agent %u state=%u waits for p%llu\n", n, a, agent->state,
			       (unsigned long long)agent->waiting);
		}
		for (unsigned i = 0; i < 2 * world_cfg.nodes; i++) {
			const struct world_chan *c = &w->chan[n][i / 2][i % 2];

			for (unsigned k = 0; k < c->count; k++)
				printf("  n%u->n%u %s p%llu v%llu acks=%u for n%u\n", n, i / 2,
				       dsm_msg_name(c->q[k].m.type),
				       (unsigned long long)c->q[k].m.gfn,
				       (unsigned long long)c->q[k].m.version, c->q[k].m.acks,
				       c->q[k].m.requester);
		}
	}
}
