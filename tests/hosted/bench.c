/*
 * What the engine's operations cost on this machine: node 0 in one process, the home (node 1) and 16
 * more nodes in another, a veth pair between them. Beside each figure stands what the wire and the
 * kernel take alone, measured in the same run with the same kind of port: in a row, which is the fastest
 * they can be, and in turns with the faults after the same pauses, which cool the caches.
 */

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/hosted/hosted.h"

#define ROUNDS 200u
#define BARE   4000u
#define ECHO   0x88b6

/* In the first there is nothing but the port. */
enum phase { PHASE_BARE, PHASE_NODES, PHASE_END };

/* How process 0 tells process 1 what to do; one command at a time. */
struct control {
	_Atomic uint32_t asked, done;
	_Atomic enum phase phase;
	uint32_t node, write, repeat;
	gfn_t gfn;
	uint64_t value, seen;
};

static struct control *control;
static gfn_t next_page;
static bool failed;

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

struct figure {
	double median, p99;
};

/* A fault, and what wire and kernel take alone, each after the same pause. */
struct beside {
	struct figure fault, wire, kernel;
};

static struct figure summary(uint64_t *ns, unsigned count)
{
	qsort(ns, count, sizeof(*ns), compare);
	return (struct figure){(double)ns[count / 2] / 1000, (double)ns[count * 99 / 100] / 1000};
}

/* --- what wire and kernel cost alone --- */

static struct port echo_port;

/* Answers a request that has come with three frames. */
static void echo(void)
{
	static const uint8_t page[PAGE_SIZE];
	size_t len;
	const uint8_t *frame = port_peek(&echo_port, &len);

	if (!frame)
		return;
	for (unsigned i = 0; i < 3; i++) {
		uint8_t *out = port_room(&echo_port);

		memcpy(out, frame + 6, 6);
		memcpy(out + 6, frame, 6);
		out[12] = ECHO >> 8;
		out[13] = ECHO & 0xff;
		memcpy(out + 14, page, 1460);
		port_queue(&echo_port, 14 + 1460);
	}
	port_done(&echo_port);
	port_flush(&echo_port);
}

static uint64_t bare_round(void)
{
	uint64_t start = hosted_now();
	uint8_t *out = port_room(&echo_port);
	size_t len;

	memset(out, 0, 64);
	out[0] = out[6] = 2;
	out[5] = 1;
	out[12] = ECHO >> 8;
	out[13] = ECHO & 0xff;
	port_queue(&echo_port, 64);
	port_flush(&echo_port);
	for (unsigned i = 0; i < 3; i++) {
		while (!port_peek(&echo_port, &len))
			;
		port_done(&echo_port);
	}
	return hosted_now() - start;
}

static uint8_t *own_page;

static void on_own_fault(int sig)
{
	mprotect(own_page, PAGE_SIZE, PROT_READ | PROT_WRITE);
}

/* A SIGSEGV, the change of one page's protection, the return: what any user-space fault costs. */
static uint64_t kernel_fault(void)
{
	struct sigaction own = {.sa_handler = on_own_fault}, before;
	uint64_t start, end;

	sigaction(SIGSEGV, &own, &before);
	mprotect(own_page, PAGE_SIZE, PROT_NONE);
	start = hosted_now();
	*(volatile uint8_t *)own_page = 1;
	end = hosted_now();
	sigaction(SIGSEGV, &before, NULL);
	return end - start;
}

static struct figure in_a_row(uint64_t (*what)(void))
{
	static uint64_t ns[BARE];

	for (unsigned i = 0; i < BARE; i++)
		ns[i] = what();
	return summary(ns, BARE);
}

/* --- process 1 --- */

static void obey(void)
{
	uint32_t asked = atomic_load(&control->asked);

	if (asked == atomic_load(&control->done))
		return;
	for (uint32_t i = 0; i <= control->repeat; i++) {
		control->seen =
			hosted_touch(control->node, control->gfn, control->write, control->value);
		hosted_poll();
	}
	atomic_store(&control->done, asked);
}

static void serve(void)
{
	port_open(&echo_port, "veth1", ECHO);
	while (atomic_load_explicit(&control->phase, memory_order_relaxed) == PHASE_BARE)
		echo();
	hosted_start("veth1", 1, HOSTED_NODES - 1);
	while (atomic_load_explicit(&control->phase, memory_order_relaxed) == PHASE_NODES) {
		hosted_poll();
		echo();
		obey();
	}
}

/* --- process 0 --- */

static void ask(unsigned node, gfn_t gfn, bool write, uint64_t value, uint32_t repeat)
{
	control->node = node;
	control->gfn = gfn;
	control->write = write;
	control->value = value;
	control->repeat = repeat;
	atomic_fetch_add(&control->asked, 1);
}

static bool busy(void)
{
	return atomic_load(&control->asked) != atomic_load(&control->done);
}

static void others_touch(unsigned node, gfn_t gfn, bool write, uint64_t value)
{
	ask(node, gfn, write, value, 0);
	while (busy())
		hosted_poll();
	if (control->seen != value)
		failed = true;
}

/* Lets late acknowledgements of the transport pass, so that they are nobody's cost. */
static void quiet(void)
{
	for (uint64_t end = hosted_now() + 300000; hosted_now() < end;)
		hosted_poll();
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

enum before { NOTHING, WRITTEN, WRITTEN_READ };

/* One kind of fault, ROUNDS times on fresh pages; `sharers` nodes besides the home read it before. */
static struct beside fault(const char *name, enum before before, unsigned sharers, bool own_copy,
			   bool write, uint64_t table)
{
	static uint64_t ns[ROUNDS], wire[ROUNDS], kernel[ROUNDS];
	uint64_t messages = 0, pages = 0, m0, m1, p0, p1;
	struct beside b;

	for (unsigned i = 0; i < ROUNDS; i++) {
		gfn_t gfn = next_page++ % HOSTED_PAGES;
		uint64_t value = before == NOTHING ? 0 : 1000 + gfn;

		if (before != NOTHING)
			others_touch(1, gfn, true, value);
		for (unsigned s = 0; s < sharers; s++)
			others_touch(2 + s, gfn, false, value);
		if (own_copy)
			timed_touch(gfn, false, value);
		quiet();
		wire[i] = bare_round();
		quiet();
		kernel[i] = kernel_fault();
		quiet();
		hosted_messages(&m0, &p0);
		ns[i] = timed_touch(gfn, write, value);
		quiet();
		hosted_messages(&m1, &p1);
		messages = MAX(messages, m1 - m0);
		pages = MAX(pages, p1 - p0);
		/* Pages are used again later: give them back to the home as it will find them. */
		if (before != NOTHING)
			others_touch(1, gfn, true, value);
	}
	b = (struct beside){summary(ns, ROUNDS), summary(wire, ROUNDS), summary(kernel, ROUNDS)};
	printf("  %-44s %7.1f us median %7.1f us p99  %3llu messages (table: %llu), %llu with a "
	       "page\n",
	       name, b.fault.median, b.fault.p99, (unsigned long long)messages,
	       (unsigned long long)table, (unsigned long long)pages);
	if (messages > table)
		failed = true;
	return b;
}

static struct figure sweep(void)
{
	static uint64_t ns[512];
	uint64_t start, all;
	struct figure f;
	gfn_t first = 0;

	for (unsigned i = 0; i < 512; i++) {
		others_touch(1, first + i, true, 7000 + i);
		others_touch(2, first + i, false, 7000 + i);
	}
	quiet();
	start = hosted_now();
	for (unsigned i = 0; i < 512; i++)
		ns[i] = timed_touch(first + i, false, 7000 + i);
	all = hosted_now() - start;
	f = summary(ns, 512);
	printf("  %-44s %7.1f us median %7.1f us p99  %.0f MB/s\n", "sequential sweep, a page",
	       f.median, f.p99, 512.0 * PAGE_SIZE * 1000 / (double)all);
	return f;
}

static void false_sharing(void)
{
	uint64_t m0, p0, m1, p1, start, all;
	gfn_t gfn = 5;

	quiet();
	hosted_messages(&m0, &p0);
	ask(2, gfn, true, 1, 1999);
	start = hosted_now();
	for (unsigned i = 0; i < 2000; i++) {
		hosted_touch(0, gfn, true, 2);
		hosted_poll();
	}
	while (busy())
		hosted_poll();
	all = hosted_now() - start;
	quiet();
	hosted_messages(&m1, &p1);
	printf("  %-44s %7.2f us a write, %.1f us a page move, %.2f messages a move (table: 3)\n",
	       "false sharing: 2 nodes, 2000 writes each", (double)all / 4000 / 1000,
	       (double)all / (double)MAX(p1 - p0, 1ull) / 1000,
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

static void print_alone(const char *name, struct figure f)
{
	printf("  %-44s %7.1f us median %7.1f us p99\n", name, f.median, f.p99);
}

static void report(struct figure wire, struct figure kernel)
{
	struct beside read, w1, w4, w16;
	struct figure swept;

	fault("zero page: read, never written", NOTHING, 0, false, false, 2);
	next_page = 600;
	read = fault("read, the home has the page", WRITTEN_READ, 1, false, false, 2);
	print_alone("  beside it: bare round trip", read.wire);
	print_alone("  beside it: the kernel's own fault", read.kernel);
	w1 = fault("write, 1 sharer", WRITTEN_READ, 1, false, true, 4);
	w4 = fault("write, 4 sharers", WRITTEN_READ, 4, false, true, 10);
	w16 = fault("write, 16 sharers", WRITTEN_READ, 16, false, true, 34);
	fault("upgrade without data, no other sharer", WRITTEN_READ, 0, true, true, 2);
	fault("upgrade without data, 1 sharer", WRITTEN_READ, 1, true, true, 4);
	swept = sweep();
	false_sharing();
	printf("  read faults in a row / (1.25 x round trip + kernel fault): %.2f "
	       "(aim: at most 1)\n",
	       swept.median / (1.25 * wire.median + kernel.median));
	printf("  one read fault / (1.25 x round trip + kernel fault), beside each other: %.2f "
	       "(aim: at most 1)\n",
	       read.fault.median / (1.25 * read.wire.median + read.kernel.median));
	printf("  write with 16 sharers / with 1: %.2f (aim: at most 1.5); with 4 / with 1: %.2f\n",
	       w16.fault.median / w1.fault.median, w4.fault.median / w1.fault.median);
}

int main(void)
{
	struct figure wire, kernel;
	pid_t child;

	setvbuf(stdout, NULL, _IOLBF, 0);
	control = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	own_page = mmap(NULL, PAGE_SIZE, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (control == MAP_FAILED || own_page == MAP_FAILED)
		return 2;
	pin_to(0);
	hosted_prepare();
	child = fork();
	if (child == 0) {
		pin_to(1);
		serve();
		_exit(0);
	}
	port_open(&echo_port, "veth0", ECHO);
	usleep(100000);
	wire = in_a_row(bare_round);
	kernel = in_a_row(kernel_fault);
	print_alone("bare round trip, 64 bytes for 3 frames", wire);
	print_alone("the kernel's own fault", kernel);
	hosted_start("veth0", 0, 0);
	atomic_store(&control->phase, PHASE_NODES);
	while (!hosted_all_up())
		hosted_poll();
	report(wire, kernel);
	atomic_store(&control->phase, PHASE_END);
	kill(child, SIGTERM);
	waitpid(child, NULL, 0);
	if (failed)
		printf("bench-dsm: FAILED: a wrong value, or more messages than the table says\n");
	return failed;
}
