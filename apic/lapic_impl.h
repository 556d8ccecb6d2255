/* What the files of the LAPIC share among themselves. */
#ifndef APIC_LAPIC_IMPL_H
#define APIC_LAPIC_IMPL_H

#include "apic/lapic.h"

#define LVT_MASKED         0x10000u
#define LVT_LEVEL          0x8000u
#define LVT_REMOTE         0x4000u
#define LVT_TIMER_PERIODIC 0x20000u
#define LVT_TIMER_DEADLINE 0x40000u

#define SVR_ENABLE       0x100u
#define SVR_EOI_SUPPRESS 0x1000u

/* Error status register. SDM vol. 3, figure 11-9 */
#define ESR_SEND_VECTOR    0x20u
#define ESR_RECEIVE_VECTOR 0x40u
#define ESR_REGISTER       0x80u

/* struct lapic.lint */
#define LINT_HIGH(n) (1u << (n))
#define LINT0_REMOTE 0x10u

/* The lowest vector an APIC delivers. SDM vol. 3, 11.5.2 */
#define VECTOR_LOWEST 16u

static inline uint32_t *lapic_reg(const struct lapic *l, uint32_t offset)
{
	return &l->regs[offset / 4];
}

/* Word 0 to 7 of ISR, TMR or IRR: 32 bits every 16 bytes. */
static inline uint32_t *lapic_word(const struct lapic *l, enum lapic_reg map, unsigned word)
{
	return &l->regs[map / 4 + word * 4];
}

static inline enum apic_delivery lvt_delivery(uint32_t lvt)
{
	return (enum apic_delivery)(lvt >> 8 & 7);
}

/* True when fixed interrupts are accepted. SDM vol. 3, 11.4.3 and 11.4.7.2 */
static inline bool lapic_accepts(const struct lapic *l)
{
	return l->lvt_open && lapic_mode(l) != APIC_OFF;
}

/* Registers and timer as after power-up, for the mode IA32_APIC_BASE says. */
void lapic_reset_state(struct lapic *l);

/* Puts an interrupt into IRR and TMR; an illegal vector is logged instead. */
void lapic_request(struct lapic *l, uint8_t vector, bool level);

/* Logs ESR_* bits and raises the LVT's error interrupt, once until ESR is written. 11.5.3 */
void lapic_error(struct lapic *l, uint32_t bits);

/* Sends a level interrupt of LINT0 that waits for its mask to open or for an EOI. */
void lapic_lint_level(struct lapic *l);

/* IA32_APIC_BASE. */
int lapic_base_write(struct lapic *l, uint64_t value, struct lapic_actions *out);

/* ICR was written: what to send. 11.6.1 */
void lapic_send(struct lapic *l, uint32_t icr, uint32_t dest, struct lapic_actions *out);

/*
 * Timer registers. The caller has stored the register's new value in the page, where it has one;
 * every change first settles what was due before it (lapic_timer_expire).
 */
void lapic_timer_reset(struct lapic *l);
void lapic_timer_lvt(struct lapic *l, uint32_t lvt, uint64_t now);
void lapic_timer_initial(struct lapic *l, uint32_t count, uint64_t now);
void lapic_timer_divide(struct lapic *l, uint32_t divide, uint64_t now);
void lapic_timer_tsc_deadline(struct lapic *l, uint64_t deadline, uint64_t now);
uint32_t lapic_timer_current(const struct lapic *l, uint64_t now);

/* A timer whose numbers have been put back: what follows from them and from the two registers. */
void lapic_timer_resume(struct lapic *l, uint32_t lvt, uint32_t divide);
/* Whole counts from the timer's start to now. */
uint64_t lapic_timer_passed(const struct lapic *l, uint64_t now);

/* The bits that software can set in the register at a multiple of 16. */
uint32_t lapic_writable(const struct lapic *l, uint32_t offset);

#endif
