/*
 * Litmus tests of the memory model: a few accesses on each CPU, and outcomes that x86-TSO forbids
 * (Owens, Sarkar, Sewell: "A Better x86 Memory Model: x86-TSO", 2009; names as in the herd tools).
 *
 * A round has some instances of the test, each with variables of its own. Rounds differ: in few the CPUs
 * meet before each instance, so that they start together, which takes long where they are far apart; in
 * the others they run freely through many, so that a line or page changes hands in the middle of one. A
 * CPU's accesses follow each other at once or after a while; the random waits are short in some rounds
 * and long in others. The roles of the CPUs rotate.
 */

#include <string.h>

#include "tests/suite/suite.h"
#include "tests/suite/team.h"
#include "tests/suite/x86.h"

#define CELLS       512 /* instances of a round that runs freely */
#define CELLS_MEET  16  /* of one where the CPUs meet */
#define MAX_THREADS 4
#define MAX_VARS    3
#define LINE        64u

/* What a round's number says about it: of eight in turn the CPUs meet in the first two. */
enum { MODE_GAP = 1, MODE_FREE = 6, MODES = 8 };

typedef volatile uint32_t var;
typedef void body_fn(unsigned me, unsigned gap, var *x, var *y, var *z, uint32_t *r);

/*
 * An outcome is written as digits: the registers of thread 0, of thread 1 and so on, then the last
 * values of the first `finals` variables. In a pattern '.' stands for any.
 */
struct litmus {
	body_fn *body;
	unsigned threads;
	unsigned regs[MAX_THREADS];
	unsigned finals;
	const char *forbidden[3];
	const char *weak; /* allowed, and only possible because of store buffers */
};

/*
 * Where the variables of a cell lie: cells are next to each other in groups, as close as the distance of
 * a cell's variables allows, so that many share the few pages that have to change hands.
 */
struct layout {
	unsigned var_step, group, group_step;
};
static const struct layout same_line = {.var_step = 4, .group = 1, .group_step = 16};
static const struct layout same_page = {
	.var_step = LINE, .group = LINE / 4, .group_step = LINE * 4};
static const struct layout other_page = {.var_step = PAGE_SIZE, .group = CELLS, .group_step = 0};
#define ROOM (MAX_VARS * PAGE_SIZE)
_Static_assert(CELLS *LINE / 4 <= ROOM && CELLS * sizeof(var) <= PAGE_SIZE, "all cells find room");

struct setup {
	const struct litmus *litmus;
	const struct layout *layout;
};

/* Between two accesses. */
static inline void stay(unsigned gap)
{
	linger(gap);
	if (gap && suite.crowded)
		wait_turn();
}

/* Broken, a thread does its accesses in the wrong order. */
#define IN_ORDER(first, between, second) \
	do {                             \
		if (!suite.broken) {     \
			first;           \
			between;         \
			stay(gap);       \
			second;          \
		} else {                 \
			second;          \
			stay(gap);       \
			first;           \
		}                        \
	} while (0)

#define BODY(name) static void name(unsigned me, unsigned gap, var *x, var *y, var *z, uint32_t *r)

BODY(sb)
{
	if (me == 0)
		IN_ORDER(*x = 1, , r[0] = *y);
	else
		IN_ORDER(*y = 1, , r[0] = *x);
}

BODY(sb_mfence)
{
	if (me == 0)
		IN_ORDER(*x = 1, mfence(), r[0] = *y);
	else
		IN_ORDER(*y = 1, mfence(), r[0] = *x);
}

BODY(sb_lock)
{
	if (me == 0)
		IN_ORDER(*x = 1, lock_fence(), r[0] = *y);
	else
		IN_ORDER(*y = 1, lock_fence(), r[0] = *x);
}

BODY(sb_xchg)
{
	if (me == 0)
		IN_ORDER(xchg(x, 1), , r[0] = *y);
	else
		IN_ORDER(xchg(y, 1), , r[0] = *x);
}

BODY(mp)
{
	if (me == 0)
		IN_ORDER(*x = 1, , *y = 1);
	else
		IN_ORDER(r[0] = *y, , r[1] = *x);
}

BODY(lb)
{
	if (me == 0)
		IN_ORDER(r[0] = *x, , *y = 1);
	else
		IN_ORDER(r[0] = *y, , *x = 1);
}

BODY(s)
{
	if (me == 0)
		IN_ORDER(*x = 2, , *y = 1);
	else
		IN_ORDER(r[0] = *y, , *x = 1);
}

BODY(r)
{
	if (me == 0)
		IN_ORDER(*y = 1, , *x = 1);
	else
		IN_ORDER(*x = 2, , r[0] = *y);
}

BODY(r_mfence)
{
	if (me == 0)
		IN_ORDER(*y = 1, , *x = 1);
	else
		IN_ORDER(*x = 2, mfence(), r[0] = *y);
}

BODY(two_two_w)
{
	if (me == 0)
		IN_ORDER(*x = 1, , *y = 2);
	else
		IN_ORDER(*y = 1, , *x = 2);
}

BODY(corr)
{
	if (me == 0)
		IN_ORDER(*x = 1, , *x = 2);
	else
		IN_ORDER(r[0] = *x, , r[1] = *x);
}

BODY(coww)
{
	if (me == 0)
		IN_ORDER(*x = 1, , *x = 2);
	else
		r[0] = *x;
}

BODY(cowr)
{
	if (me == 0)
		IN_ORDER(*x = 1, , r[0] = *x);
	else
		*x = 2;
}

BODY(corw)
{
	if (me == 0)
		IN_ORDER(r[0] = *x, , *x = 1);
	else
		*x = 2;
}

BODY(wrc)
{
	if (me == 0)
		*x = 1;
	else if (me == 1)
		IN_ORDER(r[0] = *x, , *y = 1);
	else
		IN_ORDER(r[0] = *y, , r[1] = *x);
}

BODY(isa2)
{
	if (me == 0)
		IN_ORDER(*x = 1, , *y = 1);
	else if (me == 1)
		IN_ORDER(r[0] = *y, , *z = 1);
	else
		IN_ORDER(r[0] = *z, , r[1] = *x);
}

BODY(iriw)
{
	if (me == 0)
		*x = 1;
	else if (me == 1)
		*y = 1;
	else if (me == 2)
		IN_ORDER(r[0] = *x, , r[1] = *y);
	else
		IN_ORDER(r[0] = *y, , r[1] = *x);
}

/* One run of a test: what its threads share. */
struct race {
	const struct setup *setup;
	unsigned rounds;
	unsigned char *cells;
	struct barrier barrier;
	struct {
		_Alignas(PAGE_SIZE) var here[CELLS_MEET];
	} meet;
	struct {
		_Alignas(PAGE_SIZE) uint32_t r[CELLS][2];
	} regs[MAX_THREADS];
	unsigned counts[256]; /* by outcome, two bits for each digit, the first one lowest */
};

static var *variable(const struct race *race, unsigned cell, unsigned v)
{
	const struct layout *layout = race->setup->layout;

	return (var *)(race->cells + cell / layout->group * layout->group_step +
		       v * layout->var_step + cell % layout->group * sizeof(var));
}

/*
 * Broken, the CPUs always meet: free ones are too seldom inside the same instance to show what it does
 * wrong, where two threads share a CPU.
 */
static bool runs_freely(unsigned round)
{
	return round & MODE_FREE && !suite.broken;
}

static unsigned cells_of(unsigned round)
{
	return runs_freely(round) ? CELLS : CELLS_MEET;
}

static void clear(struct race *race, unsigned cells)
{
	memset((void *)race->meet.here, 0, sizeof(race->meet.here));
	for (unsigned i = 0; i < cells; i++) {
		for (unsigned v = 0; v < MAX_VARS; v++)
			*variable(race, i, v) = 0;
	}
}

static unsigned add_digit(unsigned outcome, unsigned *digits, uint32_t value)
{
	if (value > 3)
		fail("a variable became %#x, which nobody stored", value);
	return outcome | value << 2 * (*digits)++;
}

static void tally(struct race *race, unsigned cells)
{
	const struct litmus *litmus = race->setup->litmus;

	for (unsigned i = 0; i < cells; i++) {
		unsigned outcome = 0, digits = 0;

		for (unsigned t = 0; t < litmus->threads; t++)
			for (unsigned k = 0; k < litmus->regs[t]; k++)
				outcome = add_digit(outcome, &digits, race->regs[t].r[i][k]);
		for (unsigned v = 0; v < litmus->finals; v++)
			outcome = add_digit(outcome, &digits, *variable(race, i, v));
		race->counts[outcome]++;
	}
}

static void meet(struct race *race, unsigned cell)
{
	lock_add(&race->meet.here[cell], 1);
	while (race->meet.here[cell] < race->setup->litmus->threads)
		wait_turn();
}

static void racer(unsigned me, void *arg)
{
	struct race *race = arg;
	const struct litmus *litmus = race->setup->litmus;
	uint32_t random = 0x9e3779b9 * (me + 1);

	for (unsigned round = 0; round < race->rounds; round++) {
		bool leader = round % litmus->threads == me;
		unsigned cells = cells_of(round);
		unsigned longest = 1u << round * 5 % 13; /* in no order, up to 4096 */

		barrier_wait(&race->barrier, litmus->threads);
		for (unsigned i = 0; i < cells; i++) {
			unsigned gap = round & MODE_GAP ? random_next(&random) % longest : 0;

			if (!runs_freely(round))
				meet(race, i);
			else if (suite.crowded && random_next(&random) % 4 == 0)
				wait_turn();
			linger(random_next(&random) % longest);
			litmus->body(me, gap, variable(race, i, 0), variable(race, i, 1),
				     variable(race, i, 2), race->regs[me].r[i]);
		}
		barrier_wait(&race->barrier, litmus->threads);
		if (leader) {
			tally(race, cells);
			clear(race, cells);
		}
	}
}

static unsigned digits_of(const struct litmus *litmus)
{
	unsigned digits = litmus->finals;

	for (unsigned t = 0; t < litmus->threads; t++)
		digits += litmus->regs[t];
	return digits;
}

/* How often an outcome fits the pattern. */
static unsigned seen(const struct race *race, const char *pattern)
{
	unsigned sum = 0;

	for (unsigned outcome = 0; outcome < 256; outcome++) {
		bool same = true;

		for (unsigned d = 0; pattern[d]; d++)
			same &= pattern[d] == '.' ||
				(unsigned)pattern[d] - '0' == (outcome >> 2 * d & 3);
		if (same)
			sum += race->counts[outcome];
	}
	return sum;
}

static void judge(const struct race *race, unsigned iterations)
{
	const struct litmus *litmus = race->setup->litmus;

	for (unsigned i = 0; i < 3 && litmus->forbidden[i]; i++) {
		unsigned times = seen(race, litmus->forbidden[i]);

		if (times)
			fail("the outcome %s is forbidden and came %u times in %u",
			     litmus->forbidden[i], times, iterations);
	}
	say("%u iterations:", iterations);
	for (unsigned outcome = 0; outcome < 256; outcome++) {
		if (!race->counts[outcome])
			continue;
		say(" ");
		for (unsigned d = 0; d < digits_of(litmus); d++)
			say("%u", outcome >> 2 * d & 3);
		say("=%u", race->counts[outcome]);
	}
	if (litmus->weak)
		say(", store buffers seen %u times", seen(race, litmus->weak));
}

/* Whole turns of rounds, of every kind, for each rotation of the roles. */
static unsigned rounds_for(unsigned iters, unsigned *iterations)
{
	unsigned turn = 0, turns;

	for (unsigned round = 0; round < MODES; round++)
		turn += cells_of(round);
	turns = (iters + turn * suite.cpus - 1) / (turn * suite.cpus);
	*iterations = turns * turn * suite.cpus;
	return turns * MODES;
}

static void run(unsigned iters, const void *arg)
{
	struct race *race = shared_memory(sizeof(*race));
	unsigned iterations;

	race->setup = arg;
	race->cells = shared_memory(ROOM);
	race->rounds = rounds_for(iters, &iterations);
	for (unsigned first = 0; first < suite.cpus; first++)
		team_run(race->setup->litmus->threads, first, racer, race);
	judge(race, iterations);
}

static const struct litmus SB = {sb, 2, {1, 1}, .weak = "00"};
static const struct litmus SB_mfence = {sb_mfence, 2, {1, 1}, .forbidden = {"00"}};
static const struct litmus SB_lock = {sb_lock, 2, {1, 1}, .forbidden = {"00"}};
static const struct litmus SB_xchg = {sb_xchg, 2, {1, 1}, .forbidden = {"00"}};
static const struct litmus MP = {mp, 2, {0, 2}, .forbidden = {"10"}};
static const struct litmus LB = {lb, 2, {1, 1}, .forbidden = {"11"}};
static const struct litmus S = {s, 2, {0, 1}, .finals = 1, .forbidden = {"12"}};
static const struct litmus R = {r, 2, {0, 1}, .finals = 1, .weak = "02"};
static const struct litmus R_mfence = {r_mfence, 2, {0, 1}, .finals = 1, .forbidden = {"02"}};
static const struct litmus W2_2 = {two_two_w, 2, {0, 0}, .finals = 2, .forbidden = {"11"}};
static const struct litmus CoRR = {corr, 2, {0, 2}, .forbidden = {"10", "20", "21"}};
static const struct litmus CoWW = {coww, 2, {0, 1}, .finals = 1, .forbidden = {".0", ".1"}};
static const struct litmus CoWR = {cowr, 2, {1, 0}, .finals = 1, .forbidden = {"0.", "21"}};
static const struct litmus CoRW = {corw, 2, {1, 0}, .finals = 1, .forbidden = {"1.", "22"}};
static const struct litmus WRC = {wrc, 3, {0, 1, 2}, .forbidden = {"110"}};
static const struct litmus ISA2 = {isa2, 3, {0, 1, 2}, .forbidden = {"110"}};
static const struct litmus IRIW = {iriw, 4, {0, 0, 2, 2}, .forbidden = {"1010"}};

#define TEST(name, cpus, id, layout)                      \
	{                                                 \
		name, cpus, 1, run, &(const struct setup) \
		{                                         \
			&(id), &(layout)                  \
		}                                         \
	}
#define LAYOUTS(name, cpus, id)                                    \
	TEST("litmus." name ".line", cpus, id, same_line),         \
		TEST("litmus." name ".page", cpus, id, same_page), \
		TEST("litmus." name ".pages", cpus, id, other_page)

const struct test litmus_tests[] = {
	LAYOUTS("SB", 2, SB),
	LAYOUTS("SB+mfence", 2, SB_mfence),
	LAYOUTS("SB+lock", 2, SB_lock),
	LAYOUTS("SB+xchg", 2, SB_xchg),
	LAYOUTS("MP", 2, MP),
	LAYOUTS("LB", 2, LB),
	LAYOUTS("S", 2, S),
	LAYOUTS("R", 2, R),
	LAYOUTS("R+mfence", 2, R_mfence),
	LAYOUTS("2+2W", 2, W2_2),
	TEST("litmus.CoRR", 2, CoRR, same_line),
	TEST("litmus.CoWW", 2, CoWW, same_line),
	TEST("litmus.CoWR", 2, CoWR, same_line),
	TEST("litmus.CoRW", 2, CoRW, same_line),
	LAYOUTS("WRC", 3, WRC),
	LAYOUTS("ISA2", 3, ISA2),
	LAYOUTS("IRIW", 4, IRIW),
	{0},
};
