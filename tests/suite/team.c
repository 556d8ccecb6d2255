#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/suite/suite.h"
#include "tests/suite/team.h"
#include "tests/suite/x86.h"

#define SLEEPS 20u

struct member {
	pthread_t thread;
	unsigned me, members;
	int cpu;
	team_fn *fn;
	void *arg;
	struct barrier *start;
};

void wait_turn(void)
{
	if (suite.crowded)
		sched_yield();
	else
		cpu_relax();
}

void barrier_wait(struct barrier *barrier, unsigned members)
{
	uint32_t phase = barrier->phase;

	if (lock_xadd(&barrier->arrived, 1) == members - 1) {
		barrier->arrived = 0;
		barrier->phase = phase + 1;
		return;
	}
	while (barrier->phase == phase)
		wait_turn();
}

void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	need(sched_setaffinity(0, sizeof(set), &set) == 0, "sched_setaffinity");
	if (sched_getcpu() != cpu)
		fail("pinned to CPU %d, but runs on CPU %d", cpu, sched_getcpu());
}

static int cpu_at(unsigned place)
{
	return suite.cpu[place % suite.cpus];
}

static void *member_main(void *arg)
{
	struct member *m = arg;

	pin(m->cpu);
	barrier_wait(m->start, m->members);
	m->fn(m->me, m->arg);
	return NULL;
}

void team_run(unsigned members, unsigned first, team_fn *fn, void *arg)
{
	struct member team[MAX_CPUS];
	struct barrier start = {0};

	for (unsigned i = members; i-- > 0;) {
		team[i] = (struct member){.me = i,
					  .members = members,
					  .cpu = cpu_at(first + i),
					  .fn = fn,
					  .arg = arg,
					  .start = &start};
		if (i == 0)
			member_main(&team[0]);
		else if (pthread_create(&team[i].thread, NULL, member_main, &team[i]))
			fail("pthread_create refused thread %u", i);
	}
	for (unsigned i = 1; i < members; i++)
		pthread_join(team[i].thread, NULL);
}

void crew_run(unsigned members, team_fn *fn, void *arg)
{
	for (unsigned i = 0; i < members; i++) {
		pid_t pid = fork();

		need(pid >= 0, "fork");
		if (pid == 0) {
			pin(cpu_at(i));
			fn(i, arg);
			_exit(0);
		}
	}
	for (unsigned i = 0; i < members; i++) {
		int status;

		need(wait(&status) > 0, "wait");
		if (WIFSIGNALED(status))
			fail("a process ended by signal %d", WTERMSIG(status));
		if (status)
			_exit(WEXITSTATUS(status));
	}
}

void slow_add(volatile uint32_t *p, unsigned step, unsigned steps)
{
	uint32_t value = *p;

	if (step % (steps / SLEEPS + 1) == 0)
		usleep(step ? 1000 : 20000);
	else
		linger(50);
	*p = value + 1;
}
