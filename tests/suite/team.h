#pragma once
/* Threads and processes, one to a CPU. */

#include <stdint.h>

/* One turn of a loop that waits for another member. */
void wait_turn(void);

/*
 * Spins, since the tests want all CPUs at work; for one member to a CPU. Whatever was stored before
 * it is seen after it by all.
 */
struct barrier {
	_Alignas(64) volatile uint32_t arrived;
	volatile uint32_t phase;
};
void barrier_wait(struct barrier *barrier, unsigned members);

/* The calling thread runs on this CPU from now on, or the test fails. */
void pin(int cpu);

typedef void team_fn(unsigned me, void *arg);

/* Runs `fn` in `members` threads (the caller is number 0) on the CPUs from place `first` on. */
void team_run(unsigned members, unsigned first, team_fn *fn, void *arg);

/* The same in processes of their own; one that does not end well fails the test. */
void crew_run(unsigned members, team_fn *fn, void *arg);

/*
 * Adds 1, right only behind a lock: between load and store there is time for another CPU, and in some
 * of the `steps`, the first above all, a sleep, so that others come to run on a busy host, too.
 */
void slow_add(volatile uint32_t *p, unsigned step, unsigned steps);
