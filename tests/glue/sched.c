/* Who goes on when: fibers, one at a time by the seed, or threads; and time. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "hv/base/log.h"
#include "tests/glue/glue.h"

/* A schedule that takes more yields has come to a halt somewhere. */
#define TURNS_MAX  6000000u
/* A CPU may take so long from one instruction to the next, in turns of all. */
#define SLOW_TURNS 80
/* Time leaps no further while somebody polls, at first and at last. */
#define LEAP_MIN   (2 * NS_PER_US)
#define LEAP_MAX   (10 * NS_PER_MS)

struct glue glue;

struct sched_thread {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
};

static struct {
	struct runner *current;
	struct fiber main;
	void (*fn)(struct runner *r);
	uint64_t now, random, turns, leap;
	unsigned calm; /* yields since something happened */
} s;

static struct sched_thread threads[GLUE_CPUS];
static __thread struct runner *this_thread;

struct runner *glue_self(void)
{
	return glue.config.threads ? this_thread : s.current;
}

uint64_t glue_now(void)
{
	struct timespec t;

	if (!glue.config.threads)
		return s.now;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t glue_random(uint64_t below)
{
	struct runner *self = glue_self();
	uint64_t *state = glue.config.threads && self ? &self->random : &s.random;
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	z ^= z >> 31;
	/* A product's upper half is as even as a remainder, and a tenth of its time. */
	return below ? (uint64_t)((unsigned __int128)z * below >> 64) : z;
}

void glue_wrong(const char *fmt, ...)
{
	const struct runner *r = glue_self();
	va_list ap;

	printf("glue: seed %llu: ", (unsigned long long)glue.config.seed);
	if (r && r->host && r->host->current)
		printf("vCPU %u on node %u: ", r->host->current->index, r->node->vm.nodes.self);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	_exit(1);
}

uint64_t sched_turns(void)
{
	return s.turns;
}

void sched_stir(void)
{
	if (glue.config.threads)
		return;
	s.calm = 0;
	s.leap = LEAP_MIN;
}

/* --- Fibers --- */

static void wake(struct runner *r)
{
	if (r->state == RUNNER_IDLE)
		r->state = RUNNER_READY;
}

static uint64_t next_timer(void)
{
	uint64_t at = GLUE_NEVER;

	for (unsigned i = 0; i < glue.runner_count; i++)
		if (glue.runners[i].state == RUNNER_IDLE)
			at = MIN(at, glue.runners[i].timer_at);
	return at;
}

static void ring(void)
{
	for (unsigned i = 0; i < glue.runner_count; i++) {
		struct runner *r = &glue.runners[i];

		if (r->timer_at <= s.now) {
			r->timer_at = GLUE_NEVER;
			runner_interrupt(r, GLUE_IRQ_TIMER);
		}
	}
	net_ring();
}

/* One that can go on; those that are slow only if all are. */
static struct runner *any_ready(void)
{
	struct runner *quick[GLUE_CPUS], *slow[GLUE_CPUS];
	unsigned quicks = 0, slows = 0;

	for (unsigned i = 0; i < glue.runner_count; i++) {
		struct runner *r = &glue.runners[i];

		if (r->state == RUNNER_READY && r->slow_until > s.turns)
			slow[slows++] = r;
		else if (r->state == RUNNER_READY)
			quick[quicks++] = r;
	}
	return quicks ? quick[glue_random(quicks)] : slow[glue_random(slows)];
}

/* All others wait: who was slow goes on. False: nobody was. */
static bool hurry(void)
{
	bool any = false;

	for (unsigned i = 0; i < glue.runner_count; i++) {
		struct runner *r = &glue.runners[i];

		any |= r->state == RUNNER_READY && r->slow_until > s.turns;
		r->slow_until = 0;
	}
	s.calm = any ? 0 : s.calm;
	return any;
}

static unsigned count_state(enum runner_state state)
{
	unsigned n = 0;

	for (unsigned i = 0; i < glue.runner_count; i++)
		n += glue.runners[i].state == state;
	return n;
}

/* To what comes next; pollers see time pass in steps that grow. */
static void leap(unsigned ready)
{
	uint64_t at = next_timer();

	/* A card without an interrupt has to be looked at. */
	if (ready || glue.config.wakes)
		at = MIN(at, net_next());
	if (at == GLUE_NEVER && !ready)
		glue_wrong("all CPUs sleep, and nothing will wake one");
	if (ready)
		at = MIN(at, s.now + s.leap);
	s.leap = MIN(2 * s.leap, LEAP_MAX);
	s.now = MAX(s.now, at);
	s.calm = 0;
}

static struct runner *pick(void)
{
	for (;;) {
		unsigned ready = count_state(RUNNER_READY);

		if (count_state(RUNNER_GONE) == glue.runner_count)
			return NULL;
		if (ready && (s.calm <= ready || hurry()))
			return any_ready();
		leap(ready);
		ring();
	}
}

static void go_on(void)
{
	struct runner *self = s.current, *next;

	if (++s.turns > TURNS_MAX)
		glue_wrong("the schedule does not come to its end");
	next = pick();
	if (next == self)
		return;
	s.current = next;
	fiber_switch(self ? &self->fiber : &s.main, next ? &next->fiber : &s.main);
}

static void fiber_main(void)
{
	fiber_begun();
	s.fn(s.current);
	s.current->state = RUNNER_GONE;
	go_on();
	abort();
}

static void fiber_yield(enum glue_pace pace)
{
	static const uint16_t cost[] = {30, 600, 200};

	s.now += cost[pace] + glue_random(cost[pace]);
	if (pace == PACE_STEP)
		sched_stir();
	else if (pace == PACE_RELAX)
		s.calm++;
	else if (glue.config.slow && glue_random(glue.config.slow) == 0)
		s.current->slow_until = s.turns + glue_random(SLOW_TURNS);
	ring();
	if (s.current->state == RUNNER_READY && glue_random(1000) < glue.config.sticky &&
	    pace != PACE_RELAX)
		return;
	go_on();
}

static void fibers_run(void)
{
	for (unsigned i = 0; i < glue.runner_count; i++)
		fiber_make(&glue.runners[i].fiber, fiber_main);
	go_on();
}

/* --- Threads --- */

static void *thread_main(void *arg)
{
	struct runner *r = arg;

	this_thread = r;
	s.fn(r);
	return NULL;
}

static void thread_yield(enum glue_pace pace)
{
	if (this_thread && atomic_load(&this_thread->node->dead))
		pthread_exit(NULL);
	if (pace == PACE_RELAX || glue_random(16) == 0)
		sched_yield();
}

static void thread_sleep(struct runner *r)
{
	struct sched_thread *t = r->thread;
	uint64_t at = MIN(atomic_load(&r->timer_at), glue_now() + 20 * NS_PER_MS);
	struct timespec until = {(time_t)(at / NS_PER_S), (long)(at % NS_PER_S)};

	pthread_mutex_lock(&t->lock);
	while (!atomic_load(&r->irq) && glue_now() < at)
		pthread_cond_timedwait(&t->wake, &t->lock, &until);
	pthread_mutex_unlock(&t->lock);
	thread_yield(PACE_POINT);
}

static void threads_run(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	for (unsigned i = 0; i < glue.runner_count; i++) {
		struct runner *r = &glue.runners[i];

		r->thread = &threads[i];
		r->random = glue.config.seed * 64 + i;
		pthread_mutex_init(&r->thread->lock, NULL);
		pthread_cond_init(&r->thread->wake, &attr);
	}
	for (unsigned i = 0; i < glue.runner_count; i++)
		if (pthread_create(&threads[i].thread, NULL, thread_main, &glue.runners[i]))
			exit(2);
	for (unsigned i = 0; i < glue.runner_count; i++)
		pthread_join(threads[i].thread, NULL);
}

/* --- Either --- */

void sched_run(void (*fn)(struct runner *r))
{
	s.fn = fn;
	s.current = NULL;
	s.now = NS_PER_S;
	s.random = glue.config.seed;
	s.turns = 0;
	sched_stir();
	if (glue.config.threads)
		threads_run();
	else
		fibers_run();
}

void glue_yield(enum glue_pace pace)
{
	if (glue.config.threads)
		thread_yield(pace);
	else if (s.current)
		fiber_yield(pace);
}

void glue_point(void);
void glue_point(void)
{
	struct runner *r = s.current;

	if (r && r->slow_in > 0 && --r->slow_in == 0)
		r->slow_until = s.turns + SLOW_TURNS;
	else if (glue_random(16) != 0)
		return;
	glue_yield(PACE_POINT);
}

void runner_interrupt(struct runner *r, unsigned irq)
{
	if (!glue.config.threads) {
		r->irq |= irq;
		wake(r);
		return;
	}
	pthread_mutex_lock(&r->thread->lock);
	atomic_fetch_or(&r->irq, irq);
	pthread_cond_signal(&r->thread->wake);
	pthread_mutex_unlock(&r->thread->lock);
}

void runner_sleep(void)
{
	struct runner *r = glue_self();

	if (glue.config.threads) {
		thread_sleep(r);
		return;
	}
	if (!r->irq) {
		r->state = RUNNER_IDLE;
		go_on();
	}
}

void node_dies(struct glue_node *n)
{
	atomic_store(&n->dead, true);
	if (glue.config.threads) {
		for (unsigned i = 0; i < n->vm.host_cpus; i++)
			runner_interrupt(n->runners[i], GLUE_IRQ_KICK);
		thread_yield(PACE_POINT);
	}
	for (unsigned i = 0; i < n->vm.host_cpus; i++)
		n->runners[i]->state = RUNNER_GONE;
	go_on();
}
