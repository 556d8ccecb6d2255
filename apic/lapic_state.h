/*
 * A LAPIC and its posted block as values, to be kept or carried elsewhere. What follows from the rest is left
 * out: which words of a bitmap are not 0, the timer's mode and next expiry, hardware's RVI and SVI.
 */
#ifndef APIC_LAPIC_STATE_H
#define APIC_LAPIC_STATE_H

#include "apic/lapic.h"

#define LAPIC_REGS 64u /* one every 16 bytes of the page's first KiB */

struct lapic_state {
	uint64_t base_msr;
	uint32_t reg[LAPIC_REGS];
	bool wait_sipi;
	bool error_armed;
	uint8_t lint, errors; /* as in struct lapic */
	/* The timer, in guest TSC; as in struct lapic_timer. */
	bool armed;
	uint64_t first, start, fired;
	uint64_t tsc_deadline;
};

/* After lapic_sync_hw where hardware delivers interrupts. */
void lapic_get(const struct lapic *l, struct lapic_state *out);

/* 0, or ERR_INVALID with a sentence: no LAPIC is ever like that. For states from elsewhere. */
int lapic_state_check(const struct lapic_state *st, struct why *why) MUST_CHECK;

/*
 * `l` is as after power-up (lapic_init), of the same configuration. ERR_INVALID with a sentence, and `l`
 * as it was, when the state is not one of this LAPIC's; `now_tsc` is the guest's. `st` has been checked.
 * Afterwards hardware has to be told of mode and vectors, and the host timer of the deadline.
 */
int lapic_set(struct lapic *l, const struct lapic_state *st, uint64_t now_tsc,
	      struct why *why) MUST_CHECK;

/* What was posted and not pulled; `events` has the POST_* bits, the levels of the pins among them. */
struct apic_posted {
	uint64_t edge[4], level[4];
	uint64_t events;
};

int apic_posted_check(const struct apic_posted *posted, struct why *why) MUST_CHECK;

/* The owner takes what is posted, in the way of lapic_pull; the pins keep their levels. */
void apic_post_take(struct apic_post *p, struct apic_posted *out);

/*
 * Posts all of it again, before what has come since. The levels are those of the block itself, which a new
 * one has to be given first (apic_post_levels). Any CPU may post meanwhile; the caller kicks the owner.
 */
void apic_post_give(struct apic_post *p, const struct apic_posted *posted);

/* A block to which nothing has been posted gets the levels of the pins. */
void apic_post_levels(struct apic_post *p, const struct apic_posted *posted);

#endif
