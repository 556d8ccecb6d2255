/* The last CPU goes away and comes back while a process lives on it. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/suite/suite.h"
#include "tests/suite/team.h"
#include "tests/suite/x86.h"

static int last_cpu(void)
{
	return suite.cpu[suite.cpus - 1];
}

static void set_online(int cpu, bool on)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		skip("the kernel does not let CPU %d be switched", cpu);
	need(write(fd, on ? "1" : "0", 1) == 1, on ? "CPU online" : "CPU offline");
	close(fd);
}

static bool can_run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) == 0;
}

static pid_t start_lodger(volatile uint32_t *steps)
{
	pid_t pid = fork();

	need(pid >= 0, "fork");
	if (pid)
		return pid;
	pin(last_cpu());
	for (;;) {
		++*steps;
		cpu_relax();
	}
}

static void await_steps(volatile uint32_t *steps)
{
	for (uint32_t before = *steps; *steps == before;)
		usleep(1000);
}

static void test_offline(unsigned iters, const void *arg)
{
	volatile uint32_t *steps = shared_memory(PAGE_SIZE);
	pid_t lodger = start_lodger(steps);

	pin(suite.cpu[0]);
	for (unsigned i = 0; i < iters; i++) {
		await_steps(steps);
		if (!suite.broken)
			set_online(last_cpu(), false);
		if (can_run_on(last_cpu()))
			fail("CPU %d is offline, yet a process can be put there", last_cpu());
		await_steps(steps); /* its process was moved and goes on */
		set_online(last_cpu(), true);
		pin(last_cpu());
		pin(suite.cpu[0]);
	}
	kill(lodger, SIGKILL);
	say("CPU %d %u times", last_cpu(), iters);
}

const struct test hotplug_tests[] = {
	{"hotplug.offline", 2, 20000, test_offline, NULL},
	{0},
};
