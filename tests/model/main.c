/* Explores every job (or those whose number is given) and prints what was seen. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/model/explore.h"

static bool run(unsigned i, bool verbose, uint64_t limit)
{
	struct explore job = explore_jobs[i];
	struct explore_result r;

	job.verbose = verbose;
	job.limit = limit;
	r = explore(&job);
	printf("model %2u: %s: %llu states, %llu moves, %llu ends, depth %u, %llu.%03llu s: %s\n",
	       i, job.name, (unsigned long long)r.states, (unsigned long long)r.moves,
	       (unsigned long long)r.ends, r.depth, (unsigned long long)r.ms / 1000,
	       (unsigned long long)r.ms % 1000,
	       r.wrong      ? r.wrong
	       : r.complete ? "all explored, nothing wrong"
			    : "NOT all explored");
	fflush(stdout);
	return r.complete && !r.wrong;
}

int main(int argc, char **argv)
{
	const char *limit = getenv("MODEL_LIMIT");
	bool ok = true;

	if (argc > 1) {
		for (int i = 1; i < argc; i++)
			ok &= run((unsigned)atoi(argv[i]) % explore_job_count, true,
				  limit ? strtoull(limit, NULL, 0) : 0);
	} else {
		for (unsigned i = 0; i < explore_job_count; i++)
			ok &= run(i, false, 0);
	}
	return ok ? 0 : 1;
}
