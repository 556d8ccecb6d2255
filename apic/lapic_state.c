#include "apic/lapic_state.h"

#include "apic/lapic_impl.h"
#include "hv/base/string.h"

#define REG(offset) ((offset) / 16u)

/* More counts than any timer has before its next expiry. */
#define COUNTS_MAX BIT(33)

void lapic_get(const struct lapic *l, struct lapic_state *out)
{
	memset(out, 0, sizeof(*out));
	out->base_msr = l->base_msr;
	for (unsigned i = 0; i < LAPIC_REGS; i++)
		out->reg[i] = *lapic_reg(l, i * 16);
	out->wait_sipi = l->wait_sipi;
	out->error_armed = l->error_armed;
	out->lint = l->lint;
	out->errors = l->errors;
	out->armed = l->timer.armed;
	out->first = l->timer.first;
	out->start = l->timer.start;
	out->fired = l->timer.fired;
	out->tsc_deadline = l->timer.tsc_deadline;
}

/*
 * Bits that may be set in registers that software does not write, or of which hardware keeps more than
 * software would have stored (EOI, ICR, SELF IPI in a page that it writes by itself).
 */
static uint32_t kept(uint32_t offset)
{
	switch (offset) {
	case LAPIC_ID:
	case LAPIC_VERSION:
	case LAPIC_EOI:
	case LAPIC_LDR:
	case LAPIC_DFR:
	case LAPIC_ICR_LOW:
	case LAPIC_ICR_HIGH:
	case LAPIC_SELF_IPI:
		return UINT32_MAX;
	case LAPIC_PPR:
	case LAPIC_ESR:
		return 0xff;
	case LAPIC_LVT_LINT0:
		return LVT_REMOTE;
	case LAPIC_LVT_CMCI:
		return LVT_MASKED;
	case LAPIC_ISR:
	case LAPIC_TMR:
	case LAPIC_IRR:
		return ~(uint32_t)BITS(VECTOR_LOWEST - 1, 0);
	default:
		return offset > LAPIC_ISR && offset < LAPIC_ESR ? UINT32_MAX : 0;
	}
}

int lapic_state_check(const struct lapic_state *st, struct why *why)
{
	if (st->base_msr & ~(APIC_BASE_BSP | APIC_BASE_EXTD | APIC_BASE_EN | BITS(51, 12)) ||
	    (st->base_msr & APIC_BASE_EXTD && !(st->base_msr & APIC_BASE_EN)))
		return why_set(why, ERR_INVALID, "a LAPIC with an impossible IA32_APIC_BASE %#llx",
			       (unsigned long long)st->base_msr);
	if (st->lint & ~(LINT_HIGH(0) | LINT_HIGH(1) | LINT0_REMOTE) ||
	    st->errors & ~(ESR_SEND_VECTOR | ESR_RECEIVE_VECTOR | ESR_REGISTER))
		return why_set(why, ERR_INVALID, "a LAPIC with impossible pins %#x or errors %#x",
			       st->lint, st->errors);
	return 0;
}

static int registers_fit(const struct lapic *l, const struct lapic_state *st, struct why *why)
{
	uint32_t id = l->config.apic_id;

	if (!(st->base_msr & APIC_BASE_EXTD))
		id <<= 24;
	if (st->reg[REG(LAPIC_ID)] != id ||
	    st->reg[REG(LAPIC_VERSION)] != *lapic_reg(l, LAPIC_VERSION))
		return why_set(why, ERR_INVALID,
			       "a LAPIC of id %#x and version %#x; this is %#x, %#x",
			       st->reg[REG(LAPIC_ID)], st->reg[REG(LAPIC_VERSION)], id,
			       *lapic_reg(l, LAPIC_VERSION));
	for (unsigned i = 0; i < LAPIC_REGS; i++)
		if (st->reg[i] & ~(lapic_writable(l, i * 16) | kept(i * 16)))
			return why_set(why, ERR_INVALID,
				       "a LAPIC with impossible bits in its register at %#x: %#x",
				       i * 16, st->reg[i]);
	return 0;
}

/*
 * The numbers of a timer that counts: its next expiry has to be one that it can have, or arithmetic with it
 * would go over the end of what fits.
 */
static int timer_fits(const struct lapic *l, uint64_t now, struct why *why)
{
	const struct lapic_timer *t = &l->timer;
	uint64_t done, due;

	if (t->mode != LAPIC_DEADLINE && t->tsc_deadline)
		return why_set(why, ERR_INVALID, "a LAPIC timer with a deadline, but not its mode");
	if (!t->armed)
		return 0;
	if (t->mode == LAPIC_DEADLINE || !t->initial ||
	    __builtin_mul_overflow(t->fired, (uint64_t)t->initial, &done) ||
	    __builtin_add_overflow(done, t->first, &due) || t->start > now ||
	    due > lapic_timer_passed(l, now) + COUNTS_MAX)
		return why_set(why, ERR_INVALID,
			       "a LAPIC timer that no guest can have set (%llu expiries of %u "
			       "since TSC %llu)",
			       (unsigned long long)t->fired, t->initial,
			       (unsigned long long)t->start);
	return 0;
}

int lapic_set(struct lapic *l, const struct lapic_state *st, uint64_t now_tsc, struct why *why)
{
	uint64_t known = APIC_BASE_EN | APIC_BASE_BSP | BITS(l->config.phys_bits - 1, 12);
	struct lapic set = *l;
	int err;

	if (l->config.features & LAPIC_HAS_X2APIC)
		known |= APIC_BASE_EXTD;
	if (st->base_msr & ~known || !(st->base_msr & APIC_BASE_BSP) != !l->config.bsp)
		return why_set(why, ERR_INVALID, "a LAPIC with another's IA32_APIC_BASE %#llx",
			       (unsigned long long)st->base_msr);
	if ((err = registers_fit(l, st, why)))
		return err;
	set.base_msr = st->base_msr;
	set.wait_sipi = st->wait_sipi;
	set.error_armed = st->error_armed;
	set.lint = st->lint;
	set.errors = st->errors;
	set.lvt_open = st->reg[REG(LAPIC_SVR)] & SVR_ENABLE;
	set.timer = (struct lapic_timer){
		.armed = st->armed,
		.initial = st->reg[REG(LAPIC_TIMER_INITIAL)],
		.first = st->first,
		.start = st->start,
		.fired = st->fired,
		.tsc_deadline = st->tsc_deadline,
	};
	lapic_timer_resume(&set, st->reg[REG(LAPIC_LVT_TIMER)], st->reg[REG(LAPIC_TIMER_DIVIDE)]);
	if ((err = timer_fits(&set, now_tsc, why)))
		return err;
	*l = set;
	for (unsigned i = 0; i < LAPIC_REGS; i++)
		*lapic_reg(l, i * 16) = st->reg[i];
	lapic_sync_hw(l);
	return 0;
}
