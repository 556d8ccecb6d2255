#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim_priv.h"

uint64_t sim_random(struct sim *s, uint64_t below)
{
	uint64_t z = s->random += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return (z ^ z >> 31) % below;
}

static void *must(void *p)
{
	if (!p) {
		fprintf(stderr, "sim: out of memory\n");
		exit(2);
	}
	return p;
}

static bool earlier(const struct sim_event *a, const struct sim_event *b)
{
	return a->at < b->at || (a->at == b->at && a->seq < b->seq);
}

void sim_push(struct sim *s, struct sim_event e)
{
	size_t i = s->heap_len++;

	if (s->heap_len > s->heap_room) {
		s->heap_room = s->heap_room ? 2 * s->heap_room : 1024;
		s->heap = must(realloc(s->heap, s->heap_room * sizeof(e)));
	}
	e.seq = s->seq++;
	while (i && earlier(&e, &s->heap[(i - 1) / 2])) {
		s->heap[i] = s->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	s->heap[i] = e;
}

bool sim_pop(struct sim *s, struct sim_event *e)
{
	struct sim_event last;
	size_t i = 0;

	if (!s->heap_len)
		return false;
	*e = s->heap[0];
	last = s->heap[--s->heap_len];
	for (;;) {
		size_t c = 2 * i + 1;

		if (c >= s->heap_len)
			break;
		if (c + 1 < s->heap_len && earlier(&s->heap[c + 1], &s->heap[c]))
			c++;
		if (!earlier(&s->heap[c], &last))
			break;
		s->heap[i] = s->heap[c];
		i = c;
	}
	if (s->heap_len)
		s->heap[i] = last;
	return true;
}

void sim_wrong(struct sim *s, const char *what)
{
	if (!s->r.wrong)
		s->r.wrong = what;
}

static void back(struct sim *s, struct sim_node *node, uint64_t frame)
{
	node->backed_count += !node->backed[frame];
	node->backed[frame] = true;
	if (node->backed_count > node->frames)
		sim_wrong(s, "a node needs more frames than it has");
}

static void carry_out(struct sim *s, uint16_t n, const struct dsm_action *a, uint64_t content)
{
	struct sim_node *node = &s->nodes[n];

	switch (a->kind) {
	case DSM_ACT_SEND:
		sim_send(s, n, a);
		return;
	case DSM_ACT_FILL:
		back(s, node, a->frame);
		node->content[a->frame] = content;
		return;
	case DSM_ACT_ZERO:
		back(s, node, a->frame);
		node->content[a->frame] = 0;
		return;
	case DSM_ACT_DROP:
		node->backed_count -= node->backed[a->frame];
		node->backed[a->frame] = false;
		node->content[a->frame] = NOBODYS;
		return;
	case DSM_ACT_MAP:
		node->tlb[a->gfn].perm = (uint8_t)a->perm;
		node->tlb[a->gfn].frame = a->frame;
		return;
	case DSM_ACT_KICK:
		node->tlb[a->gfn].kick = (uint8_t)(1 + a->perm);
		sim_push(s, (struct sim_event){.at = s->now + s->cfg.kick_ns,
					       .kind = SIM_FLUSHED,
					       .node = n,
					       .gfn = a->gfn});
		return;
	case DSM_ACT_RESUME:
		sim_push(s, (struct sim_event){.at = s->now + s->cfg.step_ns,
					       .kind = SIM_GO,
					       .node = n,
					       .agent = a->agent});
		return;
	case DSM_ACT_STOP:
		node->stopped = true;
		return;
	}
}

void sim_step(struct sim *s, uint16_t n, struct dsm_event in, uint64_t content)
{
	struct sim_node *node = &s->nodes[n];
	uint64_t due;
	int err;

	if (node->dead)
		return;
	in.now_ns = s->now;
	err = dsm_step(node->dsm, &in, &s->out);
	if (node->stopped && s->out.count)
		sim_wrong(s, "a stopped node went on");
	/* Sending changes nothing in the engine, so the list stays as it is. */
	for (uint32_t i = 0; i < s->out.count; i++)
		carry_out(s, n, &s->out.list[i], content);
	if (node->stopped && !s->told)
		sim_wrong(s, dsm_stop_reason(node->dsm));
	if (err && !node->stopped)
		sim_wrong(s, "the engine refused an event");
	due = dsm_deadline(node->dsm);
	if (due < node->tick_at) {
		node->tick_at = due;
		sim_push(s, (struct sim_event){
				    .at = MAX(due, s->now + 1), .kind = SIM_TICK, .node = n});
	}
}

static void fault(struct sim *s, uint16_t n, uint32_t agent, unsigned i)
{
	struct sim_agent *a = &s->nodes[n].agents[agent];

	a->faulted = true;
	sim_step(s, n,
		 (struct dsm_event){.kind = DSM_EV_FAULT,
				    .agent = (uint16_t)agent,
				    .gfn = a->gfn[i],
				    .access = a->write[i] ? DSM_WRITE : DSM_READ,
				    .cookie = a->cookie},
		 0);
}

/* All rights are there: the accesses happen now. */
static void perform(struct sim *s, uint16_t n, struct sim_agent *a)
{
	struct sim_node *node = &s->nodes[n];

	for (unsigned i = 0; i < a->count; i++) {
		uint64_t *content = &node->content[node->tlb[a->gfn[i]].frame];

		if (*content != s->last[a->gfn[i]])
			sim_wrong(s, a->write[i] ? "a write went to a stale copy"
						 : "a read returned a stale value");
		if (a->write[i])
			*content = s->last[a->gfn[i]] = ++s->writes;
	}
	s->r.ops++;
}

static void release(struct sim *s, uint16_t n, uint32_t agent)
{
	sim_step(s, n, (struct dsm_event){.kind = DSM_EV_RELEASE, .agent = (uint16_t)agent}, 0);
}

static void go(struct sim *s, uint16_t n, uint32_t agent)
{
	struct sim_node *node = &s->nodes[n];
	struct sim_agent *a = &node->agents[agent];

	if (node->dead || node->stopped)
		return;
	if (!a->busy && !sim_next(s, n, a)) {
		a->finished_at = s->now;
		if (s->cfg.kept_max)
			release(s, n, agent);
		s->running--;
		return;
	}
	if (!a->busy)
		a->cookie++;
	a->busy = true;
	for (unsigned i = 0; i < a->count; i++) {
		unsigned need = a->write[i] ? DSM_PERM_WRITE : DSM_PERM_READ;

		if (node->tlb[a->gfn[i]].perm < need) {
			fault(s, n, agent, i);
			return;
		}
	}
	perform(s, n, a);
	a->busy = false;
	if (sim_accessed(s, n, a))
		a->done++;
	if (a->faulted && !s->cfg.kept_max)
		release(s, n, agent);
	a->faulted = false;
	sim_push(s, (struct sim_event){.at = s->now + s->cfg.think_ns / 2 +
					     sim_random(s, s->cfg.think_ns + 1),
				       .kind = SIM_GO,
				       .node = n,
				       .agent = agent});
}

static void lose(struct sim *s)
{
	uint16_t gone = (uint16_t)(s->cfg.nodes - 1);

	s->nodes[gone].dead = true;
	s->told = true;
	for (uint16_t n = 0; n < gone; n++) {
		sim_step(s, n, (struct dsm_event){.kind = DSM_EV_PEER_LOST, .peer = gone}, 0);
		if (!s->nodes[n].stopped)
			sim_wrong(s, "a node did not stop when another was lost");
	}
}

static void handle(struct sim *s, struct sim_event *e)
{
	struct sim_node *node = &s->nodes[e->node];

	switch (e->kind) {
	case SIM_ARRIVE:
		sim_step(s, e->node,
			 (struct dsm_event){.kind = DSM_EV_MESSAGE, .peer = e->from, .msg = e->msg},
			 e->content);
		return;
	case SIM_FRAME:
		sim_net_frame(s, e);
		return;
	case SIM_FLUSHED:
		node->tlb[e->gfn].perm =
			(uint8_t)MIN(node->tlb[e->gfn].perm, node->tlb[e->gfn].kick - 1);
		node->tlb[e->gfn].kick = 0;
		if (!node->stopped)
			sim_step(s, e->node,
				 (struct dsm_event){.kind = DSM_EV_FLUSHED, .gfn = e->gfn}, 0);
		return;
	case SIM_GO:
		go(s, e->node, e->agent);
		return;
	case SIM_TICK:
		node->tick_at = UINT64_MAX;
		if (!node->stopped)
			sim_step(s, e->node, (struct dsm_event){.kind = DSM_EV_TICK}, 0);
		return;
	case SIM_WAKE:
		node->wake_at = UINT64_MAX;
		sim_net_run(s, e->node);
		return;
	case SIM_LOSE:
		lose(s);
		return;
	}
}

static void start_node(struct sim *s, uint16_t n, const uint16_t *slots)
{
	struct sim_node *node = &s->nodes[n];
	struct dsm_config cfg = {
		.nodes = s->cfg.nodes,
		.self = n,
		.agents = s->cfg.agents,
		.peer_agents = s->cfg.agents,
		.set_max = 4,
		.kept_max = s->cfg.kept_max,
		.gfns = s->cfg.gfns,
		.slot_count = s->cfg.nodes,
		.slots = slots,
		.cache_frames = s->cfg.cache_frames ? s->cfg.cache_frames
						    : 64u + (4u + s->cfg.kept_max) * s->cfg.agents,
		.cache_reserve = 1,
		.hold_ns = 5000,
		.hold_max_ns = 100000,
		.hold_fetches = 8,
		.guesses = s->cfg.guesses,
		.guess_from = 2,
		.ahead_max = s->cfg.ahead_max,
		.ahead_from = 2,
		.ahead_shift = 4,
	};
	struct why why;
	uint64_t homed = (s->cfg.gfns + cfg.nodes - 1 - n) / cfg.nodes, frames;
	size_t size;

	if (s->cfg.spare_frames)
		cfg.frames = homed + s->cfg.spare_frames;
	size = dsm_size(&cfg, &why);
	if (!size) {
		fprintf(stderr, "sim: %s\n", why.text);
		exit(2);
	}
	node->dsm = dsm_init(must(aligned_alloc(16, align_up(size, 16))), &cfg);
	node->tlb = must(calloc(s->cfg.gfns, sizeof(*node->tlb)));
	frames = dsm_home_frames(node->dsm) + cfg.cache_frames;
	node->content = must(calloc(frames, sizeof(uint64_t)));
	node->backed = must(calloc(frames, sizeof(bool)));
	node->frames = cfg.frames ? cfg.frames : frames;
	for (uint64_t i = 0; i < frames; i++)
		node->content[i] = NOBODYS;
	node->agents = must(calloc(s->cfg.agents, sizeof(*node->agents)));
	node->tick_at = node->wake_at = UINT64_MAX;
	s->r.node_bytes = size;
	s->r.directory_bytes = dsm_directory_bytes(node->dsm);
	if (n == 0) {
		s->out.room = dsm_actions_max(&cfg);
		s->out.list = must(calloc(s->out.room, sizeof(struct dsm_action)));
	}
	for (uint32_t a = 0; a < s->cfg.agents; a++)
		sim_push(s, (struct sim_event){.at = 1000000 + sim_random(s, 1000),
					       .kind = SIM_GO,
					       .node = n,
					       .agent = a});
}

static void collect(struct sim *s)
{
	double sum = 0, squares = 0;

	for (uint16_t n = 0; n < s->cfg.nodes; n++) {
		const struct dsm_stats *st = dsm_stats(s->nodes[n].dsm);
		double rate = 0;

		for (uint32_t a = 0; a < s->cfg.agents; a++) {
			const struct sim_agent *g = &s->nodes[n].agents[a];

			if (g->finished_at > 1000000)
				rate += g->done / (double)(g->finished_at - 1000000);
		}
		sum += rate;
		squares += rate * rate;
		s->r.faults += st->faults[0] + st->faults[1] + st->faults[2] - st->faults_local;
		for (unsigned t = 0; t < DSM_MSG_TYPES; t++)
			s->r.messages += st->sent[t];
		s->r.pages += st->pages_sent;
		s->r.evictions += st->evict_clean + st->evict_dirty;
		s->r.home_waits += st->home_waits;
		s->r.deferred += st->deferred;
		s->r.waited_ns += st->waited_ns;
		s->r.expired += st->holds_expired;
		for (unsigned b = 0; b < HIST_BUCKETS; b++) {
			s->r.read_ns.bucket[b] += st->read_ns.bucket[b];
			s->r.write_ns.bucket[b] += st->write_ns.bucket[b];
		}
		s->r.read_ns.count += st->read_ns.count;
		s->r.read_ns.sum += st->read_ns.sum;
		s->r.read_ns.max = MAX(s->r.read_ns.max, st->read_ns.max);
		s->r.write_ns.count += st->write_ns.count;
		s->r.write_ns.sum += st->write_ns.sum;
		s->r.write_ns.max = MAX(s->r.write_ns.max, st->write_ns.max);
	}
	s->r.bytes = s->r.messages * DSM_WIRE_BYTES + s->r.pages * PAGE_SIZE;
	s->r.fairness = squares > 0 ? sum * sum / (s->cfg.nodes * squares) : 0;
	s->r.time_ns = s->now - 1000000;
}

static void free_all(struct sim *s)
{
	struct sim_event e;

	while (sim_pop(s, &e))
		free(e.frame);
	for (uint16_t n = 0; n < s->cfg.nodes; n++) {
		struct sim_node *node = &s->nodes[n];

		while (node->waiting) {
			struct sim_wait *w = node->waiting;

			node->waiting = w->next;
			free(w);
		}
		free(node->dsm);
		free(node->tlb);
		free(node->content);
		free(node->backed);
		free(node->agents);
		free(node->peers);
		free(node->pool);
	}
	free(s->nodes);
	free(s->channel_at);
	free(s->last);
	free(s->lock);
	free(s->heap);
	free(s->trace_at);
	free(s->out.list);
}

struct sim_result sim_run(const struct sim_config *cfg)
{
	struct sim s = {.cfg = *cfg, .random = cfg->seed};
	uint16_t *slots = must(calloc(cfg->nodes, sizeof(*slots)));
	struct sim_event e;

	s.nodes = must(calloc(cfg->nodes, sizeof(*s.nodes)));
	s.channel_at = must(calloc((size_t)cfg->nodes * cfg->nodes * 2, sizeof(uint64_t)));
	s.last = must(calloc(cfg->gfns, sizeof(uint64_t)));
	s.lock = must(calloc(cfg->gfns, sizeof(uint16_t)));
	s.trace_at = must(calloc(cfg->nodes, sizeof(size_t)));
	s.running = (uint32_t)cfg->nodes * cfg->agents;
	for (uint16_t n = 0; n < cfg->nodes; n++)
		slots[n] = n;
	for (uint16_t n = 0; n < cfg->nodes; n++)
		start_node(&s, n, slots);
	free(slots);
	if (cfg->transport)
		sim_net_start(&s);
	if (cfg->lose_node_at)
		sim_push(&s, (struct sim_event){.at = cfg->lose_node_at, .kind = SIM_LOSE});
	while (!s.r.wrong && s.running && sim_pop(&s, &e)) {
		s.now = e.at;
		s.r.events++;
		handle(&s, &e);
		free(e.frame);
		/* Time enough for what was under way: none of it may be served any more. */
		if (s.told && s.now > cfg->lose_node_at + NS_PER_MS)
			break;
		if (s.now > 600 * NS_PER_S)
			sim_wrong(&s, "the work is not done after ten minutes");
	}
	if (!s.r.wrong && s.running && !s.told)
		sim_wrong(&s, "nothing can move, but the work is not done");
	collect(&s);
	free_all(&s);
	return s.r;
}
