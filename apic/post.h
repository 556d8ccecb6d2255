/*
 * The posted block: how any CPU gives an interrupt to a vCPU whose LAPIC it may not touch. Everybody
 * posts, only the owner takes (lapic_pull).
 *
 * Order. A poster publishes the interrupt with a release RMW on its word, then sets `notify` with an
 * acquire-release RMW. The owner first clears `notify` with an acquire-release RMW, then takes the
 * words with acquire exchanges.
 * - Nothing is overtaken: the owner's exchange reads from the poster's release, so every store the
 *   poster made (or saw) before is visible to whatever the owner does after the pull, the guest's
 *   interrupt handler included. On IA-32 each is a locked instruction and drains the store buffer.
 * - Nothing is lost: both sides change `notify` by RMW only, so one comes first. The poster's first:
 *   the owner's clear reads from it (or from a later RMW of the same release sequence) and hence sees
 *   the posted word. The owner's first: the poster finds `notify` clear and is told to kick.
 * The owner must pull with host interrupts off and keep them off until it enters the guest or halts
 * with `sti; hlt`: a kick sent after the pull then ends that at once.
 */
#ifndef APIC_POST_H
#define APIC_POST_H

#include <stdatomic.h>

#include "apic/msg.h"
#include "hv/base/assert.h"
#include "hv/base/bits.h"

/*
 * The first 64 bytes are laid out as the posted-interrupt descriptor of SDM vol. 3, 30.6 (table 30-1):
 * hardware may consume `edge` and bit 0 of `notify`, and leaves the rest to software. That is why edge
 * and level requests have a bitmap each: a request carries its own trigger mode, and no pair of
 * posters can mix them up. It is also why what hardware does not take has a notify bit of its own.
 */
struct ALIGNED(64) apic_post {
	_Atomic uint64_t edge[4];
	_Atomic uint64_t notify; /* POST_NOTIFY_*: the owner has been told and has not looked yet */
	_Atomic uint64_t events; /* POST_*: all that is no vector */
	uint64_t reserved[2];
	_Atomic uint64_t level[4];
	uint64_t pad[4];
};

#define POST_NOTIFY_EDGE  BIT(0) /* "outstanding notification" of the descriptor */
#define POST_NOTIFY_OTHER BIT(8)

#define POST_NMI            BIT(0)
#define POST_SMI            BIT(1)
#define POST_EXTINT         BIT(2)
#define POST_ILLEGAL_VECTOR BIT(3)
#define POST_INIT           BIT(4)
#define POST_SIPI           BIT(5)
#define POST_SIPI_SHIFT     8 /* 8 bits of vector */
#define POST_LINT_ROSE(n)   BIT(16 + (n))
#define POST_LINT_LEVEL(n)  BIT(18 + (n)) /* stays over a pull */
#define POST_LINT_LEVELS    (POST_LINT_LEVEL(0) | POST_LINT_LEVEL(1))

ASSERT_SIZE(struct apic_post, 128);
ASSERT_OFFSET(struct apic_post, notify, 32);
ASSERT_OFFSET(struct apic_post, level, 64);

/* What a pull found, besides what went into IRR. In this order: act on init, then sipi, then the rest. */
struct lapic_events {
	bool init; /* the LAPIC has been reset; reset the CPU (BSP: at the reset vector) */
	bool sipi; /* start at sipi_vector << 12; only after the CPU was waiting for it */
	uint8_t sipi_vector;
	bool nmi;
	bool smi;
	bool extint;       /* take the vector from the PIC */
	bool recheck;      /* IRR changed: look at lapic_pending again */
	bool eoi_exits;    /* TMR changed: with hardware delivery set the EOI-exit bitmap again */
	bool dest_changed; /* by INIT: put lapic_dest into the book */
};

void apic_post_init(struct apic_post *p);

/*
 * Gives the message to the owner, whoever it was addressed to (apic_match decides that). Any CPU may
 * call it at any time. Returns true when the owner's CPU must be kicked. INIT drops the NMI and SIPI
 * that were posted before it; a second SIPI before the first is taken is ignored.
 */
bool apic_post_msg(struct apic_post *p, const struct apic_msg *msg) MUST_CHECK;

/* Drives the owner's LINT0 (n = 0, the PIC) or LINT1 (n = 1, NMI) pin. Returns true to kick. */
bool apic_post_lint(struct apic_post *p, unsigned n, bool asserted) MUST_CHECK;

/* True when a pull would find something. For the owner, before it halts. */
static inline bool apic_post_pending(struct apic_post *p)
{
	return atomic_load_explicit(&p->notify, memory_order_relaxed) != 0;
}

#endif
