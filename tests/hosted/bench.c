/*
 * What the engine's operations cost on this machine: node 0 in one process, the home (node 1) and 16
 * more nodes in another, a veth pair between them. Beside each figure stands what the wire and the
 * kernel take alone, measured in the same run with the same port.
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

/* How process 0 tells process 1 what to do; one command at a time. */
struct control {
	_Atomic uint32_t asked, done;
	_Atomic uint32_t stop;
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

static struct figure summary(uint64_t *ns, unsigned count)
{
	qsort(ns, count, sizeof(*ns), compare);
	return (struct figure){(double)ns[count / 2] / 1000, (double)ns[count * 99 / 100] / 1000};
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
	while (!atomic_load_explicit(&control->stop, memory_order_relaxed)) {
		hosted_poll();
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
static struct figure fault(const char *name, enum before before, unsigned sharers, bool own_copy,
			   bool write, uint64_t table)
{
	static uint64_t ns[ROUNDS];
	uint64_t messages = 0, pages = 0, m0, m1, p0, p1;
	struct figure f;

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
	f = summary(ns, ROUNDS);
	printf("  %-44s %7.1f us median %7.1f us p99  %3llu messages (table: %llu), %llu with a "
	       "page\n",
	       name, f.median, f.p99, (unsigned long long)messages, (unsigned long long)table,
	       (unsigned long long)pages);
	if (messages > table)
		failed = true;
	return f;
}

static void sweep(void)
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

/* --- what wire and kernel cost alone --- */

static void echo(struct port *p)
{
	static const uint8_t page[PAGE_SIZE];

	while (!atomic_load_explicit(&control->stop, memory_order_relaxed)) {
		const uint8_t *frame;
		size_t len;

		frame = port_peek(p, &len);
		if (!frame)
			continue;
		for (unsigned i = 0; i < 3; i++) {
			uint8_t *out = port_room(p);

			memcpy(out, frame + 6, 6);
			memcpy(out + 6, frame, 6);
			out[12] = ECHO >> 8;
			out[13] = ECHO & 0xff;
			memcpy(out + 14, page, 1460);
			port_queue(p, 14 + 1460);
		}
		port_done(p);
		port_flush(p);
	}
}

static uint64_t bare_round(struct port *p)
{
	uint64_t start = hosted_now();
	uint8_t *out = port_room(p);
	size_t len;

	memset(out, 0, 64);
	out[0] = out[6] = 2;
	out[5] = 1;
	out[12] = ECHO >> 8;
	out[13] = ECHO & 0xff;
	port_queue(p, 64);
	port_flush(p);
	for (unsigned i = 0; i < 3; i++) {
		while (!port_peek(p, &len))
			;
		port_done(p);
	}
	return hosted_now() - start;
}

static uint8_t *own_page;

static void on_own_fault(int sig)
{
	mprotect(own_page, PAGE_SIZE, PROT_READ | PROT_WRITE);
}

/* A SIGSEGV, the change of one page's protection, the return: what any user-space fault costs. */
static struct figure kernel_fault(void)
{
	static uint64_t ns[BARE];

	own_page = mmap(NULL, PAGE_SIZE, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (own_page == MAP_FAILED || signal(SIGSEGV, on_own_fault) == SIG_ERR)
		exit(2);
	for (unsigned i = 0; i < BARE; i++) {
		uint64_t start;

		mprotect(own_page, PAGE_SIZE, PROT_NONE);
		start = hosted_now();
		*(volatile uint8_t *)own_page = 1;
		ns[i] = hosted_now() - start;
	}
	return summary(ns, BARE);
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

static struct figure bare(void)
{
	static uint64_t ns[BARE];
	static struct port port;
	pid_t child = fork();

	if (child == 0) {
		pin_to(1);
		port_open(&port, "veth1", ECHO);
		echo(&port);
		_exit(0);
	}
	port_open(&port, "veth0", ECHO);
	usleep(100000);
	for (unsigned i = 0; i < BARE; i++)
		ns[i] = bare_round(&port);
	atomic_store(&control->stop, 1);
	waitpid(child, NULL, 0);
	atomic_store(&control->stop, 0);
	close(port.fd);
	return summary(ns, BARE);
}

static void report(struct figure wire, struct figure kernel)
{
	struct figure read, w1, w4, w16;
	double floor = wire.median + kernel.median;

	printf("  %-44s %7.1f us median %7.1f us p99\n", "bare round trip, 64 bytes for 3 frames",
	       wire.median, wire.p99);
	printf("  %-44s %7.1f us median %7.1f us p99\n", "the kernel's own fault", kernel.median,
	       kernel.p99);
	fault("zero page: read, never written", NOTHING, 0, false, false, 2);
	next_page = 600;
	read = fault("read, the home has the page", WRITTEN_READ, 1, false, false, 2);
	w1 = fault("write, 1 sharer", WRITTEN_READ, 1, false, true, 4);
	w4 = fault("write, 4 sharers", WRITTEN_READ, 4, false, true, 10);
	w16 = fault("write, 16 sharers", WRITTEN_READ, 16, false, true, 34);
	fault("upgrade without data, no other sharer", WRITTEN_READ, 0, true, true, 2);
	fault("upgrade without data, 1 sharer", WRITTEN_READ, 1, true, true, 4);
	sweep();
	false_sharing();
	printf("  read fault / (1.25 x round trip + kernel fault): %.2f (aim: at most 1)\n",
	       read.median / (1.25 * wire.median + kernel.median));
	printf("  read fault / (round trip + kernel fault): %.2f\n", read.median / floor);
	printf("  write with 16 sharers / with 1: %.2f (aim: at most 1.5); with 4 / with 1: %.2f\n",
	       w16.median / w1.median, w4.median / w1.median);
}

int main(void)
{
	struct figure wire, kernel;
	pid_t child;

	setvbuf(stdout, NULL, _IOLBF, 0);
	control = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (control == MAP_FAILED)
		return 2;
	pin_to(0);
	wire = bare();
	kernel = kernel_fault();
	hosted_prepare();
	child = fork();
	if (child == 0) {
		pin_to(1);
		hosted_start("veth1", 1, HOSTED_NODES - 1);
		serve();
		_exit(0);
	}
	hosted_start("veth0", 0, 0);
	while (!hosted_all_up())
		hosted_poll();
	report(wire, kernel);
	atomic_store(&control->stop, 1);
	kill(child, SIGTERM);
	waitpid(child, NULL, 0);
	if (failed)
		printf("bench-dsm: FAILED: a wrong value, or more messages than the table says\n");
	return failed;
}
