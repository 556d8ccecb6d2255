/* One time on all CPUs: what is read after a message came is not before what its sender had read. */

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>

#include "tests/suite/suite.h"
#include "tests/suite/team.h"
#include "tests/suite/x86.h"

typedef uint64_t clock_fn(void);

struct shared {
	unsigned iters;
	clock_fn *clock;
	volatile uint64_t sent; /* the time in the message */
	volatile uint32_t turn; /* whose CPU it is for: turn modulo CPUs */
	uint64_t least[MAX_CPUS];
};

static void ring_member(unsigned me, void *arg)
{
	struct shared *s = arg;
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < s->iters; i++) {
		uint64_t now;

		while (s->turn % suite.cpus != me)
			wait_turn();
		now = s->clock();
		if (now < s->sent)
			fail("time goes back by %llu from CPU %d to CPU %d in message %u",
			     (unsigned long long)(s->sent - now),
			     suite.cpu[(me + suite.cpus - 1) % suite.cpus], suite.cpu[me], i);
		if (s->sent && now - s->sent < least)
			least = now - s->sent;
		now = s->clock();
		s->sent = suite.broken ? now + 10000000000ull : now;
		s->turn++;
	}
	s->least[me] = least;
}

static void clock_source(char *text, size_t size)
{
	int fd = open("/sys/devices/system/clocksource/clocksource0/current_clocksource", O_RDONLY);
	ssize_t got = fd < 0 ? 0 : read(fd, text, size - 1);

	text[got > 0 ? got : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	close(fd);
}

static void test_ring(unsigned iters, const void *arg)
{
	struct shared *s = shared_memory(sizeof(*s));
	char source[32];

	s->iters = iters;
	s->clock = (clock_fn *)arg;
	team_run(suite.cpus, 0, ring_member, s);
	clock_source(source, sizeof(source));
	say("%u messages, clock source %s, least time from CPU to CPU", iters * suite.cpus, source);
	for (unsigned i = 0; i < suite.cpus; i++)
		say(" %llu", (unsigned long long)s->least[i]);
	say(arg == (const void *)now_ns ? " ns" : " ticks");
}

/* Every CPU has a timer that wakes a sleeper, and not early. */
static void sleep_member(unsigned me, void *arg)
{
	struct shared *s = arg;

	for (unsigned i = 0; i < s->iters; i++) {
		struct timespec wish = {.tv_nsec = 1000000 + i % 10 * 300000};
		uint64_t start = now_ns();

		if (!suite.broken)
			need(nanosleep(&wish, NULL) == 0, "nanosleep");
		if (now_ns() - start < (uint64_t)wish.tv_nsec)
			fail("a sleep of %ld us ended after %u us", wish.tv_nsec / 1000,
			     (unsigned)(now_ns() - start) / 1000);
	}
}

static void test_sleep(unsigned iters, const void *arg)
{
	struct shared *s = shared_memory(sizeof(*s));

	s->iters = iters;
	team_run(suite.cpus, 0, sleep_member, s);
	say("%u sleeps", iters * suite.cpus);
}

/*
 * On CPUs that do nothing else, timers of two kinds: those that the kernel sets a clock for, and those that
 * it looks at when it ticks. And its count of ticks itself, which some CPU keeps. Amalgam lets the
 * timer of a CPU that waits for other nodes be late, and a sleeping one's ticks: by a second at most.
 */
#define MS       1000000ull
#define TICK     (10 * MS)
#define LATE_MAX (1250 * MS)

struct idle {
	unsigned iters;
	uint64_t late[2][MAX_CPUS]; /* by kind; the most */
	uint64_t behind[MAX_CPUS];  /* the count of ticks; the most */
	uint64_t start, ticks;
};

static void wait_by_clock(uint64_t ns)
{
	struct timespec wish = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

	need(nanosleep(&wish, NULL) == 0, "nanosleep");
}

/* For a message that nobody sends. */
static void wait_by_ticks(uint64_t ns)
{
	struct timeval limit = {.tv_sec = ns / 1000000000, .tv_usec = ns % 1000000000 / 1000};
	int pair[2];
	char byte;

	need(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
	need(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0,
	     "SO_RCVTIMEO");
	need(recv(pair[0], &byte, 1, 0) < 0, "a message came");
	close(pair[0]);
	close(pair[1]);
}

/* The kernel's count of ticks, ns, in units of a hundredth of a second whatever its ticks are. */
static uint64_t ticks_ns(void)
{
	struct tms unused;

	return (uint64_t)times(&unused) * TICK;
}

static void note(uint64_t *most, uint64_t value)
{
	if (value > *most)
		*most = value;
}

static void check_ticks(struct idle *s, unsigned me)
{
	int64_t ticked = (int64_t)(ticks_ns() - s->ticks);
	int64_t behind = (int64_t)(now_ns() - s->start) - ticked;

	/* Their count may have been late at the start, too. */
	if (behind < -(int64_t)LATE_MAX || behind > (int64_t)LATE_MAX)
		fail("on CPU %d the kernel's ticks are %d ms behind its clock", suite.cpu[me],
		     (int)(behind / (int64_t)MS));
	note(&s->behind[me], behind > 0 ? behind : 0);
}

static void wait_idle(struct idle *s, unsigned me, unsigned kind, uint64_t ns)
{
	static void (*const wait[])(uint64_t ns) = {wait_by_clock, wait_by_ticks};
	uint64_t ticks = ticks_ns(), start = now_ns(), ticked;
	int64_t late;
	bool early;

	wait[kind](suite.broken ? 2 * ns : ns);
	late = (int64_t)(now_ns() - start - ns);
	ticked = ticks_ns() - ticks;
	/* A count that was late at the start may catch up meanwhile. */
	early = kind ? ticked + TICK < ns : late < 0;
	if (early || late > (int64_t)(ns / 8 + LATE_MAX))
		fail("on CPU %d a wait of %u ms by its %s took %d ms more, %u ms of ticks",
		     suite.cpu[me], (unsigned)(ns / MS), kind ? "ticks" : "clock",
		     (int)(late / (int64_t)MS), (unsigned)(ticked / MS));
	note(&s->late[kind][me], late > 0 ? late : 0);
	check_ticks(s, me);
}

static void idle_member(unsigned me, void *arg)
{
	static const unsigned ms[] = {250, 1000, 4000};
	struct idle *s = arg;

	for (unsigned i = 0; i < s->iters; i++)
		for (unsigned kind = 0; kind < 2; kind++)
			for (unsigned n = 0; n < sizeof(ms) / sizeof(*ms); n++)
				wait_idle(s, me, kind, ms[n] * MS);
}

static void say_ms(const char *what, const uint64_t *ns)
{
	say(", %s", what);
	for (unsigned i = 0; i < suite.cpus; i++)
		say(" %u", (unsigned)(ns[i] / MS));
}

static void test_idle(unsigned iters, const void *arg)
{
	struct idle *s = shared_memory(sizeof(*s));

	s->iters = iters;
	s->ticks = ticks_ns();
	s->start = now_ns();
	team_run(suite.cpus, 0, idle_member, s);
	say("at most ms late");
	say_ms("by the clock", s->late[0]);
	say_ms("by ticks", s->late[1]);
	say_ms("ticks behind", s->behind);
}

const struct test clock_tests[] = {
	{"clock.monotonic", 2, 10, test_ring, now_ns},
	{"clock.tsc", 2, 10, test_ring, rdtsc_ordered},
	{"clock.sleep", 1, 1000, test_sleep, NULL},
	{"clock.idle", 1, 100000, test_idle, NULL},
	{0},
};
