/* What the kernel offers for waiting: mutex, futex, pipes, signals, each handed on between CPUs. */

#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/suite/suite.h"
#include "tests/suite/team.h"
#include "tests/suite/x86.h"

#define MESSAGE 5000u /* more than a page, less than a pipe holds */

struct shared {
	unsigned iters;
	pthread_mutex_t mutex;
	struct barrier barrier;
	_Alignas(64) volatile uint32_t token;
	_Alignas(64) volatile uint32_t count;
	volatile pthread_t thread;
	volatile pid_t pid[MAX_CPUS];
	int pipe[MAX_CPUS][2];
};

static struct shared *prepare(unsigned iters)
{
	struct shared *s = shared_memory(sizeof(*s));

	s->iters = iters;
	return s;
}

static void add_under_mutex(unsigned me, void *arg)
{
	struct shared *s = arg;

	for (unsigned i = 0; i < s->iters; i++) {
		if (!suite.broken)
			pthread_mutex_lock(&s->mutex);
		slow_add(&s->count, i, s->iters);
		if (!suite.broken)
			pthread_mutex_unlock(&s->mutex);
	}
}

static void expect_count(const struct shared *s, unsigned expected)
{
	if (s->count != expected)
		fail("the counter is %u after %u additions", s->count, expected);
}

static void test_mutex(unsigned iters, const void *arg)
{
	struct shared *s = prepare(iters);

	pthread_mutex_init(&s->mutex, NULL);
	team_run(suite.cpus, 0, add_under_mutex, s);
	expect_count(s, iters * suite.cpus);
	say("%u additions", s->count);
}

static long futex(volatile uint32_t *word, int what, uint32_t value)
{
	return syscall(SYS_futex, word, what, value, NULL, NULL, 0);
}

/* The token goes round; who has it sleeps until then, and counts alone. */
static void pass_token(unsigned me, void *arg)
{
	struct shared *s = arg;

	for (unsigned i = 0; i < s->iters; i++) {
		for (;;) {
			uint32_t token = s->token;

			if (token % suite.cpus == me)
				break;
			futex(&s->token, FUTEX_WAIT_PRIVATE, token);
		}
		slow_add(&s->count, i, s->iters);
		lock_add(&s->token, 1);
		if (!suite.broken)
			futex(&s->token, FUTEX_WAKE_PRIVATE, MAX_CPUS);
	}
}

static void test_futex(unsigned iters, const void *arg)
{
	struct shared *s = prepare(iters);

	team_run(suite.cpus, 0, pass_token, s);
	expect_count(s, iters * suite.cpus);
	say("%u hand-overs", s->count);
}

static unsigned char pattern(unsigned turn, unsigned at)
{
	return turn * 31 + at * 7 + at / 256;
}

static void read_all(int fd, unsigned char *buffer, unsigned size)
{
	while (size) {
		ssize_t got = read(fd, buffer, size);

		need(got > 0, "read from a pipe");
		buffer += got;
		size -= got;
	}
}

static unsigned size_of_turn(unsigned turn)
{
	return 1 + turn * 613 % MESSAGE;
}

static void send_turn(const struct shared *s, unsigned to, unsigned turn)
{
	unsigned char buffer[MESSAGE];
	unsigned size = size_of_turn(turn);

	for (unsigned i = 0; i < size; i++)
		buffer[i] = pattern(turn, i) ^ (suite.broken && i == size - 1);
	need(write(s->pipe[to % suite.cpus][1], buffer, size) == (ssize_t)size, "write to a pipe");
}

/* Messages of all sizes go round a ring of pipes between processes. */
static void pipe_member(unsigned me, void *arg)
{
	const struct shared *s = arg;
	unsigned char buffer[MESSAGE];

	if (me == 0)
		send_turn(s, 1, 0);
	for (unsigned i = 0; i < s->iters; i++) {
		unsigned turn = i * suite.cpus + (me ? me - 1 : suite.cpus - 1);
		unsigned size = size_of_turn(turn);

		read_all(s->pipe[me][0], buffer, size);
		for (unsigned k = 0; k < size; k++)
			if (buffer[k] != pattern(turn, k))
				fail("byte %u of %u in message %u is %#x, sent was %#x", k, size,
				     turn, buffer[k], pattern(turn, k));
		if (me || i + 1 < s->iters)
			send_turn(s, me + 1, turn + 1);
	}
}

static void test_pipe(unsigned iters, const void *arg)
{
	struct shared *s = prepare(iters);

	for (unsigned i = 0; i < suite.cpus; i++)
		need(pipe(s->pipe[i]) == 0, "pipe");
	crew_run(suite.cpus, pipe_member, s);
	say("%u messages", iters * suite.cpus);
}

static struct shared *handled;

static void count_signal(int number)
{
	handled->count++;
}

/* Thread 0 signals thread 1, which computes in user mode: only an interrupt tells it. */
static void signal_member(unsigned me, void *arg)
{
	struct shared *s = arg;

	if (me == 1) {
		s->thread = pthread_self();
		barrier_wait(&s->barrier, 2);
		while (s->token < s->iters)
			cpu_relax();
		return;
	}
	barrier_wait(&s->barrier, 2);
	while (s->token < s->iters) {
		uint32_t before = s->count;

		if (!suite.broken || s->token)
			pthread_kill(s->thread, SIGUSR1);
		for (uint64_t start = now_ns(); s->count == before;) {
			cpu_relax();
			if (now_ns() - start > 1000000000ull * suite.timeout / 4)
				fail("signal %u did not arrive", s->token);
		}
		s->token++;
	}
}

static void test_signal(unsigned iters, const void *arg)
{
	handled = prepare(iters);
	signal(SIGUSR1, count_signal);
	team_run(2, 0, signal_member, handled);
	expect_count(handled, iters);
	say("%u signals", iters);
}

/* Queued signals with a number each: all arrive, in order, from the neighbour. */
static void sigqueue_member(unsigned me, void *arg)
{
	struct shared *s = arg;
	unsigned next = (me + 1) % suite.cpus, last = (me + suite.cpus - 1) % suite.cpus;
	sigset_t set;

	s->pid[me] = getpid();
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	barrier_wait(&s->barrier, suite.cpus);
	for (unsigned i = 0; i < s->iters; i++) {
		union sigval value = {.sival_int = i};
		siginfo_t info;

		if (!(suite.broken && i == s->iters / 2))
			need(sigqueue(s->pid[next], SIGRTMIN, value) == 0, "sigqueue");
		else
			need(sigqueue(s->pid[me], SIGRTMIN, value) == 0, "sigqueue");
		need(sigwaitinfo(&set, &info) == SIGRTMIN, "sigwaitinfo");
		if (info.si_value.sival_int != (int)i || info.si_pid != s->pid[last])
			fail("signal %d of process %d came instead of %u of %d",
			     info.si_value.sival_int, (int)info.si_pid, i, (int)s->pid[last]);
	}
}

static void test_sigqueue(unsigned iters, const void *arg)
{
	struct shared *s = prepare(iters);
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	crew_run(suite.cpus, sigqueue_member, s);
	say("%u signals", iters * suite.cpus);
}

const struct test sync_tests[] = {
	{"sync.mutex", 2, 1, test_mutex, NULL},        {"sync.futex", 2, 10, test_futex, NULL},
	{"sync.pipe", 2, 50, test_pipe, NULL},         {"sync.signal", 2, 50, test_signal, NULL},
	{"sync.sigqueue", 2, 50, test_sigqueue, NULL}, {0},
};
