/*
 * The model checker: walks every interleaving of a small cluster of the real engine, depth first, and
 * remembers the states it has seen by a 64-bit fingerprint at a place given by 64 other bits of the hash.
 *
 * Contents are modelled by one bit: a copy either is what was written last or it is not. A write makes
 * its own copy current and all others, and all pages under way, stale. Reading or writing what is not
 * current is an error, so is any state in which the rights of CPUs clash, a state at rest with a
 * directory that is wrong, an end with an operation not done, and a circle of states in which no
 * operation is ever done.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "tests/model/explore.h"
#include "tests/model/hash.h"

#define DEPTH_MAX 100000
#define MOVES_MAX 96

enum env_phase { ENV_IDLE, ENV_BUSY };

struct env {
	uint8_t phase, kind, left, done;
};

struct state {
	struct world w;
	struct env env[W_NODES][W_AGENTS];
	uint8_t evictions, expiries, losses;
};

enum move_kind {
	MOVE_DELIVER,
	MOVE_FLUSH,
	MOVE_START,
	MOVE_GO_ON,
	MOVE_EVICT,
	MOVE_EXPIRE,
	MOVE_TICK,
	MOVE_LOSE
};

struct move {
	uint8_t kind, a, b, c;
};

struct frame {
	struct state s;
	struct move moves[MOVES_MAX];
	uint32_t count, next;
	uint64_t slot; /* in `seen` */
};

static const struct explore *job;
static struct frame *stack;
static uint64_t *seen;
static uint64_t seen_mask;
static const char *wrong;

static struct symmetry symmetries[48];
static unsigned symmetry_count;

/* --- fingerprints --- */

static uint64_t agent_code(const struct symmetry *y, const struct state *s, unsigned n, unsigned a)
{
	const struct env *e = &s->env[n][a];
	const struct op *op = &job->ops[e->kind];
	uint64_t code = e->phase | e->left << 1 | world_agent_code(y, &s->w, n, a, e->left) << 4;

	for (unsigned i = 0; e->phase == ENV_BUSY && i < op->count; i++)
		code |= (uint64_t)(1u | op->page[i].write << 1 | y->page[op->page[i].page] << 2)
			<< (48 + 4 * i);
	return code;
}

static void mix_agents(struct hash *h, const struct symmetry *y, const struct state *s, unsigned n)
{
	uint64_t a = agent_code(y, s, n, 0), b = 0;

	if (world_cfg.agents > 1)
		b = agent_code(y, s, n, 1);
	hash_mix(h, MIN(a, b));
	hash_mix(h, MAX(a, b));
}

static struct hash fingerprint_as(const struct state *s, const struct symmetry *y)
{
	struct hash h = {1, 2};

	for (unsigned n = 0; n < world_cfg.nodes; n++) {
		unsigned node = y->node_at[n];

		world_mix_node(&h, y, &s->w, node);
		mix_agents(&h, y, s, node);
	}
	hash_mix(&h, s->evictions | s->expiries << 8 | s->losses << 16);
	for (unsigned p = 0; p < world_cfg.pages; p++)
		hash_mix(&h, s->w.zero[y->page_at[p]]);
	return h;
}

static struct hash fingerprint(const struct state *s)
{
	struct hash best = fingerprint_as(s, &symmetries[0]);

	for (unsigned i = 1; i < symmetry_count; i++) {
		struct hash h = fingerprint_as(s, &symmetries[i]);

		if (h.a < best.a || (h.a == best.a && h.b < best.b))
			best = h;
	}
	return best;
}

/* Numbers of nodes and pages that can be exchanged without changing who is home to what. */
static void try_symmetry(const uint8_t *node, const uint8_t *page)
{
	struct symmetry *y = &symmetries[symmetry_count];

	for (unsigned p = 0; p < world_cfg.pages; p++) {
		if (world_cfg.home[page[p]] != node[world_cfg.home[p]])
			return;
		if (job->ordered && page[p] != p)
			return;
	}
	for (unsigned n = 0; n < world_cfg.nodes; n++) {
		y->node[n] = node[n];
		y->node_at[node[n]] = (uint8_t)n;
	}
	for (unsigned p = 0; p < world_cfg.pages; p++) {
		y->page[p] = page[p];
		y->page_at[page[p]] = (uint8_t)p;
	}
	symmetry_count++;
}

static bool next_permutation(uint8_t *v, unsigned n)
{
	unsigned i = n - 1, j = n - 1;

	while (i > 0 && v[i - 1] > v[i])
		i--;
	if (i == 0)
		return false;
	while (v[j] < v[i - 1])
		j--;
	uint8_t t = v[j];

	v[j] = v[i - 1];
	v[i - 1] = t;
	for (j = n - 1; i < j; i++, j--) {
		t = v[i];
		v[i] = v[j];
		v[j] = t;
	}
	return true;
}

static void find_symmetries(void)
{
	uint8_t node[W_NODES] = {0, 1, 2, 3};

	symmetry_count = 0;
	do {
		uint8_t page[W_PAGES] = {0, 1, 2, 3};

		do
			try_symmetry(node, page);
		while (next_permutation(page, world_cfg.pages));
	} while (next_permutation(node, world_cfg.nodes));
}

/* --- what an agent does --- */

static bool allowed(const struct world *w, unsigned n, const struct op_page *p)
{
	return w->tlb[n][p->page].perm >= (p->write ? DSM_PERM_WRITE : DSM_PERM_READ);
}

static void write_page(struct world *w, unsigned n, unsigned page)
{
	for (unsigned k = 0; k < world_cfg.nodes; k++) {
		const struct dsm *d = world_dsm(w, k);
		const struct page *p = page_find(d, page);

		if (p)
			w->content[k][page_frame(d, p)] = 0;
		if (dsm_home(d, page) == k)
			w->content[k][dsm_home_index(d, page)] = 0;
		for (unsigned i = 0; i < 2 * world_cfg.nodes; i++) {
			struct world_chan *c = &w->chan[k][i / 2][i % 2];

			for (unsigned m = 0; m < c->count; m++) {
				if (c->q[m].m.gfn == page)
					c->q[m].content = 0;
			}
		}
	}
	w->zero[page] = 0;
	w->content[n][w->tlb[n][page].frame] = 1;
}

/* All rights are there: the instruction takes place as one. */
static void perform(struct state *s, unsigned n, unsigned a)
{
	struct env *e = &s->env[n][a];
	const struct op *op = &job->ops[e->kind];

	for (unsigned i = 0; i < op->count; i++) {
		const struct op_page *p = &op->page[i];

		if (!s->w.content[n][s->w.tlb[n][p->page].frame])
			wrong = p->write ? "a write is lost: it went to a copy that was not current"
					 : "a read returned something else than the last write";
	}
	for (unsigned i = 0; i < op->count; i++) {
		if (op->page[i].write)
			write_page(&s->w, n, op->page[i].page);
	}
	e->phase = ENV_IDLE;
	e->kind = 0;
	if (!job->endless)
		e->left--;
}

static void attempt(struct state *s, unsigned n, unsigned a, bool first)
{
	struct env *e = &s->env[n][a];
	const struct op *op = &job->ops[e->kind];

	for (unsigned i = 0; i < op->count; i++) {
		if (allowed(&s->w, n, &op->page[i]))
			continue;
		e->phase = ENV_BUSY;
		world_fault(&s->w, n, a, op->page[i].page, op->page[i].write, e->left);
		return;
	}
	perform(s, n, a);
	/* With kept pages it goes on without a word, as the hypervisor's vCPUs do. */
	if (!first && !world_cfg.kept_max)
		world_release(&s->w, n, a);
}

/* --- moves --- */

static void add(struct frame *f, enum move_kind kind, unsigned a, unsigned b, unsigned c)
{
	if (f->count == MOVES_MAX) {
		fprintf(stderr, "explore: more than %u moves from one state\n", MOVES_MAX);
		exit(2);
	}
	f->moves[f->count++] = (struct move){(uint8_t)kind, (uint8_t)a, (uint8_t)b, (uint8_t)c};
}

static void agent_moves(struct frame *f, unsigned n)
{
	const struct state *s = &f->s;

	for (unsigned a = 0; a < world_cfg.agents; a++) {
		const struct env *e = &s->env[n][a];

		if (e->phase == ENV_BUSY && s->w.resumed[n][a])
			add(f, MOVE_GO_ON, n, a, 0);
		if (e->phase == ENV_IDLE && e->left) {
			for (unsigned k = 0; k < job->op_count; k++)
				add(f, MOVE_START, n, a, k);
		}
		if (s->expiries && e->phase == ENV_BUSY && s->w.resumed[n][a])
			add(f, MOVE_EXPIRE, n, a, 0);
	}
}

/* Holds that outlive their instruction end when somebody waits; those that don't may be cut short. */
static bool may_expire(const struct state *s, unsigned n)
{
	const struct dsm *d = world_dsm(&s->w, n);

	if (d->stopped)
		return false;
	for (unsigned a = 0; a < world_cfg.agents; a++) {
		if (s->env[n][a].phase == ENV_BUSY && s->w.resumed[n][a])
			return false;
	}
	return dsm_deadline(d) != UINT64_MAX;
}

static void find_moves(struct frame *f)
{
	const struct state *s = &f->s;

	f->count = f->next = 0;
	for (unsigned n = 0; n < world_cfg.nodes; n++) {
		for (unsigned i = 0; i < 2 * world_cfg.nodes; i++) {
			if (s->w.chan[n][i / 2][i % 2].count)
				add(f, MOVE_DELIVER, n, i / 2, i % 2);
		}
		for (unsigned p = 0; p < world_cfg.pages; p++) {
			const struct page *page = page_find(world_dsm(&s->w, n), p);

			if (s->w.tlb[n][p].kick)
				add(f, MOVE_FLUSH, n, p, 0);
			if (s->evictions && page && !page_homed(world_dsm(&s->w, n), page) &&
			    evictable(page))
				add(f, MOVE_EVICT, n, p, 0);
		}
		if (s->losses)
			add(f, MOVE_LOSE, n, (n + 1) % world_cfg.nodes, 0);
		agent_moves(f, n);
		if (may_expire(s, n))
			add(f, MOVE_TICK, n, 0, 0);
	}
}

static void tick(struct state *s, unsigned n)
{
	struct dsm_event in = {.kind = DSM_EV_TICK, .now_ns = 1ull << 40};

	world_step(&s->w, n, &in, 0);
}

static void make_move(struct state *s, struct move m)
{
	switch ((enum move_kind)m.kind) {
	case MOVE_DELIVER:
		world_deliver(&s->w, m.a, m.b, m.c);
		return;
	case MOVE_FLUSH:
		world_flush(&s->w, m.a, m.b);
		return;
	case MOVE_START:
		s->env[m.a][m.b].kind = m.c;
		attempt(s, m.a, m.b, true);
		return;
	case MOVE_GO_ON:
		attempt(s, m.a, m.b, false);
		return;
	case MOVE_EVICT:
		s->evictions--;
		world_evict(&s->w, m.a, page_find(world_dsm(&s->w, m.a), m.b));
		return;
	case MOVE_EXPIRE:
		s->expiries--;
		tick(s, m.a);
		return;
	case MOVE_TICK:
		tick(s, m.a);
		return;
	case MOVE_LOSE:
		s->losses--;
		world_lose(&s->w, m.a, m.b);
		return;
	}
}

/* --- the walk --- */

#define SLOT_ON_STACK 1ull

/* Finds the state's place; true when it is new. */
static bool remember(const struct state *s, uint64_t *slot)
{
	struct hash h = fingerprint(s);
	uint64_t print = h.b & ~SLOT_ON_STACK;

	if (!print)
		print = 2;
	for (uint64_t i = h.a & seen_mask;; i = (i + 1) & seen_mask) {
		*slot = i;
		if (!seen[i])
			break;
		if ((seen[i] & ~SLOT_ON_STACK) == print)
			return false;
	}
	seen[*slot] = print;
	return true;
}

static bool all_done(const struct state *s)
{
	for (unsigned n = 0; n < world_cfg.nodes; n++) {
		if (s->w.lost[n])
			return true;
	}
	for (unsigned n = 0; n < world_cfg.nodes; n++) {
		for (unsigned a = 0; a < world_cfg.agents; a++) {
			if (s->env[n][a].phase != ENV_IDLE || (s->env[n][a].left && !job->endless))
				return false;
		}
	}
	return true;
}

static void tell(uint32_t depth)
{
	static const char *const names[] = {"deliver", "flush",  "start", "go on",
					    "evict",   "expire", "tick",  "lose"};

	printf("  what was found: %s\n", wrong);
	if (!job->verbose)
		return;
	for (uint32_t i = 0; i < depth; i++) {
		const struct frame *f = &stack[i];
		struct move m = f->moves[f->next - 1];

		printf("%u: %s n%u %u %s\n", i, names[m.kind], m.a, m.b,
		       m.kind == MOVE_START ? job->ops[m.c].name : "");
		if (m.kind == MOVE_DELIVER)
			printf("   %s p%llu v%llu\n",
			       dsm_msg_name(f->s.w.chan[m.a][m.b][m.c].q[0].m.type),
			       (unsigned long long)f->s.w.chan[m.a][m.b][m.c].q[0].m.gfn,
			       (unsigned long long)f->s.w.chan[m.a][m.b][m.c].q[0].m.version);
	}
	world_print(&stack[depth].s.w);
}

/* Looks at the state on top of the stack; false when something is wrong with it. */
static bool arrive(uint32_t depth, struct explore_result *r)
{
	struct frame *f = &stack[depth];

	if (!wrong)
		wrong = world_check(&f->s.w);
	if (wrong)
		return false;
	find_moves(f);
	r->depth = MAX(r->depth, depth);
	if (f->count == 0) {
		r->ends++;
		if (!all_done(&f->s))
			wrong = "nothing can move, but an operation is not done";
	}
	return !wrong;
}

static void start_state(struct state *s)
{
	memset(s, 0, sizeof(*s));
	world_init(&s->w);
	s->evictions = job->evictions;
	s->expiries = job->expiries;
	s->losses = job->losses;
	for (unsigned p = 0; p < world_cfg.pages; p++)
		s->w.zero[p] = 1;
	for (unsigned n = 0; n < world_cfg.nodes; n++) {
		for (unsigned a = 0; a < world_cfg.agents; a++)
			s->env[n][a].left = job->ops_each;
	}
}

/* Goes one move on from the top of the stack; returns the new depth. */
static uint32_t walk_on(uint32_t depth, struct explore_result *r)
{
	struct frame *f = &stack[depth], *next = &stack[depth + 1];
	uint64_t slot;

	if (depth + 1 == DEPTH_MAX) {
		wrong = "a run of the model is too long for its stack";
		return depth;
	}
	world_copy(&next->s.w, &f->s.w);
	memcpy(next->s.env, f->s.env, sizeof(f->s.env));
	next->s.evictions = f->s.evictions;
	next->s.expiries = f->s.expiries;
	next->s.losses = f->s.losses;
	make_move(&next->s, f->moves[f->next++]);
	r->moves++;
	if (!wrong && !remember(&next->s, &slot)) {
		if (seen[slot] & SLOT_ON_STACK && !job->endless)
			wrong = "a circle in which no operation is ever done";
		return depth;
	}
	if (!wrong) {
		r->states++;
		seen[slot] |= SLOT_ON_STACK;
		next->slot = slot;
	}
	arrive(depth + 1, r);
	return depth + 1;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

struct explore_result explore(const struct explore *what)
{
	struct explore_result r = {.states = 1};
	uint64_t start = now_ms(), entries = 1ull << what->table_bits;
	uint32_t depth = 0;
	uint64_t slot;

	job = what;
	wrong = NULL;
	world_cfg = what->world;
	world_stale_alike = what->endless;
	find_symmetries();
	if (!stack)
		stack = mmap(NULL, DEPTH_MAX * sizeof(*stack), PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	seen = mmap(NULL, entries * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stack == MAP_FAILED || seen == MAP_FAILED) {
		perror("explore");
		exit(2);
	}
	madvise(seen, entries * 8, MADV_HUGEPAGE); /* it is walked at random */
	seen_mask = entries - 1;
	start_state(&stack[0].s);
	remember(&stack[0].s, &slot);
	seen[slot] |= SLOT_ON_STACK;
	stack[0].slot = slot;
	arrive(0, &r);
	for (;;) {
		struct frame *f = &stack[depth];

		if (wrong || r.states > entries / 10 * 9 || (what->limit && r.states > what->limit))
			break;
		if (f->next < f->count) {
			depth = walk_on(depth, &r);
			continue;
		}
		seen[f->slot] &= ~SLOT_ON_STACK;
		if (depth-- == 0) {
			r.complete = true;
			break;
		}
	}
	r.wrong = wrong;
	if (wrong && !what->quiet)
		tell(depth);
	munmap(seen, entries * 8);
	r.ms = now_ms() - start;
	return r;
}
