/* The posted block: posters' side, and the owner's pull. The order of accesses is argued in post.h. */
#include "apic/post.h"
#include "apic/lapic_impl.h"
#include "apic/lapic_state.h"

void apic_post_init(struct apic_post *p)
{
	for (unsigned w = 0; w < 4; w++) {
		atomic_init(&p->edge[w], 0);
		atomic_init(&p->level[w], 0);
	}
	p->reserved[0] = p->reserved[1] = 0;
	atomic_init(&p->events, 0);
	atomic_init(&p->notify, 0);
}

/* After the request is published. True when the owner did not know yet that there is something. */
static bool notify(struct apic_post *p, uint64_t bit)
{
	return !(atomic_fetch_or_explicit(&p->notify, bit, memory_order_acq_rel) & bit);
}

/* Clears `clear`, sets `set`, in one step. */
static bool post_event(struct apic_post *p, uint64_t clear, uint64_t set)
{
	uint64_t old = atomic_load_explicit(&p->events, memory_order_relaxed);

	while (!atomic_compare_exchange_weak_explicit(&p->events, &old, (old & ~clear) | set,
						      memory_order_release, memory_order_relaxed))
		;
	return notify(p, POST_NOTIFY_OTHER);
}

/* The first SIPI wins until it is taken: the target waits for one only. SDM vol. 3, 9.4.4 */
static bool post_sipi(struct apic_post *p, uint8_t vector)
{
	uint64_t set = POST_SIPI | (uint64_t)vector << POST_SIPI_SHIFT;
	uint64_t old = atomic_load_explicit(&p->events, memory_order_relaxed);

	do {
		if (old & POST_SIPI)
			break;
	} while (!atomic_compare_exchange_weak_explicit(
		&p->events, &old, old | set, memory_order_release, memory_order_relaxed));
	return notify(p, POST_NOTIFY_OTHER);
}

static bool post_vector(struct apic_post *p, uint8_t vector, bool level)
{
	if (vector < VECTOR_LOWEST)
		return post_event(p, 0, POST_ILLEGAL_VECTOR);
	atomic_fetch_or_explicit(level ? &p->level[vector / 64] : &p->edge[vector / 64],
				 BIT(vector % 64), memory_order_release);
	return notify(p, level ? POST_NOTIFY_OTHER : POST_NOTIFY_EDGE);
}

bool apic_post_msg(struct apic_post *p, const struct apic_msg *msg)
{
	switch (msg->kind) {
	case APIC_FIXED:
	case APIC_LOWEST:
		return post_vector(p, msg->vector, msg->level_trigger);
	case APIC_NMI:
		return post_event(p, 0, POST_NMI);
	case APIC_SMI:
		return post_event(p, 0, POST_SMI);
	case APIC_EXTINT:
		return post_event(p, 0, POST_EXTINT);
	case APIC_INIT:
		return post_event(p, ~(POST_LINT_LEVELS | POST_LINT_ROSE(0) | POST_LINT_ROSE(1)),
				  POST_INIT);
	case APIC_STARTUP:
		return post_sipi(p, msg->vector);
	case APIC_RESERVED:
		break;
	}
	return false;
}

bool apic_post_lint(struct apic_post *p, unsigned n, bool asserted)
{
	uint64_t old = atomic_load_explicit(&p->events, memory_order_relaxed), new;

	do {
		if (!(old & POST_LINT_LEVEL(n)) == !asserted)
			return false;
		new = asserted ? old | POST_LINT_LEVEL(n) | POST_LINT_ROSE(n)
			       : old & ~POST_LINT_LEVEL(n);
	} while (!atomic_compare_exchange_weak_explicit(&p->events, &old, new, memory_order_release,
							memory_order_relaxed));
	return notify(p, POST_NOTIFY_OTHER);
}

/* Replays what the pin did since the last pull: at least one rising edge, then its level of now. */
static void pull_lint(struct lapic *l, unsigned n, uint64_t events, struct lapic_events *ev)
{
	bool high = events & POST_LINT_LEVEL(n), was_high = l->lint & LINT_HIGH(n);

	if (events & POST_LINT_ROSE(n)) {
		if (was_high)
			lapic_lint(l, n, false, ev);
		lapic_lint(l, n, true, ev);
		was_high = true;
	}
	if (high != was_high)
		lapic_lint(l, n, high, ev);
}

static void pull_events(struct lapic *l, uint64_t events, struct lapic_events *ev)
{
	/* SDM vol. 3, 11.4.3: an APIC that is off hears no messages, but its pins still reach the CPU. */
	if (lapic_mode(l) != APIC_OFF) {
		if (events & POST_INIT) {
			lapic_reset_init(l);
			ev->init = ev->dest_changed = true;
		}
		if (events & POST_SIPI && l->wait_sipi) {
			l->wait_sipi = false;
			ev->sipi = true;
			ev->sipi_vector = (uint8_t)(events >> POST_SIPI_SHIFT);
		}
		ev->nmi = events & POST_NMI;
		ev->smi = events & POST_SMI;
		ev->extint = events & POST_EXTINT && l->lvt_open;
		if (events & POST_ILLEGAL_VECTOR && l->lvt_open) {
			lapic_error(l, ESR_RECEIVE_VECTOR);
			ev->recheck = true;
		}
	}
	pull_lint(l, 0, events, ev);
	pull_lint(l, 1, events, ev);
}

static uint64_t take(_Atomic uint64_t *word)
{
	/* A glance first: a locked exchange of an empty word costs more than all the rest. */
	if (!atomic_load_explicit(word, memory_order_relaxed))
		return 0;
	return atomic_exchange_explicit(word, 0, memory_order_acquire);
}

/* A vector asked for both ways counts as level: the IOAPIC waits for its EOI. */
static void pull_word(struct lapic *l, unsigned w, uint32_t edge, uint32_t level,
		      struct lapic_events *ev)
{
	uint32_t *tmr = lapic_word(l, LAPIC_TMR, w), new = (*tmr & ~edge) | level;

	if (!(edge | level))
		return;
	ev->eoi_exits |= *tmr != new;
	*tmr = new;
	*lapic_word(l, LAPIC_IRR, w) |= edge | level;
	l->irr_words |= (uint8_t)(1u << w);
	ev->recheck = true;
}

#define POST_KNOWN                                                                     \
	(BITS(5, 0) | BITS(POST_SIPI_SHIFT + 7, POST_SIPI_SHIFT) | POST_LINT_ROSE(0) | \
	 POST_LINT_ROSE(1) | POST_LINT_LEVELS)

int apic_posted_check(const struct apic_posted *posted, struct why *why)
{
	uint64_t vector = posted->events & BITS(POST_SIPI_SHIFT + 7, POST_SIPI_SHIFT);

	if (posted->events & ~POST_KNOWN || (vector && !(posted->events & POST_SIPI)) ||
	    (posted->edge[0] | posted->level[0]) & BITS(VECTOR_LOWEST - 1, 0))
		return why_set(why, ERR_INVALID,
			       "a vCPU to which was posted what nobody can post (events %#llx)",
			       (unsigned long long)posted->events);
	return 0;
}

void apic_post_take(struct apic_post *p, struct apic_posted *out)
{
	*out = (struct apic_posted){.events = 0};
	atomic_exchange_explicit(&p->notify, 0, memory_order_acq_rel);
	out->events = atomic_fetch_and_explicit(&p->events, POST_LINT_LEVELS, memory_order_acquire);
	for (unsigned w = 0; w < 4; w++) {
		out->edge[w] = take(&p->edge[w]);
		out->level[w] = take(&p->level[w]);
	}
}

/* What came first, and what since: an INIT takes back the NMI and SIPI before it, the first SIPI wins. */
static uint64_t events_merge(uint64_t first, uint64_t since)
{
	const uint64_t sipi = POST_SIPI | BITS(POST_SIPI_SHIFT + 7, POST_SIPI_SHIFT);

	first &= ~POST_LINT_LEVELS;
	if (since & POST_INIT)
		return since | (first & (POST_LINT_ROSE(0) | POST_LINT_ROSE(1)));
	if (first & POST_SIPI)
		since &= ~sipi;
	return first | since;
}

void apic_post_give(struct apic_post *p, const struct apic_posted *posted)
{
	uint64_t old = atomic_load_explicit(&p->events, memory_order_relaxed);

	for (unsigned w = 0; w < 4; w++) {
		atomic_fetch_or_explicit(&p->edge[w], posted->edge[w], memory_order_release);
		atomic_fetch_or_explicit(&p->level[w], posted->level[w], memory_order_release);
	}
	while (!atomic_compare_exchange_weak_explicit(&p->events, &old,
						      events_merge(posted->events, old),
						      memory_order_release, memory_order_relaxed))
		;
	notify(p, POST_NOTIFY_EDGE | POST_NOTIFY_OTHER);
}

void apic_post_levels(struct apic_post *p, const struct apic_posted *posted)
{
	atomic_fetch_or_explicit(&p->events, posted->events & POST_LINT_LEVELS,
				 memory_order_release);
}

void lapic_pull(struct lapic *l, struct apic_post *post, struct lapic_events *ev)
{
	uint64_t events;

	*ev = (struct lapic_events){0};
	if (!apic_post_pending(post))
		return;
	atomic_exchange_explicit(&post->notify, 0, memory_order_acq_rel);
	events = atomic_fetch_and_explicit(&post->events, POST_LINT_LEVELS, memory_order_acquire);
	pull_events(l, events, ev);
	for (unsigned w = 0; w < 4; w++) {
		uint64_t edge = take(&post->edge[w]), level = take(&post->level[w]);

		if (!lapic_accepts(l))
			continue;
		pull_word(l, 2 * w, (uint32_t)edge, (uint32_t)level, ev);
		pull_word(l, 2 * w + 1, (uint32_t)(edge >> 32), (uint32_t)(level >> 32), ev);
	}
}
