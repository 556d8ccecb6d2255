/*
 * Switches on one deliberate fault after the other and looks for a schedule that shows it. Fails when one
 * gets through, or when what has no fault is called wrong.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hv/cluster/mutant.h"
#include "tests/glue/glue.h"
#include "tests/glue/mutants.h"

#ifdef GLUE_MUTANTS
#define SCHEDULES 10000u
#define SECONDS   300u /* a fault may also make a loop that does not end */

unsigned glue_mutant;

static const char *const names[GLUE_MUTANTS_END] = {
	[GLUE_NO_WAIT_FOR_GUEST] = "does not wait for a CPU in the guest",
	[GLUE_NO_WAIT_FOR_TOUCH] = "does not wait for the hypervisor's accesses",
	[GLUE_EPOCH_STAYS] = "does not raise the epoch",
	[GLUE_NO_FLUSH] = "enters without a flush",
	[GLUE_NO_SECOND_LOOK] = "enters without a second look at the epoch",
	[GLUE_FLUSHED_EARLY] = "tells of the flush before it is done",
	[GLUE_TOUCH_UNMARKED] = "does not mark what the hypervisor touches",
	[GLUE_RELEASE_FORGETS] = "keeps the mark after the release",
	[GLUE_READ_IS_WRITE] = "maps a copy to be written",
	[GLUE_DROP_FORGOTTEN] = "keeps the RAM of a frame that is dropped",
	[GLUE_DROP_SHARED] = "uses the RAM of a dropped frame twice",
	[GLUE_CLOCK_STAYS] = "does not follow another node's clock",
	[GLUE_CLOCK_NO_SYNC] = "follows it behind the guest's back",
	[GLUE_PAGE_UNCHECKED] = "takes a delta against another page",
	[GLUE_QUEUE_JUMPED] = "lets a message overtake those that wait",
	[GLUE_POST_DROPPED] = "drops a message that there is no room for",
	[GLUE_ANY_ANSWER] = "takes one node's answer for all",
	[GLUE_EOI_LATE] = "carries an EOI out after later accesses",
	[GLUE_SERVED_TWICE] = "carries an access out twice",
	[GLUE_IPI_UNTOLD] = "posts an interrupt and calls nobody",
	[GLUE_DEST_UNTOLD] = "acknowledges an address and forgets it",
	[GLUE_UNHALT_DROPPED] = "loses a KICK_CPU",
	[GLUE_STOP_UNFOLLOWED] = "does not follow another node's end",
	[GLUE_QUESTIONS_STAY] = "serves in the next life what the last one asked",
};

static void child(int out)
{
	dup2(out, STDOUT_FILENO);
	alarm(SECONDS);
	for (uint64_t seed = 1; seed <= SCHEDULES; seed++)
		schedule(seed, false, false, false);
	_exit(0);
}

/* What the last line of the child's said; true when it ended otherwise than well. */
static bool caught(unsigned mutant, char *how, size_t size)
{
	int fd[2], status;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	fflush(stdout);
	glue_mutant = mutant;
	if (pipe(fd) < 0 || (pid = fork()) < 0) {
		perror("glue");
		exit(2);
	}
	if (pid == 0)
		child(fd[1]);
	close(fd[1]);
	while (len < size - 1 && (n = read(fd[0], how + len, size - 1 - len)) > 0)
		len += (size_t)n;
	how[len] = '\0';
	how[strcspn(how, "\n")] = '\0';
	close(fd[0]);
	if (waitpid(pid, &status, 0) < 0)
		exit(2);
	if (WIFSIGNALED(status))
		snprintf(how, size, "%s", strsignal(WTERMSIG(status)));
	return WIFSIGNALED(status) || WEXITSTATUS(status) != 0;
}

int mutants(unsigned only)
{
	unsigned missed = 0;
	char how[400];

	for (unsigned m = 1; m < GLUE_MUTANTS_END; m++) {
		bool found = (!only || m == only) && caught(m, how, sizeof(how));

		if (only && m != only)
			continue;
		missed += !found;
		printf("glue: mutant %2u %s: %s\n", m, names[m], found ? how : "NOT CAUGHT");
	}
	if (!only)
		printf("glue: %u of %u mutants caught\n", GLUE_MUTANTS_END - 1 - missed,
		       GLUE_MUTANTS_END - 1u);
	return missed != 0;
}
#else
int mutants(unsigned only)
{
	(void)only;
	fprintf(stderr, "glue: built without mutants\n");
	return 2;
}
#endif
