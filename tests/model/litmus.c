#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/model/hash.h"
#include "tests/model/litmus.h"

#define BUFFER     3
#define OUTCOMES   4096
#define DEPTH      600
#define TABLE_BITS 21

/* What a thread is, in both machines. */
struct thread {
	uint8_t pc, regs_used, count;
	uint8_t reg[L_REGS];
	struct {
		uint8_t var, value;
	} buffer[BUFFER];
};

struct run {
	struct world w;
	struct thread t[L_THREADS];
	uint8_t faulting[L_THREADS]; /* between a fault and the instruction's end */
	uint8_t final[L_VARS], finals;
};

struct set {
	uint64_t code[OUTCOMES];
	uint32_t count;
};

static const struct litmus *test;
static unsigned threads, vars;
static uint8_t node_of[L_THREADS], agent_of[L_THREADS];
static struct set seen_outcomes, tso_outcomes;
static const char *wrong;

/* --- programs and outcomes --- */

static unsigned thread_count(const struct litmus *l)
{
	unsigned n = 0;

	while (n < L_THREADS && l->thread[n][0].op != L_END)
		n++;
	return n;
}

static const struct l_ins *next_ins(const struct thread *t, unsigned i)
{
	static const struct l_ins end = {L_END, 0, 0};

	return t->pc < L_INS ? &test->thread[i][t->pc] : &end;
}

static bool thread_done(const struct thread *t, unsigned i)
{
	return next_ins(t, i)->op == L_END && t->count == 0;
}

/* Two bits for each register and each variable's final value. */
static uint64_t outcome_code(const struct thread *t, const uint8_t *final)
{
	uint64_t code = 0;

	for (unsigned i = 0; i < threads; i++) {
		for (unsigned r = 0; r < L_REGS; r++)
			code |= (uint64_t)t[i].reg[r] << (8 * i + 2 * r);
	}
	for (unsigned v = 0; v < vars; v++)
		code |= (uint64_t) final[v] << (40 + 2 * v);
	return code;
}

static bool outcome_matches(const char *text, uint64_t code)
{
	for (; *text; text++) {
		unsigned at;

		if (*text == ' ')
			continue;
		if (*text >= 'x') {
			at = 40 + 2 * (unsigned)(*text - 'x');
			text += 2;
		} else {
			at = 8 * (unsigned)(text[0] - '0') + 2 * (unsigned)(text[2] - '0');
			text += 4;
		}
		if ((code >> at & 3) != (uint64_t)(*text - '0'))
			return false;
	}
	return true;
}

static void set_add(struct set *s, uint64_t code)
{
	for (uint32_t i = 0; i < s->count; i++) {
		if (s->code[i] == code)
			return;
	}
	if (s->count == OUTCOMES) {
		fprintf(stderr, "litmus: too many outcomes\n");
		exit(2);
	}
	s->code[s->count++] = code;
}

static bool set_has(const struct set *s, uint64_t code)
{
	for (uint32_t i = 0; i < s->count; i++) {
		if (s->code[i] == code)
			return true;
	}
	return false;
}

static bool forwarded(const struct thread *t, unsigned var, uint8_t *value)
{
	bool found = false;

	for (unsigned i = 0; i < t->count; i++) {
		if (t->buffer[i].var == var) {
			*value = t->buffer[i].value;
			found = true;
		}
	}
	return found;
}

static void buffer_pop(struct thread *t)
{
	t->count--;
	memmove(&t->buffer[0], &t->buffer[1], t->count * sizeof(t->buffer[0]));
	memset(&t->buffer[t->count], 0, sizeof(t->buffer[0]));
}

static void buffer_push(struct thread *t, const struct l_ins *ins)
{
	t->buffer[t->count].var = ins->var;
	t->buffer[t->count].value = ins->value;
	t->count++;
}

/* --- the x86-TSO operational model --- */

struct tso {
	struct thread t[L_THREADS];
	uint8_t memory[L_VARS];
};

/* One instruction of one thread; false when it has to wait for the thread's buffer. */
static bool tso_execute(struct tso *s, unsigned i)
{
	struct thread *t = &s->t[i];
	const struct l_ins *ins = next_ins(t, i);
	uint8_t value;

	switch ((enum l_op)ins->op) {
	case L_END:
		return false;
	case L_LOAD:
		value = s->memory[ins->var];
		forwarded(t, ins->var, &value);
		t->reg[t->regs_used++] = value;
		break;
	case L_STORE:
		buffer_push(t, ins);
		break;
	case L_FENCE:
		if (t->count)
			return false;
		break;
	case L_XCHG:
		if (t->count)
			return false;
		t->reg[t->regs_used++] = s->memory[ins->var];
		s->memory[ins->var] = ins->value;
		break;
	}
	t->pc++;
	return true;
}

static void tso_walk(const struct tso *s)
{
	bool moved = false;

	for (unsigned i = 0; i < threads; i++) {
		struct tso next = *s;

		if (tso_execute(&next, i)) {
			moved = true;
			tso_walk(&next);
		}
		if (s->t[i].count) {
			next = *s;
			next.memory[s->t[i].buffer[0].var] = s->t[i].buffer[0].value;
			buffer_pop(&next.t[i]);
			moved = true;
			tso_walk(&next);
		}
	}
	if (!moved)
		set_add(&tso_outcomes, outcome_code(s->t, s->memory));
}

/* --- the same programs above the engine --- */

static unsigned page_of(unsigned var)
{
	return test->one_page ? 0 : var;
}

static unsigned shift_of(unsigned var)
{
	return test->one_page ? 2 * var : 0;
}

static uint8_t *cell(struct run *r, unsigned i, unsigned var)
{
	return &r->w.content[node_of[i]][r->w.tlb[node_of[i]][page_of(var)].frame];
}

static uint8_t memory_read(struct run *r, unsigned i, unsigned var)
{
	return *cell(r, i, var) >> shift_of(var) & 3;
}

static void memory_write(struct run *r, unsigned i, unsigned var, uint8_t value)
{
	uint8_t *c = cell(r, i, var);

	*c = (uint8_t)((*c & ~(3u << shift_of(var))) | (unsigned)value << shift_of(var));
}

static void drain_one(struct run *r, unsigned i)
{
	struct thread *t = &r->t[i];

	if (r->w.tlb[node_of[i]][page_of(t->buffer[0].var)].perm != DSM_PERM_WRITE)
		wrong = "a store left its buffer for a page that is not writable";
	memory_write(r, i, t->buffer[0].var, t->buffer[0].value);
	buffer_pop(t);
}

/* The rights are there: what the instruction does. False when it must wait for the buffer. */
static bool execute(struct run *r, unsigned i, const struct l_ins *ins)
{
	struct thread *t = &r->t[i];
	uint8_t value;

	if ((ins->op == L_FENCE || ins->op == L_XCHG) && t->count)
		return false;
	if (ins->op == L_LOAD) {
		value = memory_read(r, i, ins->var);
		forwarded(t, ins->var, &value);
		t->reg[t->regs_used++] = value;
	} else if (ins->op == L_STORE) {
		buffer_push(t, ins);
	} else if (ins->op == L_XCHG) {
		t->reg[t->regs_used++] = memory_read(r, i, ins->var);
		memory_write(r, i, ins->var, ins->value);
	}
	t->pc++;
	return true;
}

/* One try of the thread's next instruction; false when nothing can happen. */
static bool try_instruction(struct run *r, unsigned i)
{
	const struct l_ins *ins = next_ins(&r->t[i], i);
	bool write = ins->op == L_STORE || ins->op == L_XCHG;
	unsigned need = write ? DSM_PERM_WRITE : DSM_PERM_READ;

	if (ins->op == L_END || (r->faulting[i] && !r->w.resumed[node_of[i]][agent_of[i]]))
		return false;
	if (ins->op != L_FENCE && r->w.tlb[node_of[i]][page_of(ins->var)].perm < need) {
		r->faulting[i] = 1;
		world_fault(&r->w, node_of[i], agent_of[i], page_of(ins->var), write,
			    r->t[i].pc + 1u);
		return true;
	}
	if (!execute(r, i, ins))
		return false;
	if (r->faulting[i])
		world_release(&r->w, node_of[i], agent_of[i]);
	r->faulting[i] = 0;
	return true;
}

static bool program_done(const struct run *r)
{
	for (unsigned i = 0; i < threads; i++) {
		if (!thread_done(&r->t[i], i))
			return false;
	}
	return true;
}

/* After the program the last thread reads all variables, through the engine as well. */
static bool read_final(struct run *r)
{
	unsigned i = threads - 1, var = r->finals;

	if (!program_done(r) || var == vars ||
	    (r->faulting[i] && !r->w.resumed[node_of[i]][agent_of[i]]))
		return false;
	if (r->w.tlb[node_of[i]][page_of(var)].perm < DSM_PERM_READ) {
		r->faulting[i] = 1;
		world_fault(&r->w, node_of[i], agent_of[i], page_of(var), false, 100 + var);
		return true;
	}
	r->final[r->finals++] = memory_read(r, i, var);
	if (r->faulting[i])
		world_release(&r->w, node_of[i], agent_of[i]);
	r->faulting[i] = 0;
	return true;
}

static struct hash run_hash(const struct run *r)
{
	static const struct symmetry same = {
		{0, 1, 2, 3}, {0, 1, 2, 3}, {0, 1, 2, 3}, {0, 1, 2, 3}};
	struct hash h = {3, 4};

	for (unsigned i = 0; i < threads; i++) {
		const struct thread *t = &r->t[i];
		uint64_t cookie = r->finals ? 100u + r->finals : t->pc + 1u;
		uint64_t word = t->pc | t->count << 4 | r->faulting[i] << 8;

		for (unsigned k = 0; k < L_REGS; k++)
			word |= (uint64_t)t->reg[k] << (12 + 2 * k);
		for (unsigned k = 0; k < t->count; k++)
			word |= (uint64_t)(t->buffer[k].var << 2 | t->buffer[k].value)
				<< (24 + 4 * k);
		hash_mix(&h, word);
		hash_mix(&h, world_agent_code(&same, &r->w, node_of[i], agent_of[i], cookie));
	}
	for (unsigned n = 0; n < world_cfg.nodes; n++)
		world_mix_node(&h, &same, &r->w, n);
	hash_mix(&h, r->finals | r->final[0] << 8 | r->final[1] << 16 | r->final[2] << 24);
	return h;
}

static uint64_t visited[1u << TABLE_BITS];

static bool remember(const struct run *r)
{
	struct hash h = run_hash(r);

	h.b |= h.b == 0;
	for (uint64_t i = h.a & BITS(TABLE_BITS - 1, 0);; i = (i + 1) & BITS(TABLE_BITS - 1, 0)) {
		if (visited[i] == h.b)
			return false;
		if (!visited[i]) {
			visited[i] = h.b;
			return true;
		}
	}
}

/* The moves of a state, numbered; false when there is no such move (of this kind). */
static bool make_move(struct run *r, unsigned kind, unsigned n, unsigned k)
{
	struct world *w = &r->w;

	switch (kind) {
	case 0: /* k: peer and class */
		if (!w->chan[n][k / 2][k % 2].count)
			return false;
		world_deliver(w, n, k / 2, k % 2);
		return true;
	case 1: /* k: page */
		if (k >= world_cfg.pages || !w->tlb[n][k].kick)
			return false;
		for (unsigned i = 0; i < threads; i++) {
			while (node_of[i] == n && r->t[i].count)
				drain_one(r, i);
		}
		world_flush(w, n, k);
		return true;
	case 2:
		if (k > 2 || n >= threads)
			return false;
		if (k == 2)
			return n == threads - 1 && read_final(r);
		if (k == 1)
			return try_instruction(r, n);
		if (!r->t[n].count)
			return false;
		drain_one(r, n);
		return true;
	}
	return false;
}

#define MOVES (3 * W_NODES * 2 * W_NODES)

static bool numbered_move(struct run *r, unsigned move)
{
	return make_move(r, move / (W_NODES * 2 * W_NODES), move / (2 * W_NODES) % W_NODES,
			 move % (2 * W_NODES));
}

struct level {
	struct run r;
	unsigned next;
	bool moved;
};

static struct level stack[DEPTH];

static void at_end(const struct run *r)
{
	if (r->finals < vars)
		wrong = "nothing can move, but the program is not done";
	set_add(&seen_outcomes, outcome_code(r->t, r->final));
}

static void engine_walk(const struct run *start, struct litmus_result *res, uint64_t limit)
{
	unsigned depth = 0;

	memset(visited, 0, sizeof(visited));
	stack[0] = (struct level){.r = *start};
	remember(start);
	while (!wrong && (!limit || res->states < limit) &&
	       res->states < BIT(TABLE_BITS) / 10 * 9) {
		struct level *l = &stack[depth];
		struct level *up = &stack[depth + 1];

		if (l->next == MOVES) {
			if (!l->moved)
				at_end(&l->r);
			if (depth-- == 0) {
				res->complete = true;
				return;
			}
			continue;
		}
		up->r = l->r;
		if (!numbered_move(&up->r, l->next++))
			continue;
		l->moved = true;
		if (up->r.w.broken)
			wrong = up->r.w.broken;
		if (!remember(&up->r))
			continue;
		res->states++;
		up->next = 0;
		up->moved = false;
		if (++depth + 1 == DEPTH)
			wrong = "a run that never ends";
	}
}

/* Lets everything that is under way arrive. */
static void settle(struct run *r)
{
	for (unsigned move = 0; move < MOVES * 2 / 3; move++) {
		if (numbered_move(r, move))
			move = (unsigned)-1;
	}
}

static void start_run(struct run *r, enum l_place place, bool warm)
{
	uint16_t nodes = 2, agents = 1;

	memset(r, 0, sizeof(*r));
	for (unsigned i = 0; i < threads; i++) {
		node_of[i] = (uint8_t)(place == L_SPREAD ? i : place == L_PAIRS ? i / 2 : 1);
		agent_of[i] = (uint8_t)(place == L_SPREAD ? 0 : place == L_PAIRS ? i % 2 : i);
		nodes = (uint16_t)MAX(nodes, node_of[i] + 1u);
		agents = (uint16_t)MAX(agents, agent_of[i] + 1u);
	}
	world_cfg = (struct world_config){.nodes = nodes,
					  .agents = agents,
					  .pages = (uint16_t)(test->one_page ? 1 : vars),
					  .set_max = 1,
					  .ahead_max = 1};
	for (unsigned p = 0; p < W_PAGES; p++)
		world_cfg.home[p] = (uint16_t)(p % nodes);
	world_init(&r->w);
	for (unsigned p = 0; warm && p < world_cfg.pages; p++) {
		for (unsigned n = 0; n < nodes; n++) {
			world_fault(&r->w, n, 0, p, false, 200 + p);
			settle(r);
			world_release(&r->w, n, 0);
		}
	}
}

struct litmus_result litmus_run(const struct litmus *l, enum l_place place, bool warm,
				uint64_t limit)
{
	static struct run start;
	struct litmus_result res = {.states = 1};
	struct tso tso = {0};

	test = l;
	wrong = NULL;
	threads = thread_count(l);
	vars = 0;
	for (unsigned i = 0; i < L_THREADS * L_INS; i++) {
		const struct l_ins *ins = &l->thread[i / L_INS][i % L_INS];

		if (ins->op != L_END && ins->op != L_FENCE)
			vars = MAX(vars, ins->var + 1u);
	}
	seen_outcomes.count = tso_outcomes.count = 0;
	tso_walk(&tso);
	start_run(&start, place, warm);
	engine_walk(&start, &res, limit);
	for (uint32_t i = 0; i < seen_outcomes.count; i++) {
		if (set_has(&tso_outcomes, seen_outcomes.code[i]))
			continue;
		if (!res.forbidden_seen++)
			res.first_forbidden = seen_outcomes.code[i];
	}
	for (uint32_t i = 0; i < tso_outcomes.count; i++)
		res.missing += !set_has(&seen_outcomes, tso_outcomes.code[i]);
	for (uint32_t i = 0; i < seen_outcomes.count; i++)
		res.named_seen |= outcome_matches(l->outcome, seen_outcomes.code[i]);
	res.outcomes = seen_outcomes.count;
	res.allowed_outcomes = tso_outcomes.count;
	res.wrong = wrong;
	return res;
}
