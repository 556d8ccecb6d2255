/*
 * Which interrupts of a sleeping CPU's timer may be late. A pure state machine of the CPU's own, as its
 * LAPIC; times are guest TSC.
 *
 * A kernel that ticks also when idle wakes each CPU 250 times a second for nothing; where memory is shared
 * between nodes, each time takes pages from those that work. What may be late, and how late:
 *
 * - Only a timer that is armed anew after each interrupt (one-shot, TSC deadline): who arms it so has to
 *   look how much time has passed, and loses none. A periodic timer's interrupts are counted by somebody.
 * - Only a tick: a deadline that lies a whole number of periods behind the last sixteen (or behind the next
 *   that would, by what the CPU waited as it was set), of a kernel that never sleeps longer than to the next.
 *   Any other is somebody's who wants to be woken then, and is met.
 * - Only while the CPU is halted, and only where ticks wait for other nodes: else they cost nobody anything.
 * - By an eighth of the time for which it has done nothing but tick, after the first second of that, and by a
 *   limit. Sooner it saves nothing: programs sleep shorter between their work. An interrupt that is no
 *   tick, an IPI that it sends, a device that it uses, a deadline that is no tick end that time, and the
 *   tick that is owed comes as soon as it runs.
 *
 * So a timeout that the kernel looks at in its ticks alone is late by an eighth of its length, which is how
 * coarse the kernel's own wheel of timers is, or by what has passed unseen, and by no more than the limit.
 *
 * What can't be told from a tick is a program's timer of just that rate, where the kernel itself has none.
 */
#ifndef APIC_LAPIC_TICK_H
#define APIC_LAPIC_TICK_H

#include "hv/base/types.h"

/* Ticks a second of Debian's kernels. One of another rate gets all of its ticks in time. */
#define LAPIC_TICK_HZ 250

struct lapic_tick {
	uint64_t period;  /* TSC ticks */
	uint64_t most;    /* the limit; 0: nothing is ever late */
	uint64_t since;   /* when it last went to sleep after anything but ticks */
	uint64_t last;    /* the last deadline that was a tick's, as far as known */
	uint64_t slipped; /* a deadline that is a tick's, though out of step */
	uint8_t hits;     /* how many were in a row */
	uint8_t misses;   /* and weren't, since then */
	uint8_t dear;     /* so many ticks more count as ones that wait for other nodes */
	bool worked;      /* since it was woken, it did more than tick */
};

/* `tsc_hz` as in struct lapic_config. */
void lapic_tick_init(struct lapic_tick *t, uint64_t tsc_hz, uint64_t most);

/* When the interrupt that is due at `due` is to come to a CPU that is halted: then, or later. */
uint64_t lapic_tick_due(const struct lapic_tick *t, uint64_t due);

/* The timer's interrupt comes, of the deadline `due`; the CPU is halted or not. */
void lapic_tick_fires(struct lapic_tick *t, uint64_t due, bool halted);

/* The CPU does, or has been given, something other than ticks. */
static inline void lapic_tick_work(struct lapic_tick *t)
{
	t->worked = true;
}

/*
 * It halts, with its timer set for `due`. `waited`: for other nodes, since its timer's last interrupt. A
 * kernel asks how long it is to its next tick, and then what time it is, to set the timer; where it had to
 * wait in between, the deadline is that much too late.
 */
void lapic_tick_halts(struct lapic_tick *t, uint64_t now, uint64_t due, uint64_t waited);

#endif
