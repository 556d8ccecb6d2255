/* Processes born on one CPU and at work on another, whose memory is copied when written. */

#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/suite/suite.h"
#include "tests/suite/team.h"

#define WORDS (4 * PAGE_SIZE / sizeof(uint32_t))

struct storm {
	unsigned iters;
	bool exec;
};

static int exit_code_of(pid_t pid)
{
	int status;

	need(waitpid(pid, &status, 0) == pid, "waitpid");
	if (WIFSIGNALED(status))
		fail("a child ended by signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

static void execute(unsigned code)
{
	char text[12];

	snprintf(text, sizeof(text), "%u", code);
	execl("/proc/self/exe", "suite", "exit", text, (char *)NULL);
	_exit(127);
}

/* The child sees what its parent wrote, and changes only its own copy. */
static void child(uint32_t *words, uint32_t seed, unsigned code, bool exec)
{
	for (unsigned i = 0; i < WORDS; i++) {
		if (words[i] != seed + i)
			fail("a child found %#x in word %u, its parent had left %#x", words[i], i,
			     seed + i);
		words[i] = ~words[i];
	}
	if (exec)
		execute(code);
	_exit(code);
}

static void fork_member(unsigned me, void *arg)
{
	const struct storm *storm = arg;
	int share = suite.broken ? MAP_SHARED : MAP_PRIVATE;
	uint32_t *words = mmap(NULL, WORDS * sizeof(*words), PROT_READ | PROT_WRITE,
			       share | MAP_ANONYMOUS, -1, 0);

	need(words != MAP_FAILED, "mmap");
	for (unsigned i = 0; i < storm->iters; i++) {
		uint32_t seed = me << 24 ^ i * 0x10001;
		unsigned wanted = (me * 16 + i) % 120;
		int code;
		pid_t pid;

		for (unsigned k = 0; k < WORDS; k++)
			words[k] = seed + k;
		pid = fork();
		need(pid >= 0, "fork");
		if (pid == 0) {
			pin(suite.cpu[(me + i) % suite.cpus]);
			child(words, seed, wanted, storm->exec);
		}
		code = exit_code_of(pid);
		if (code != (int)wanted)
			fail("a child's exit code is %d, not %u", code, wanted);
		for (unsigned k = 0; k < WORDS; k++)
			if (words[k] != seed + k)
				fail("a child's store reached its parent: word %u is %#x", k,
				     words[k]);
	}
}

static void test_storm(unsigned iters, const void *arg)
{
	struct storm storm = {.iters = iters, .exec = arg != NULL};

	crew_run(suite.cpus, fork_member, &storm);
	say("%u processes", iters * suite.cpus);
}

const struct test process_tests[] = {
	{"process.fork", 1, 500, test_storm, NULL},
	{"process.exec", 1, 500, test_storm, "exec"},
	{0},
};
