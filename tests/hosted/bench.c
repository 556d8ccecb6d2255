/*
 * What the engine's operations cost on this machine: node 0 in one process, the home (node 1) and 16
 * more nodes in another, a veth pair between them. Beside each figure stands what the wire and the
 * kernel take alone: all is measured in turns, block by block, in a row, which is the fastest it can be,
 * or each after the same pause, which cools the caches.
 */

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/hosted/bare.h"
#include "tests/hosted/hosted.h"
#include "tests/hosted/series.h"

#define ROUNDS     25u  /* of each kind of fault, in a block */
#define ROW        500u /* round trips and faults in a row, in a block */
#define SWEEP      128u /* pages in a row, in a block */
#define PAUSE_NS   300000u
/* Guest pages: never written ones, the one of false sharing, those of faults, those of sweeps. */
#define SHARED     (FAULTS - 1)
#define FAULTS     600u
#define SWEEP_FROM (HOSTED_PAGES - SWEEP)

/* In the first the other process only looks for bare frames, so that nothing slows the comparison. */
enum phase { PHASE_BARE, PHASE_NODES, PHASE_END };

/* How process 0 tells process 1 what to do; one command at a time. */
struct control {
	_Atomic uint32_t asked, done;
	_Atomic enum phase phase, entered;
	bool count; /* messages, instead of touching */
	uint32_t node, write, repeat;
	gfn_t gfn;
	uint64_t value, seen, messages, pages;
};

enum before { NOTHING, WRITTEN };

/* A kind of fault; `sharers` nodes besides the home read the page before. */
struct kind {
	const char *name;
	enum before before;
	unsigned sharers;
	bool own_copy, write;
	uint64_t table; /* most messages, says docs/coherence.md */
	bool beside;    /* by what the same takes without engine and transport */
	struct series fault, bare, kernel;
	uint64_t messages, pages;
};

enum { ZERO, READ, WRITE_1, WRITE_4, WRITE_16, UPGRADE_0, UPGRADE_1, KINDS };

static struct kind kinds[KINDS] = {
	[ZERO] = {"zero page: read, never written", NOTHING, 0, false, false, 2},
	[READ] = {"read, the home has the page", WRITTEN, 1, false, false, 2, true},
	[WRITE_1] = {"write, 1 sharer", WRITTEN, 1, false, true, 4, true},
	[WRITE_4] = {"write, 4 sharers", WRITTEN, 4, false, true, 10, true},
	[WRITE_16] = {"write, 16 sharers", WRITTEN, 16, false, true, 34, true},
	[UPGRADE_0] = {"upgrade without data, no other sharer", WRITTEN, 0, true, true, 2},
	[UPGRADE_1] = {"upgrade without data, 1 sharer", WRITTEN, 1, true, true, 4},
};

/* In a row: round trips, the kernel's faults, read faults over fresh pages. */
static struct series row_bare, row_kernel, row_read;
static struct control *control;
static bool failed;

/* --- process 1 --- */

static void obey(void)
{
	uint32_t asked = atomic_load(&control->asked);

	if (asked == atomic_load(&control->done))
		return;
	if (control->count)
		hosted_messages(&control->messages, &control->pages);
	for (uint32_t i = 0; !control->count && i <= control->repeat; i++) {
		control->seen =
			hosted_touch(control->node, control->gfn, control->write, control->value);
		hosted_poll();
	}
	atomic_store(&control->done, asked);
}

static void serve(void)
{
	enum phase phase = PHASE_BARE, now;

	bare_open("veth1");
	hosted_start("veth1", 1, HOSTED_NODES - 1);
	while ((now = atomic_load_explicit(&control->phase, memory_order_relaxed)) != PHASE_END) {
		if (now != phase)
			atomic_store(&control->entered, phase = now);
		if (phase == PHASE_BARE) {
			bare_serve();
		} else {
			hosted_poll();
			obey();
		}
	}
}

/* --- process 0 --- */

static void enter(enum phase phase)
{
	atomic_store(&control->phase, phase);
	while (atomic_load(&control->entered) != phase)
		;
}

static bool busy(void)
{
	return atomic_load(&control->asked) != atomic_load(&control->done);
}

static void ask(unsigned node, gfn_t gfn, bool write, uint64_t value, uint32_t repeat)
{
	control->count = false;
	control->node = node;
	control->gfn = gfn;
	control->write = write;
	control->value = value;
	control->repeat = repeat;
	atomic_fetch_add(&control->asked, 1);
}

static void others_touch(unsigned node, gfn_t gfn, bool write, uint64_t value)
{
	ask(node, gfn, write, value, 0);
	while (busy())
		hosted_poll();
	if (control->seen != value)
		failed = true;
}

static void count_messages(uint64_t *messages, uint64_t *pages)
{
	hosted_messages(messages, pages);
	control->count = true;
	atomic_fetch_add(&control->asked, 1);
	while (busy())
		hosted_poll();
	*messages += control->messages;
	*pages += control->pages;
}

/* Lets late acknowledgements of the transport pass, so that they are nobody's cost. */
static void quiet(void)
{
	for (uint64_t end = hosted_now() + PAUSE_NS; hosted_now() < end;)
		hosted_poll();
}

/* The same pause for the baseline, in which both processes look at its port only. */
static void bare_quiet(void)
{
	for (uint64_t end = hosted_now() + PAUSE_NS; hosted_now() < end;)
		bare_serve();
}

static uint64_t timed_touch(gfn_t gfn, bool write, uint64_t value)
{
	uint64_t start = hosted_now(), seen, end;

	seen = hosted_touch(0, gfn, write, value);
	end = hosted_now();
	if (seen != value) {
		fprintf(stderr, "bench: page %llu has %llu, %llu was written\n",
			(unsigned long long)gfn, (unsigned long long)seen,
			(unsigned long long)value);
		failed = true;
	}
	return end - start;
}

/* What the kind of fault takes without engine and transport, as long after the last use of the wire. */
static void bare_beside(struct kind *k, unsigned block)
{
	quiet();
	enter(PHASE_BARE);
	bare_quiet();
	if (k->write) {
		series_add(&k->bare, block, bare_fan(k->sharers));
	} else {
		series_add(&k->bare, block, bare_round());
		bare_quiet();
		series_add(&k->kernel, block, bare_fault());
	}
	enter(PHASE_NODES);
}

/* In turns the fault and what is beside it come first, since each finds what the other left in the caches. */
static void fault_round(struct kind *k, unsigned block, bool bare_first)
{
	static gfn_t fresh, next = FAULTS;
	gfn_t gfn = k->before == NOTHING ? fresh++ : next++;
	uint64_t value = k->before == NOTHING ? 0 : 1000 + gfn;
	uint64_t m0, m1, p0, p1;

	if (next == SWEEP_FROM)
		next = FAULTS;
	if (k->before != NOTHING)
		others_touch(HOSTED_HOME, gfn, true, value);
	for (unsigned s = 0; s < k->sharers; s++)
		others_touch(HOSTED_HOME + 1 + s, gfn, false, value);
	if (k->own_copy)
		timed_touch(gfn, false, value);
	if (k->beside && bare_first)
		bare_beside(k, block);
	count_messages(&m0, &p0);
	quiet();
	series_add(&k->fault, block, timed_touch(gfn, k->write, value));
	quiet();
	count_messages(&m1, &p1);
	k->messages = MAX(k->messages, m1 - m0);
	k->pages = MAX(k->pages, p1 - p0);
	if (k->beside && !bare_first)
		bare_beside(k, block);
	/* Pages are used again later: give them back to the home as it will find them. */
	if (k->before != NOTHING)
		others_touch(HOSTED_HOME, gfn, true, value);
}

static void sweep(unsigned block)
{
	for (unsigned i = 0; i < SWEEP; i++) {
		others_touch(HOSTED_HOME, SWEEP_FROM + i, true, 7000 + i);
		others_touch(HOSTED_HOME + 1, SWEEP_FROM + i, false, 7000 + i);
	}
	quiet();
	for (unsigned i = 0; i < SWEEP; i++)
		series_add(&row_read, block, timed_touch(SWEEP_FROM + i, false, 7000 + i));
	quiet();
}

static void in_a_row(unsigned block)
{
	quiet();
	enter(PHASE_BARE);
	for (unsigned i = 0; i < ROW; i++)
		series_add(&row_bare, block, bare_round());
	for (unsigned i = 0; i < ROW; i++)
		series_add(&row_kernel, block, bare_fault());
	enter(PHASE_NODES);
	sweep(block);
}

static void false_sharing(void)
{
	uint64_t m0, p0, m1, p1, start, all;

	quiet();
	count_messages(&m0, &p0);
	ask(HOSTED_HOME + 1, SHARED, true, 1, 1999);
	start = hosted_now();
	for (unsigned i = 0; i < 2000; i++) {
		hosted_touch(0, SHARED, true, 2);
		hosted_poll();
	}
	while (busy())
		hosted_poll();
	all = hosted_now() - start;
	quiet();
	count_messages(&m1, &p1);
	printf("  false sharing, 2 nodes with 2000 writes each: %.2f us a write, "
	       "%.1f us a page move, %.2f messages a move (table: 3)\n",
	       (double)all / 4000 / 1000, (double)all / (double)MAX(p1 - p0, 1ull) / 1000,
	       (double)(m1 - m0) / (double)MAX(p1 - p0, 1ull));
}

static void pin_to(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	/* With fewer CPUs than processes the figures are what they are. */
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		perror("bench: sched_setaffinity");
}

/* Block by block, of a figure and what is beside it: at most 1.25 times the wire, and the kernel. */
static struct ratio read_ratio(const struct series *fault, const struct series *wire,
			       const struct series *kernel)
{
	struct ratio r;

	for (unsigned b = 0; b < BLOCKS; b++)
		r.block[b] = series_median(fault, b) /
			     (1.25 * series_median(wire, b) + series_median(kernel, b));
	return r;
}

static struct ratio ratio_of(const struct series *over, const struct series *under)
{
	struct ratio r;

	for (unsigned b = 0; b < BLOCKS; b++)
		r.block[b] = series_median(over, b) / series_median(under, b);
	return r;
}

static void print_row(const char *name, const struct series *s)
{
	series_print(name, s);
	printf("\n");
}

static void print_times(void)
{
	printf("%-54s %7s %8s   %s\n", "us", "median", "p99", "medians of blocks");
	print_row("in a row: bare round trip, 64 bytes for 3 frames", &row_bare);
	print_row("in a row: the kernel's own fault", &row_kernel);
	print_row("in a row: read, the home has the page", &row_read);
	for (unsigned i = 0; i < KINDS; i++) {
		const struct kind *k = &kinds[i];

		series_print(k->name, &k->fault);
		printf("   %llu messages (table: %llu), %llu with a page\n",
		       (unsigned long long)k->messages, (unsigned long long)k->table,
		       (unsigned long long)k->pages);
		if (k->beside)
			print_row(k->write ? "  beside it, without engine and transport"
					   : "  beside it, the bare round trip",
				  &k->bare);
		if (k->beside && !k->write)
			print_row("  beside it, the kernel's own fault", &k->kernel);
	}
}

static bool within_table(void)
{
	for (unsigned i = 0; i < KINDS; i++) {
		if (kinds[i].messages > kinds[i].table)
			return false;
	}
	return true;
}

static void print_aims(void)
{
	const struct kind *w1 = &kinds[WRITE_1], *w4 = &kinds[WRITE_4], *w16 = &kinds[WRITE_16];
	const struct kind *read = &kinds[READ];
	struct ratio r;

	printf("%-62s %6s   %s\n", "ratios, of medians", "median", "blocks");
	r = read_ratio(&row_read, &row_bare, &row_kernel);
	ratio_print_aim("read faults in a row / (1.25 round trips + kernel's fault)", &r, 1);
	r = read_ratio(&read->fault, &read->bare, &read->kernel);
	ratio_print_aim("one read fault / (1.25 round trips + kernel's fault)", &r, 1);
	r = ratio_of(&w16->fault, &w1->fault);
	ratio_print_aim("write, 16 sharers / 1 sharer", &r, 1.5);
	r = ratio_of(&w16->bare, &w1->bare);
	ratio_print("  the same without engine and transport: this host's floor", &r);
	r = ratio_of(&w4->fault, &w1->fault);
	ratio_print("write, 4 sharers / 1 sharer", &r);
	r = ratio_of(&w4->bare, &w1->bare);
	ratio_print("  the same without engine and transport", &r);
	r = ratio_of(&w1->fault, &w1->bare);
	ratio_print("write, 1 sharer / without engine and transport", &r);
	r = ratio_of(&w16->fault, &w16->bare);
	ratio_print("write, 16 sharers / without engine and transport", &r);
	printf("  %-60s %s\n", "no operation took more messages than the table says:",
	       within_table() ? "met" : "MISSED");
}

static void measure(void)
{
	for (unsigned block = 0; block < BLOCKS; block++) {
		in_a_row(block);
		for (unsigned k = 0; k < KINDS; k++) {
			for (unsigned i = 0; i < ROUNDS; i++)
				fault_round(&kinds[k], block, i & 1);
		}
	}
}

int main(void)
{
	pid_t child;

	setvbuf(stdout, NULL, _IOLBF, 0);
	control = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (control == MAP_FAILED)
		return 2;
	pin_to(0);
	child = fork();
	if (child == 0) {
		pin_to(1);
		serve();
		_exit(0);
	}
	bare_open("veth0");
	hosted_start("veth0", 0, 0);
	enter(PHASE_NODES);
	while (!hosted_all_up())
		hosted_poll();
	measure();
	print_times();
	print_aims();
	false_sharing();
	failed |= !within_table();
	atomic_store(&control->phase, PHASE_END);
	kill(child, SIGTERM);
	waitpid(child, NULL, 0);
	if (failed)
		printf("bench-dsm: FAILED: a wrong value, or more messages than the table says\n");
	return failed;
}
