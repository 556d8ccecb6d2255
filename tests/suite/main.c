/*
 * suite [WORD]...   see usage() for the words
 *
 * Runs tests one after the other, each in its own process group with a time limit, and prints a line
 * for each: "NAME ok|FAILED|skipped ...". Exit code: 0 none failed, 1 one failed, 2 wrong usage.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/suite/suite.h"
#include "tests/suite/x86.h"

#define MAX_WANTED 32

enum { EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_SKIPPED };

struct settings suite = {.iters = 100000, .timeout = 300, .fill = 16};

static const struct test *const tables[] = {
	litmus_tests, atomic_tests, sync_tests,   process_tests, tlb_tests,
	code_tests,   clock_tests,  memory_tests, hotplug_tests, bench_tests,
};

/* Shared with the tests' processes. */
static struct result {
	volatile uint32_t ended; /* the process that has had the last word */
	char text[1024];
} * result;

static struct {
	const char *name;
	unsigned iters; /* 0: as for all */
} wanted[MAX_WANTED];
static unsigned wanted_count;

static void append(const char *format, va_list args)
{
	size_t used = strlen(result->text);

	vsnprintf(result->text + used, sizeof(result->text) - used, format, args);
}

void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	append(format, args);
	va_end(args);
}

static _Noreturn void last_word(int code, const char *format, va_list args)
{
	uint32_t me = getpid(), first = cmpxchg(&result->ended, 0, me);

	if (first == me) {
		for (;;)
			pause(); /* another thread of ours is about to end us all */
	}
	if (first) {
		usleep(100000); /* the other process may still be writing */
		_exit(code);
	}
	result->text[0] = '\0';
	append(format, args);
	_exit(code);
}

void fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	last_word(EXIT_FAILED, format, args);
}

void skip(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	last_word(EXIT_SKIPPED, format, args);
}

void need(bool true_, const char *what)
{
	if (!true_)
		fail("%s: %s", what, strerror(errno));
}

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

void *shared_memory(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	need(p != MAP_FAILED, "mmap");
	return p;
}

static int usage(const char *word)
{
	printf("suite: '%s' is no test, no option, or has a wrong value\n"
	       "usage: suite [iters=N] [cpus=0,2-3] [timeout=SECONDS] [fill=MIB|free] [break]\n"
	       "             [list] [NAME[:N]]...\n"
	       "NAME: a test, or the front of a name up to a point (litmus, litmus.SB), N: its "
	       "iterations;\n"
	       "check: all but hotplug and bench, as without a name; all: all\n",
	       word);
	return EXIT_USAGE;
}

static _Noreturn void refuse(const char *word)
{
	exit(usage(word));
}

/* What the kernel thinks can be had without swapping, less what a test needs besides. */
static unsigned free_mib(void)
{
	FILE *file = fopen("/proc/meminfo", "r");
	unsigned long kib = 0;
	char line[128];

	while (file && fgets(line, sizeof(line), file) &&
	       sscanf(line, "MemAvailable: %lu", &kib) != 1)
		;
	if (file)
		fclose(file);
	return kib / 1024 > 40 ? kib / 1024 - 24 : 16;
}

static unsigned number(const char *word, const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end || value == 0 || value > 1000000000)
		refuse(word);
	return value;
}

static void add_cpu(const char *word, const cpu_set_t *allowed, int cpu)
{
	if (!CPU_ISSET(cpu, allowed)) {
		printf("suite: there is no CPU %d\n", cpu);
		refuse(word);
	}
	for (unsigned i = 0; i < suite.cpus; i++)
		suite.crowded |= suite.cpu[i] == cpu;
	if (suite.cpus < MAX_CPUS)
		suite.cpu[suite.cpus++] = cpu;
}

/* "0,2-3"; every CPU when text is NULL. */
static void choose_cpus(const char *word, const char *text)
{
	cpu_set_t allowed;

	sched_getaffinity(0, sizeof(allowed), &allowed);
	suite.cpus = 0;
	for (int cpu = 0; !text && cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed))
			add_cpu(word, &allowed, cpu);
	while (text && *text) {
		int first, last, length, more = 0;

		if (sscanf(text, "%d%n", &first, &length) != 1)
			refuse(word);
		last = first;
		if (sscanf(text + length, "-%d%n", &last, &more) == 1)
			length += more;
		if (first < 0 || last < first || last >= CPU_SETSIZE)
			refuse(word);
		while (first <= last)
			add_cpu(word, &allowed, first++);
		text += length;
		text += *text == ',';
	}
}

/* Is `front` the name, or its front up to a point? */
static bool fits(const char *name, const char *front)
{
	size_t length = strlen(front);

	return strncmp(name, front, length) == 0 && (!name[length] || name[length] == '.');
}

/* With how many iterations, before they are divided; 0: not at all. */
static unsigned wanted_iters(const char *name)
{
	bool special = fits(name, "hotplug") || fits(name, "bench");

	for (unsigned i = 0; i < wanted_count; i++) {
		const char *front = wanted[i].name;

		if (strcmp(front, "all") == 0 || fits(name, front) ||
		    (strcmp(front, "check") == 0 && !special))
			return wanted[i].iters ? wanted[i].iters : suite.iters;
	}
	return wanted_count == 0 && !special ? suite.iters : 0;
}

static bool is_name(const char *word)
{
	if (strcmp(word, "all") == 0 || strcmp(word, "check") == 0)
		return true;
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		for (const struct test *test = tables[i]; test->name; test++)
			if (fits(test->name, word))
				return true;
	return false;
}

static void list(void)
{
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		for (const struct test *test = tables[i]; test->name; test++)
			puts(test->name);
}

/* "litmus", or "litmus:5000" */
static void want(char *word)
{
	char *count = strchr(word, ':');

	if (wanted_count == MAX_WANTED)
		refuse(word);
	if (count) {
		wanted[wanted_count].iters = number(word, count + 1);
		*count = '\0';
	}
	if (!is_name(word))
		refuse(word);
	wanted[wanted_count++].name = word;
}

static void take_word(char *word)
{
	const char *value = strchr(word, '=');

	if (strcmp(word, "break") == 0)
		suite.broken = true;
	else if (value && strncmp(word, "iters=", 6) == 0)
		suite.iters = number(word, value + 1);
	else if (value && strncmp(word, "timeout=", 8) == 0)
		suite.timeout = number(word, value + 1);
	else if (strcmp(word, "fill=free") == 0)
		suite.fill = free_mib();
	else if (value && strncmp(word, "fill=", 5) == 0)
		suite.fill = number(word, value + 1);
	else if (value && strncmp(word, "cpus=", 5) == 0)
		choose_cpus(word, value + 1);
	else
		want(word);
}

/* Waits for the test's process; false when its time is up. */
static bool wait_for(pid_t pid, int *status)
{
	uint64_t deadline = now_ns() + suite.timeout * 1000000000ull;
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	while (waitpid(pid, status, WNOHANG) != pid) {
		uint64_t now = now_ns();
		struct timespec left;

		if (now >= deadline)
			return false;
		left.tv_sec = (deadline - now) / 1000000000;
		left.tv_nsec = (deadline - now) % 1000000000;
		sigtimedwait(&child, NULL, &left);
	}
	return true;
}

static pid_t start(const struct test *test, unsigned iters)
{
	pid_t pid;

	memset(result, 0, sizeof(*result));
	fflush(stdout);
	pid = fork();
	if (pid != 0)
		return pid;
	setpgid(0, 0);
	sigprocmask(SIG_SETMASK, &(sigset_t){0}, NULL);
	iters /= test->divide;
	test->run(iters ? iters : 1, test->arg);
	_exit(cmpxchg(&result->ended, 0, getpid()) ? EXIT_FAILED : EXIT_OK);
}

static const char *verdict(int code)
{
	return code == EXIT_OK ? "ok" : code == EXIT_SKIPPED ? "skipped" : "FAILED";
}

/* Prints how it went; the test's exit code. */
static int run_one(const struct test *test, unsigned iters)
{
	uint64_t began = now_ns();
	int code, status = 0;
	pid_t pid;

	if (suite.cpus < test->cpus) {
		printf("%s skipped it needs %u CPUs and has %u\n", test->name, test->cpus,
		       suite.cpus);
		return EXIT_SKIPPED;
	}
	pid = start(test, iters);
	if (pid < 0) {
		printf("%s FAILED fork: %s\n", test->name, strerror(errno));
		return EXIT_FAILED;
	}
	if (!wait_for(pid, &status)) {
		printf("%s FAILED it was not done after %u s\n", test->name, suite.timeout);
		code = EXIT_FAILED;
	} else if (WIFSIGNALED(status)) {
		printf("%s FAILED it ended by signal %d\n", test->name, WTERMSIG(status));
		code = EXIT_FAILED;
	} else {
		code = WEXITSTATUS(status);
		printf("%s %s %u ms%s%s\n", test->name, verdict(code),
		       (unsigned)((now_ns() - began) / 1000000), *result->text ? ", " : "",
		       result->text);
	}
	fflush(stdout);
	kill(-pid, SIGKILL);
	return code;
}

static int run_all(void)
{
	unsigned passed = 0, failed = 0, skipped = 0;

	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
		for (const struct test *test = tables[i]; test->name; test++) {
			unsigned iters = wanted_iters(test->name);

			if (!iters)
				continue;
			switch (run_one(test, iters)) {
			case EXIT_OK:
				passed++;
				break;
			case EXIT_SKIPPED:
				skipped++;
				break;
			default:
				failed++;
			}
		}
	}
	if (skipped)
		printf("suite: %u skipped\n", skipped);
	printf("suite: %u passed, %u failed\n", passed, failed);
	return failed ? EXIT_FAILED : EXIT_OK;
}

static void introduce(void)
{
	struct utsname name;

	uname(&name);
	printf("suite: Linux %s, CPUs", name.release);
	for (unsigned i = 0; i < suite.cpus; i++)
		printf(" %d", suite.cpu[i]);
	printf(", iters=%u timeout=%u fill=%u%s\n", suite.iters, suite.timeout, suite.fill,
	       suite.broken ? " break" : "");
	if (suite.cpus == 1)
		printf("suite: with only 1 CPU everything that is between CPUs is skipped\n");
}

int main(int argc, char **argv)
{
	sigset_t child;

	/* What tests execute as processes of their own. */
	if (argc == 3 && strcmp(argv[1], "exit") == 0)
		return atoi(argv[2]);
	if (argc == 3 && strcmp(argv[1], "unit") == 0)
		return bench_unit(argv[2]);
	choose_cpus("cpus", NULL);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "list") == 0) {
			list();
			return EXIT_OK;
		}
		take_word(argv[i]);
	}
	result = shared_memory(sizeof(*result));
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	introduce();
	return run_all();
}
