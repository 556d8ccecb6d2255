/* One time on all CPUs: what is read after a message came is not before what its sender had read. */

#include <fcntl.h>
#include <string.h>
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

const struct test clock_tests[] = {
	{"clock.monotonic", 2, 10, test_ring, now_ns},
	{"clock.tsc", 2, 10, test_ring, rdtsc_ordered},
	{"clock.sleep", 1, 1000, test_sleep, NULL},
	{0},
};
