/* Register accesses: the xAPIC page, the x2APIC MSRs, and what a write sets off. */
#include "apic/lapic_impl.h"
#include "hv/base/assert.h"

/* What each mode allows. SDM vol. 3, tables 11-1 and 11-6 */
enum access {
	XR = 1,     /* xAPIC: readable */
	XW = 2,     /* xAPIC: writable */
	MR = 4,     /* x2APIC MSR: readable */
	MW = 8,     /* x2APIC MSR: writable */
	QUIET = 16, /* xAPIC: not there, but no error either (table 11-1, notes) */
	RO = XR | MR | QUIET,
	RW = XR | XW | MR | MW,
};

struct rule {
	uint8_t access;
	/* other bits are ignored by the xAPIC, #GP in x2APIC unless ignored there */
	uint32_t writable;
	uint32_t ignored; /* x2APIC: read-only bits that may be written */
};

#define LVT_STATUS 0x1000u

// clang-format off
static const struct rule rules[64] = {
	[LAPIC_ID / 16]            = {RO, 0, 0},
	[LAPIC_VERSION / 16]       = {RO, 0, 0},
	[LAPIC_TPR / 16]           = {RW, 0xff, 0},
	[LAPIC_APR / 16]           = {QUIET, 0, 0},
	[LAPIC_PPR / 16]           = {RO, 0, 0},
	[LAPIC_EOI / 16]           = {XW | MW | QUIET, 0, 0},
	[LAPIC_RRD / 16]           = {QUIET, 0, 0},
	[LAPIC_LDR / 16]           = {XR | XW | MR, 0xff000000, 0},
	[LAPIC_DFR / 16]           = {XR | XW, 0xf0000000, 0},
	[LAPIC_SVR / 16]           = {RW, 0x13ff, 0},
	[LAPIC_ISR / 16]           = {RO, 0, 0}, [0x11] = {RO, 0, 0}, [0x12] = {RO, 0, 0},
	[0x13] = {RO, 0, 0}, [0x14] = {RO, 0, 0}, [0x15] = {RO, 0, 0}, [0x16] = {RO, 0, 0},
	[0x17] = {RO, 0, 0},
	[LAPIC_TMR / 16]           = {RO, 0, 0}, [0x19] = {RO, 0, 0}, [0x1a] = {RO, 0, 0},
	[0x1b] = {RO, 0, 0}, [0x1c] = {RO, 0, 0}, [0x1d] = {RO, 0, 0}, [0x1e] = {RO, 0, 0},
	[0x1f] = {RO, 0, 0},
	[LAPIC_IRR / 16]           = {RO, 0, 0}, [0x21] = {RO, 0, 0}, [0x22] = {RO, 0, 0},
	[0x23] = {RO, 0, 0}, [0x24] = {RO, 0, 0}, [0x25] = {RO, 0, 0}, [0x26] = {RO, 0, 0},
	[0x27] = {RO, 0, 0},
	[LAPIC_ESR / 16]           = {RW, 0, 0},
	[LAPIC_LVT_CMCI / 16]      = {RW, 0x107ff, LVT_STATUS},
	[LAPIC_ICR_LOW / 16]       = {RW, 0xccfff, LVT_STATUS},
	[LAPIC_ICR_HIGH / 16]      = {XR | XW, 0xff000000, 0},
	[LAPIC_LVT_TIMER / 16]     = {RW, 0x700ff, LVT_STATUS},
	[LAPIC_LVT_THERMAL / 16]   = {RW, 0x107ff, LVT_STATUS},
	[LAPIC_LVT_PERF / 16]      = {RW, 0x107ff, LVT_STATUS},
	[LAPIC_LVT_LINT0 / 16]     = {RW, 0x1a7ff, LVT_STATUS | LVT_REMOTE},
	[LAPIC_LVT_LINT1 / 16]     = {RW, 0x1a7ff, LVT_STATUS | LVT_REMOTE},
	[LAPIC_LVT_ERROR / 16]     = {RW, 0x100ff, LVT_STATUS},
	[LAPIC_TIMER_INITIAL / 16] = {RW, 0xffffffff, 0},
	[LAPIC_TIMER_CURRENT / 16] = {RO, 0, 0},
	[LAPIC_TIMER_DIVIDE / 16]  = {RW, 0xb, 0},
	[LAPIC_SELF_IPI / 16]      = {MW, 0xff, 0},
};
// clang-format on

/* The rule for the register at an offset; one that this LAPIC was not given counts as reserved. */
static struct rule rule_for(const struct lapic *l, uint32_t offset)
{
	struct rule r = {0};
	uint32_t features = l->config.features;

	/* 11.4.1: registers are reached at 16-byte boundaries only. */
	if (offset % 16 == 0 && offset / 16 < ARRAY_LEN(rules))
		r = rules[offset / 16];
	if (offset == LAPIC_LVT_CMCI && !(features & LAPIC_HAS_CMCI))
		r = (struct rule){0};
	if (offset == LAPIC_SVR && !(features & LAPIC_HAS_EOI_SUPPRESS))
		r.writable &= ~SVR_EOI_SUPPRESS;
	if (offset == LAPIC_LVT_TIMER && !(features & LAPIC_HAS_TSC_DEADLINE))
		r.writable &= ~LVT_TIMER_DEADLINE;
	return r;
}

uint32_t lapic_writable(const struct lapic *l, uint32_t offset)
{
	return rule_for(l, offset).writable;
}

static uint32_t read_reg(const struct lapic *l, uint32_t offset, uint64_t now)
{
	switch (offset) {
	case LAPIC_PPR:
		return lapic_ppr(l);
	case LAPIC_TIMER_CURRENT:
		return lapic_timer_current(l, now);
	default:
		return *lapic_reg(l, offset);
	}
}

/* SDM vol. 3, 11.4.7.2: a disabled APIC's LVT entries are masked and stay so. */
static void write_svr(struct lapic *l, uint32_t value, uint64_t now)
{
	*lapic_reg(l, LAPIC_SVR) = value;
	l->lvt_open = value & SVR_ENABLE;
	if (l->lvt_open)
		return;
	for (uint32_t lvt = LAPIC_LVT_TIMER; lvt <= LAPIC_LVT_ERROR; lvt += 16)
		*lapic_reg(l, lvt) |= LVT_MASKED;
	*lapic_reg(l, LAPIC_LVT_CMCI) |= LVT_MASKED;
	lapic_timer_lvt(l, *lapic_reg(l, LAPIC_LVT_TIMER), now);
}

static void write_lvt(struct lapic *l, uint32_t offset, uint32_t value, uint64_t now)
{
	if (!l->lvt_open)
		value |= LVT_MASKED;
	if (offset == LAPIC_LVT_LINT0) {
		if (!(value & LVT_LEVEL) || lvt_delivery(value) != APIC_FIXED)
			l->lint &= (uint8_t)~LINT0_REMOTE;
		if (l->lint & LINT0_REMOTE)
			value |= LVT_REMOTE;
	}
	*lapic_reg(l, offset) = value;
	if (offset == LAPIC_LVT_TIMER)
		lapic_timer_lvt(l, value, now);
	if (offset == LAPIC_LVT_LINT0)
		lapic_lint_level(l);
}

void lapic_send(struct lapic *l, uint32_t icr, uint32_t dest, struct lapic_actions *out)
{
	struct apic_msg msg = {
		.kind = (enum apic_delivery)(icr >> 8 & 7),
		.shorthand = (enum apic_shorthand)(icr >> 18 & 3),
		.dest = dest,
		.vector = (uint8_t)icr,
		.logical = icr >> 11 & 1,
		.assert = true,
	};
	bool whole = msg.shorthand == APIC_TO_SELF || msg.shorthand == APIC_TO_ALL;

	if (msg.kind == APIC_RESERVED || msg.kind == APIC_EXTINT)
		return;
	/* INIT level de-assert (level trigger, level 0) does nothing on processors of today. */
	if (msg.kind == APIC_INIT && (icr & 0xc000) == 0x8000)
		return;
	if ((msg.kind == APIC_FIXED || msg.kind == APIC_LOWEST) && msg.vector < VECTOR_LOWEST) {
		lapic_error(l, ESR_SEND_VECTOR);
		out->recheck = true;
		return;
	}
	/* Tables 11-3 and 11-4: what reaches the sender itself is fixed or invalid. */
	if (whole && msg.kind != APIC_FIXED)
		return;
	if (msg.shorthand == APIC_TO_SELF) {
		if (lapic_accepts(l))
			lapic_request(l, msg.vector, false);
		out->recheck = true;
		return;
	}
	out->send_ipi = true;
	out->ipi = msg;
}

/* `value` has only writable bits. The page may already hold the raw value (lapic_write_done). */
static void write_reg(struct lapic *l, uint32_t offset, uint32_t value, uint64_t now,
		      struct lapic_actions *out)
{
	uint64_t next = l->timer.next;

	switch (offset) {
	case LAPIC_EOI:
		lapic_eoi(l, out);
		return;
	case LAPIC_ICR_LOW:
		*lapic_reg(l, offset) = value;
		lapic_send(l, value,
			   apic_dest_from8((uint8_t)(*lapic_reg(l, LAPIC_ICR_HIGH) >> 24)), out);
		return;
	case LAPIC_SELF_IPI:
		*lapic_reg(l, offset) = 0;
		lapic_send(l, value | APIC_TO_SELF << 18, 0, out);
		return;
	case LAPIC_ESR:
		*lapic_reg(l, offset) = l->errors;
		l->errors = 0;
		l->error_armed = true;
		return;
	case LAPIC_DFR:
		value |= 0x0fffffff;
		out->dest_changed = true;
		*lapic_reg(l, offset) = value;
		return;
	case LAPIC_LDR:
		out->dest_changed = true;
		*lapic_reg(l, offset) = value;
		return;
	case LAPIC_SVR:
		out->dest_changed = l->lvt_open != !!(value & SVR_ENABLE);
		write_svr(l, value, now);
		break;
	case LAPIC_TIMER_INITIAL:
		lapic_timer_initial(l, value, now);
		break;
	case LAPIC_TIMER_DIVIDE:
		*lapic_reg(l, offset) = value;
		lapic_timer_divide(l, value, now);
		break;
	case LAPIC_TPR:
	case LAPIC_ICR_HIGH:
		*lapic_reg(l, offset) = value;
		break;
	default:
		write_lvt(l, offset, value, now);
		break;
	}
	out->timer_changed = l->timer.next != next;
	out->recheck = true;
}

uint32_t lapic_mmio_read(struct lapic *l, uint32_t offset, uint64_t now_tsc)
{
	struct rule r = rule_for(l, offset);

	if (r.access & XR)
		return read_reg(l, offset, now_tsc);
	if (!(r.access & QUIET))
		lapic_error(l, ESR_REGISTER);
	return 0;
}

void lapic_mmio_write(struct lapic *l, uint32_t offset, uint32_t value, uint64_t now_tsc,
		      struct lapic_actions *out)
{
	struct rule r = rule_for(l, offset);

	*out = (struct lapic_actions){0};
	if (r.access & XW) {
		write_reg(l, offset, value & r.writable, now_tsc, out);
	} else if (!(r.access & QUIET)) {
		lapic_error(l, ESR_REGISTER);
		out->recheck = true;
	}
}

void lapic_write_done(struct lapic *l, uint32_t offset, uint64_t now_tsc, struct lapic_actions *out)
{
	struct rule r;
	bool x2apic = lapic_mode(l) == APIC_X2APIC;

	offset &= 0xff0;
	r = rule_for(l, offset);
	*out = (struct lapic_actions){0};
	if (offset == LAPIC_ID)
		*lapic_reg(l, LAPIC_ID) = x2apic ? l->config.apic_id : l->config.apic_id << 24;
	else if (x2apic && offset == LAPIC_ICR_LOW)
		lapic_send(l, *lapic_reg(l, offset), *lapic_reg(l, offset + 4), out);
	else if (r.access & (x2apic ? MW : XW))
		write_reg(l, offset, *lapic_reg(l, offset) & r.writable, now_tsc, out);
}

static int x2apic_read(const struct lapic *l, uint32_t offset, uint64_t now, uint64_t *value)
{
	if (lapic_mode(l) != APIC_X2APIC || !(rule_for(l, offset).access & MR))
		return ERR_INVALID;
	*value = read_reg(l, offset, now);
	if (offset == LAPIC_ICR_LOW)
		*value |= (uint64_t)*lapic_reg(l, offset + 4) << 32;
	return 0;
}

/* SDM vol. 3, 11.12.1.3: a reserved bit is #GP; ICR alone has 64 bits (11.12.9). */
static int x2apic_write(struct lapic *l, uint32_t offset, uint64_t value, uint64_t now,
			struct lapic_actions *out)
{
	struct rule r = rule_for(l, offset);
	uint32_t low = (uint32_t)value, high = (uint32_t)(value >> 32);

	if (lapic_mode(l) != APIC_X2APIC || !(r.access & MW) || low & ~(r.writable | r.ignored))
		return ERR_INVALID;
	low &= r.writable;
	if (offset == LAPIC_ICR_LOW) {
		*lapic_reg(l, offset) = low;
		*lapic_reg(l, offset + 4) = high;
		lapic_send(l, low, high, out);
		return 0;
	}
	if (high)
		return ERR_INVALID;
	write_reg(l, offset, low, now, out);
	return 0;
}

int lapic_msr_read(struct lapic *l, uint32_t msr, uint64_t now_tsc, uint64_t *value)
{
	if (msr == MSR_APIC_BASE) {
		*value = l->base_msr;
		return 0;
	}
	if (msr == MSR_TSC_DEADLINE) {
		uint64_t deadline = l->timer.tsc_deadline;

		if (!(l->config.features & LAPIC_HAS_TSC_DEADLINE))
			return ERR_INVALID;
		*value = deadline > now_tsc ? deadline : 0;
		return 0;
	}
	if (msr < MSR_X2APIC_FIRST || msr > MSR_X2APIC_LAST)
		return ERR_NOTFOUND;
	return x2apic_read(l, (msr - MSR_X2APIC_FIRST) * 16, now_tsc, value);
}

int lapic_msr_write(struct lapic *l, uint32_t msr, uint64_t value, uint64_t now_tsc,
		    struct lapic_actions *out)
{
	*out = (struct lapic_actions){0};
	if (msr == MSR_APIC_BASE)
		return lapic_base_write(l, value, out);
	if (msr == MSR_TSC_DEADLINE) {
		uint64_t next = l->timer.next;

		if (!(l->config.features & LAPIC_HAS_TSC_DEADLINE))
			return ERR_INVALID;
		lapic_timer_tsc_deadline(l, value, now_tsc);
		out->timer_changed = l->timer.next != next;
		out->recheck = true;
		return 0;
	}
	if (msr < MSR_X2APIC_FIRST || msr > MSR_X2APIC_LAST)
		return ERR_NOTFOUND;
	return x2apic_write(l, (msr - MSR_X2APIC_FIRST) * 16, value, now_tsc, out);
}
