/*
 * Switches on one deliberate bug after the other and lets the checkers look for it. Prints for each
 * which job caught it and how; fails when one gets through, or when the engine without a bug does not.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/model/explore.h"
#include "tests/model/litmus.h"

/*
 * `world`: the explorer's job that is tried first, a small one with what the bug is about (evictions, kept
 * pages, a node that is lost, frames that run out); the others follow. `litmus`: the program that has to
 * see it as well, for bugs that such programs can see.
 */
static const struct {
	const char *name;
	uint8_t world;
	const char *litmus;
} mutants[MUT_COUNT] = {
	[MUT_ACK_BEFORE_FLUSH] = {"acknowledges before the flush", 0, "SB"},
	[MUT_GRANT_BEFORE_FLUSH] = {"gives a page away before the flush", 0, "SB one page"},
	[MUT_DOWNGRADE_NO_FLUSH] = {"serves a read and keeps write access", 0, "SB"},
	[MUT_LOST_INV] = {"loses an invalidation", 0, "SB"},
	[MUT_FEWER_ACKS] = {"asks for one acknowledgement too few", 0, "SB"},
	[MUT_GRANT_NO_ACKS] = {"writes before the acknowledgements", 0, "SB"},
	[MUT_STALE_UPGRADE] = {"upgrades a stale copy", 2, "SB one page"},
	[MUT_VERSION_LOW_BIT] = {"compares versions by one bit", 2, "xchg lock, 3 CPUs"},
	[MUT_DOUBLE_GRANT] = {"grants twice", 0, "SB"},
	[MUT_INV_NOT_DEFERRED] = {"acknowledges for a copy that is still under way", 0,
				  "MP one page"},
	[MUT_COPYSET_FORGETS] = {"forgets a reader", 0, "ISA2"},
	[MUT_EVICT_NO_FLUSH] = {"writes an evicted page back before the flush", 3},
	[MUT_EVICT_FORGETS_DATA] = {"drops an evicted page too early", 3},
	[MUT_STALE_PUT] = {"takes a write-back from a former owner", 3},
	[MUT_EVICT_CLEAN_LOSES] = {"evicts an owned page without its data", 3},
	[MUT_NO_HOLD] = {"gives a page up before the instruction has retired", 0},
	[MUT_HOLD_OUT_OF_ORDER] = {"waits while holding a higher page", 9},
	[MUT_KEPT_FOR_GOOD] = {"never gives a kept page up", 12},
	[MUT_KEPT_TWICE] = {"gives a kept page up twice", 12},
	[MUT_ZERO_AFTER_WRITE] = {"serves a written page as zeros", 0, "SB"},
	[MUT_READ_STALE_HOME] = {"serves a read from a stale home frame", 0, "SB one page"},
	[MUT_AHEAD_MAPPED_EARLY] = {"maps a page asked for ahead before it is granted", 19, "ISA2"},
	[MUT_SERVE_AFTER_LOSS] = {"goes on after a node is lost", 8},
	[MUT_HOME_NOT_COUNTED] = {"grants a page and keeps no frame for it", 21},
	[MUT_DROP_EARLY] = {"drops an evicted page's frame too early", 21},
	[MUT_DROP_NEVER] = {"never drops a frame", 21},
	[MUT_WISH_FORGOTTEN] = {"forgets a write that waits for a frame", 21},
	[MUT_WISH_NO_ROOM] = {"evicts nothing for a write that waits for a frame", 21},
};

#define NOT_RUN 2 /* exit code of a check that could not be made, which has caught nothing */

/* How the child ended, as of wait(2). */
static int ended(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) < 0) {
		perror("mutants");
		exit(NOT_RUN);
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_RUN) {
		fprintf(stderr, "mutants: a check could not be run\n");
		exit(NOT_RUN);
	}
	return status;
}

/* In a child, so that a bug that breaks the engine's own assertions is caught too. */
static bool caught_by_job(const struct explore *what, char *how, size_t size)
{
	struct explore job = *what;
	int fd[2], status;
	ssize_t n;
	pid_t pid;

	job.quiet = true;
	job.limit = 1500000;
	if (pipe(fd) < 0 || (pid = fork()) < 0) {
		perror("mutants");
		exit(NOT_RUN);
	}
	if (pid == 0) {
		struct explore_result r = explore(&job);

		if (r.wrong && write(fd[1], r.wrong, strlen(r.wrong)) < 0)
			_exit(NOT_RUN);
		_exit(r.wrong != NULL);
	}
	close(fd[1]);
	n = read(fd[0], how, size - 1);
	how[n > 0 ? n : 0] = '\0';
	close(fd[0]);
	status = ended(pid);
	if (WIFSIGNALED(status))
		snprintf(how, size, "a broken assertion of the engine");
	return WIFSIGNALED(status) || WEXITSTATUS(status) != 0;
}

/* Does the litmus program of that name go wrong, or give what x86-TSO forbids? */
static bool caught_by_litmus(const char *name)
{
	for (unsigned i = 0; i < 4 * litmus_test_count; i++) {
		const struct litmus *l = &litmus_tests[i / 4];
		pid_t pid;

		if (strcmp(l->name, name))
			continue;
		pid = fork();
		if (pid == 0) {
			struct litmus_result r =
				litmus_run(l, (enum l_place)(i / 2 % 2), i % 2, 3000);

			_exit(r.wrong || r.forbidden_seen);
		}
		if (pid < 0) {
			perror("mutants");
			exit(NOT_RUN);
		}
		if (ended(pid))
			return true;
	}
	return false;
}

static bool caught(unsigned mutant)
{
	const char *name = mutants[mutant].name, *litmus = mutants[mutant].litmus;
	char how[240];

	dsm_mutant = mutant;
	if (litmus && !caught_by_litmus(litmus)) {
		printf("mutant %2u %-52s NOT CAUGHT by litmus %s\n", mutant, name, litmus);
		return false;
	}
	for (unsigned k = 0; k < explore_job_count; k++) {
		unsigned i = (mutants[mutant].world + k) % explore_job_count;

		if (!caught_by_job(&explore_jobs[i], how, sizeof(how)))
			continue;
		printf("mutant %2u %s: caught by model %u (%s)%s%s\n", mutant, name, i, how,
		       litmus ? " and by litmus " : "", litmus ? litmus : "");
		fflush(stdout);
		return true;
	}
	printf("mutant %2u %-52s NOT CAUGHT\n", mutant, name);
	return false;
}

int main(void)
{
	unsigned missed = 0;

	for (unsigned m = 1; m < MUT_COUNT; m++)
		missed += !caught(m);
	printf("mutants: %u of %u caught\n", MUT_COUNT - 1 - missed, MUT_COUNT - 1u);
	return missed != 0;
}
