/* The LAPIC's life and its priorities: resets, modes, what may interrupt, EOI, pins, errors. */
#include "apic/lapic_impl.h"
#include "hv/base/assert.h"
#include "hv/base/string.h"

/* SDM vol. 3, figure 11-7: integrated APIC; 6 LVT entries, with CMCI 7. */
#define VERSION_INTEGRATED   0x14u
#define VERSION_EOI_SUPPRESS 0x1000000u

static uint32_t version(const struct lapic *l)
{
	uint32_t lvts = l->config.features & LAPIC_HAS_CMCI ? 7 : 6;
	uint32_t suppress = l->config.features & LAPIC_HAS_EOI_SUPPRESS ? VERSION_EOI_SUPPRESS : 0;

	return VERSION_INTEGRATED | (lvts - 1) << 16 | suppress;
}

/* SDM vol. 3, 11.12.10.2: the logical id follows from the id. */
static uint32_t x2apic_ldr(uint32_t id)
{
	return (id >> 4) << 16 | 1u << (id & 15);
}

/* The registers that depend on the mode. */
static void show_identity(struct lapic *l)
{
	uint32_t id = l->config.apic_id;
	bool x2apic = lapic_mode(l) == APIC_X2APIC;

	*lapic_reg(l, LAPIC_ID) = x2apic ? id : id << 24;
	if (x2apic)
		*lapic_reg(l, LAPIC_LDR) = x2apic_ldr(id);
}

void lapic_reset_state(struct lapic *l)
{
	static const uint16_t lvts[] = {
		LAPIC_LVT_TIMER, LAPIC_LVT_THERMAL, LAPIC_LVT_PERF, LAPIC_LVT_LINT0,
		LAPIC_LVT_LINT1, LAPIC_LVT_ERROR,   LAPIC_LVT_CMCI,
	};

	memset(l->regs, 0, PAGE_SIZE);
	for (size_t i = 0; i < ARRAY_LEN(lvts); i++)
		*lapic_reg(l, lvts[i]) = LVT_MASKED;
	*lapic_reg(l, LAPIC_VERSION) = version(l);
	*lapic_reg(l, LAPIC_DFR) = 0xffffffff;
	*lapic_reg(l, LAPIC_SVR) = 0xff;
	show_identity(l);
	l->lvt_open = false;
	l->irr_words = l->isr_words = 0;
	l->lint &= LINT_HIGH(0) | LINT_HIGH(1);
	l->errors = 0;
	l->error_armed = true;
	lapic_timer_reset(l);
}

void lapic_init(struct lapic *l, uint32_t *page, const struct lapic_config *config)
{
	ASSERT(is_aligned((uintptr_t)page, PAGE_SIZE));
	ASSERT(config->tsc_hz >= LAPIC_HZ_MIN && config->tsc_hz <= LAPIC_HZ_MAX);
	ASSERT(config->timer_hz >= LAPIC_HZ_MIN && config->timer_hz <= LAPIC_HZ_MAX);
	*l = (struct lapic){.regs = page, .config = *config};
	l->base_msr = APIC_BASE_DEFAULT_GPA | APIC_BASE_EN | (config->bsp ? APIC_BASE_BSP : 0);
	l->wait_sipi = !config->bsp;
	lapic_reset_state(l);
}

void lapic_reset_init(struct lapic *l)
{
	lapic_reset_state(l);
	l->wait_sipi = !l->config.bsp;
}

void lapic_virtual_wire(struct lapic *l)
{
	*lapic_reg(l, LAPIC_SVR) |= SVR_ENABLE;
	l->lvt_open = true;
	*lapic_reg(l, LAPIC_LVT_LINT0) = APIC_EXTINT << 8;
	*lapic_reg(l, LAPIC_LVT_LINT1) = APIC_NMI << 8;
}

/*
 * SDM vol. 3, 11.12.5 and figure 11-27. Switching off forgets everything, as 11.4.3 allows and 11.12.5
 * demands of x2APIC. The BSP flag is fixed here: writes leave it as it is.
 */
int lapic_base_write(struct lapic *l, uint64_t value, struct lapic_actions *out)
{
	uint64_t known = APIC_BASE_BSP | APIC_BASE_EN | BITS(l->config.phys_bits - 1, 12);
	enum apic_mode before = lapic_mode(l), after;

	if (l->config.features & LAPIC_HAS_X2APIC)
		known |= APIC_BASE_EXTD;
	if (value & ~known)
		return ERR_INVALID;
	after = !(value & APIC_BASE_EN)  ? APIC_OFF
		: value & APIC_BASE_EXTD ? APIC_X2APIC
					 : APIC_XAPIC;
	if (after == APIC_OFF && value & APIC_BASE_EXTD)
		return ERR_INVALID;
	if ((before == APIC_X2APIC && after == APIC_XAPIC) ||
	    (before == APIC_OFF && after == APIC_X2APIC))
		return ERR_INVALID;
	value = (value & ~APIC_BASE_BSP) | (l->base_msr & APIC_BASE_BSP);
	if (value == l->base_msr)
		return 0;
	l->base_msr = value;
	out->mode_changed = true;
	if (before == after)
		return 0;
	if (after == APIC_X2APIC) {
		*lapic_reg(l, LAPIC_ICR_HIGH) = 0;
		show_identity(l);
	} else {
		lapic_reset_state(l);
	}
	out->dest_changed = out->timer_changed = out->recheck = true;
	return 0;
}

void lapic_dest(const struct lapic *l, struct apic_dest *out)
{
	*out = (struct apic_dest){
		.id = l->config.apic_id,
		.mode = lapic_mode(l),
		.enabled = l->lvt_open,
		.cluster = *lapic_reg(l, LAPIC_DFR) >> 28 == 0,
		.logical = (uint8_t)(*lapic_reg(l, LAPIC_LDR) >> 24),
	};
}

/*
 * Priorities. For each of the two bitmaps a byte says which of its words are not 0, so that a search looks at
 * one word alone.
 */
static uint8_t highest(const struct lapic *l, enum lapic_reg map, uint8_t words)
{
	unsigned w;

	if (!words)
		return 0;
	w = bit_highest(words);
	return (uint8_t)(w * 32 + bit_highest(*lapic_word(l, map, w)));
}

uint8_t lapic_highest_irr(const struct lapic *l)
{
	return highest(l, LAPIC_IRR, l->irr_words);
}

uint8_t lapic_highest_isr(const struct lapic *l)
{
	return highest(l, LAPIC_ISR, l->isr_words);
}

/* Clears a bit; when it was the last one of its word, the word counts as 0 from now on. */
static void clear_vector(uint32_t *word, uint8_t *words, uint8_t vector)
{
	*word &= ~(1u << (vector % 32));
	if (!*word)
		*words &= (uint8_t) ~(1u << (vector / 32));
}

uint8_t lapic_ppr(const struct lapic *l)
{
	uint8_t tpr = (uint8_t)*lapic_reg(l, LAPIC_TPR), isr = lapic_highest_isr(l);

	return tpr >> 4 >= isr >> 4 ? tpr : isr & 0xf0;
}

int lapic_pending(const struct lapic *l)
{
	uint8_t vector;

	if (!l->irr_words)
		return -1;
	vector = lapic_highest_irr(l);
	return vector >> 4 > lapic_ppr(l) >> 4 ? vector : -1;
}

void lapic_accept(struct lapic *l, uint8_t vector)
{
	unsigned w = vector / 32;

	clear_vector(lapic_word(l, LAPIC_IRR, w), &l->irr_words, vector);
	*lapic_word(l, LAPIC_ISR, w) |= 1u << (vector % 32);
	l->isr_words |= (uint8_t)(1u << w);
}

/* The end of a level interrupt goes to the IOAPICs, and to LINT0 if it came from there. 11.8.5 */
static void eoi_level(struct lapic *l, uint8_t vector, struct lapic_actions *out)
{
	uint32_t lint0 = *lapic_reg(l, LAPIC_LVT_LINT0);

	if (l->lint & LINT0_REMOTE && (uint8_t)lint0 == vector) {
		l->lint &= (uint8_t)~LINT0_REMOTE;
		*lapic_reg(l, LAPIC_LVT_LINT0) = lint0 & ~LVT_REMOTE;
		lapic_lint_level(l);
	}
	out->eoi_level = !(*lapic_reg(l, LAPIC_SVR) & SVR_EOI_SUPPRESS);
	out->eoi_vector = vector;
}

void lapic_eoi_done(struct lapic *l, uint8_t vector, struct lapic_actions *out)
{
	*out = (struct lapic_actions){0};
	if (*lapic_word(l, LAPIC_TMR, vector / 32) >> (vector % 32) & 1)
		eoi_level(l, vector, out);
	out->recheck = l->irr_words != 0;
}

void lapic_eoi(struct lapic *l, struct lapic_actions *out)
{
	uint8_t vector = lapic_highest_isr(l);

	if (!vector) {
		*out = (struct lapic_actions){0};
		return;
	}
	clear_vector(lapic_word(l, LAPIC_ISR, vector / 32), &l->isr_words, vector);
	lapic_eoi_done(l, vector, out);
}

uint8_t lapic_cr8_read(const struct lapic *l)
{
	return *lapic_reg(l, LAPIC_TPR) >> 4 & 0xf;
}

void lapic_cr8_write(struct lapic *l, uint8_t cr8, struct lapic_actions *out)
{
	*out = (struct lapic_actions){.recheck = true};
	*lapic_reg(l, LAPIC_TPR) = (uint32_t)(cr8 & 0xf) << 4;
}

uint8_t lapic_tpr_threshold(const struct lapic *l)
{
	uint8_t class = lapic_highest_irr(l) >> 4;
	bool blocked = class <= lapic_cr8_read(l) && class > lapic_highest_isr(l) >> 4;

	return blocked ? class : 0;
}

void lapic_sync_hw(struct lapic *l)
{
	unsigned irr = 0, isr = 0;

	for (unsigned w = 0; w < 8; w++) {
		irr |= (*lapic_word(l, LAPIC_IRR, w) ? 1u : 0) << w;
		isr |= (*lapic_word(l, LAPIC_ISR, w) ? 1u : 0) << w;
	}
	l->irr_words = (uint8_t)irr;
	l->isr_words = (uint8_t)isr;
}

void lapic_eoi_exits(const struct lapic *l, uint64_t bitmap[4])
{
	for (unsigned w = 0; w < 4; w++)
		bitmap[w] = *lapic_word(l, LAPIC_TMR, 2 * w) |
			    (uint64_t)*lapic_word(l, LAPIC_TMR, 2 * w + 1) << 32;
}

void lapic_request(struct lapic *l, uint8_t vector, bool level)
{
	unsigned w = vector / 32;
	uint32_t bit = 1u << (vector % 32);
	uint32_t *tmr = lapic_word(l, LAPIC_TMR, w);

	if (vector < VECTOR_LOWEST) {
		lapic_error(l, ESR_RECEIVE_VECTOR);
		return;
	}
	*lapic_word(l, LAPIC_IRR, w) |= bit;
	l->irr_words |= (uint8_t)(1u << w);
	*tmr = level ? *tmr | bit : *tmr & ~bit;
}

void lapic_error(struct lapic *l, uint32_t bits)
{
	uint32_t lvt = *lapic_reg(l, LAPIC_LVT_ERROR);

	l->errors |= (uint8_t)bits;
	if (!l->error_armed)
		return;
	l->error_armed = false;
	if (!(lvt & LVT_MASKED))
		lapic_request(l, (uint8_t)lvt, false);
}

/*
 * Pins. SDM vol. 3, 11.5.1: NMI, SMI and INIT are always edge, ExtINT always level, LINT1 has no level.
 */
bool lapic_extint_accepted(const struct lapic *l)
{
	uint32_t lvt = *lapic_reg(l, LAPIC_LVT_LINT0);

	if (lapic_mode(l) == APIC_OFF)
		return l->config.bsp;
	return !(lvt & LVT_MASKED) && lvt_delivery(lvt) == APIC_EXTINT;
}

void lapic_lint_level(struct lapic *l)
{
	uint32_t *lvt = lapic_reg(l, LAPIC_LVT_LINT0);

	if (*lvt & LVT_MASKED || !(*lvt & LVT_LEVEL) || lvt_delivery(*lvt) != APIC_FIXED)
		return;
	if (!(l->lint & LINT_HIGH(0)) || l->lint & LINT0_REMOTE)
		return;
	lapic_request(l, (uint8_t)*lvt, true);
	l->lint |= LINT0_REMOTE;
	*lvt |= LVT_REMOTE;
}

/* A pin that is not level went from low to high. */
static void lint_edge(struct lapic *l, uint32_t lvt, struct lapic_events *ev)
{
	switch (lvt_delivery(lvt)) {
	case APIC_FIXED:
		lapic_request(l, (uint8_t)lvt, false);
		ev->recheck = true;
		break;
	case APIC_NMI:
		ev->nmi = true;
		break;
	case APIC_SMI:
		ev->smi = true;
		break;
	case APIC_INIT:
		lapic_reset_init(l);
		ev->init = ev->dest_changed = true;
		break;
	default:
		break;
	}
}

void lapic_lint(struct lapic *l, unsigned n, bool asserted, struct lapic_events *ev)
{
	uint32_t lvt = *lapic_reg(l, n == 0 ? LAPIC_LVT_LINT0 : LAPIC_LVT_LINT1);
	bool rises = asserted && !(l->lint & LINT_HIGH(n));
	bool level = n == 0 && lvt & LVT_LEVEL && lvt_delivery(lvt) == APIC_FIXED;

	l->lint = (uint8_t)(asserted ? l->lint | LINT_HIGH(n) : l->lint & ~LINT_HIGH(n));
	if (lapic_mode(l) == APIC_OFF) {
		/* SDM vol. 3, 11.4.3: with the APIC off its pins are the CPU's INTR and NMI. */
		ev->nmi |= n == 1 && rises;
		ev->recheck |= n == 0;
		return;
	}
	if (n == 0)
		ev->recheck = true;
	if (lvt & LVT_MASKED)
		return;
	if (level)
		lapic_lint_level(l);
	else if (rises)
		lint_edge(l, lvt, ev);
}
