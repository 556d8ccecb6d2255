/*
 * Two LAPICs, their posted blocks, a book and an IOAPIC under random register accesses, messages, pins
 * and time. After every step the machine is compared with what must hold whatever a guest does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apic/ioapic.h"
#include "apic/lapic.h"

#define CPUS       2
#define LVT_MASKED 0x10000u

#define HOLDS(cond)                                                                               \
	do {                                                                                      \
		if (!(cond)) {                                                                    \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                                  \
		}                                                                                 \
	} while (0)

struct bitmap256 {
	uint32_t word[8];
};

struct fuzz_cpu {
	struct lapic lapic;
	struct apic_post post;
	struct bitmap256 irr, isr; /* as they were after the step before */
	struct bitmap256 posted;   /* since the last pull */
	uint8_t stack[16];         /* vectors in service, in order of acceptance */
	unsigned depth;
};

static uint32_t page[CPUS][1024] ALIGNED(4096);
static struct fuzz_cpu cpus[CPUS];
static struct apic_book book;
static struct ioapic io;
static uint64_t now;

struct input {
	const uint8_t *data;
	size_t left;
};

static uint64_t take(struct input *in, unsigned bytes)
{
	uint64_t v = 0;

	while (bytes-- && in->left) {
		v = v << 8 | *in->data++;
		in->left--;
	}
	return v;
}

static bool has(const struct bitmap256 *b, unsigned vector)
{
	return b->word[vector / 32] >> (vector % 32) & 1;
}

static struct bitmap256 map(const struct lapic *l, enum lapic_reg first)
{
	struct bitmap256 b;

	for (unsigned w = 0; w < 8; w++)
		b.word[w] = l->regs[first / 4 + w * 4];
	return b;
}

static int top(const struct bitmap256 *b)
{
	for (int v = 255; v >= 0; v--)
		if (has(b, (unsigned)v))
			return v;
	return -1;
}

static void publish(unsigned i)
{
	struct apic_dest dest;

	lapic_dest(&cpus[i].lapic, &dest);
	apic_book_update(&book, i, &dest);
}

static void post(unsigned i, const struct apic_msg *msg)
{
	bool told = apic_post_pending(&cpus[i].post);
	bool kick = apic_post_msg(&cpus[i].post, msg);

	HOLDS(msg->kind == APIC_RESERVED || told || kick);
	if (msg->kind == APIC_FIXED || msg->kind == APIC_LOWEST)
		cpus[i].posted.word[msg->vector / 32] |= 1u << (msg->vector % 32);
}

static void route(const struct apic_msg *msg, uint32_t src)
{
	struct cpuset to;
	unsigned cpu;

	apic_match(&book, msg, src, &to);
	HOLDS(msg->kind != APIC_LOWEST || cpuset_count(&to) <= 1);
	cpuset_for_each(cpu, &to)
	{
		HOLDS(cpu < CPUS && lapic_mode(&cpus[cpu].lapic) != APIC_OFF);
		post(cpu, msg);
	}
}

static void route_all(const struct ioapic_out *out)
{
	HOLDS(out->count <= IOAPIC_PINS);
	for (unsigned n = 0; n < out->count; n++)
		route(&out->msg[n], APIC_NO_CPU);
}

/* A reset or a switch of mode may clear IRR and ISR; nothing else may. */
static void forget(struct fuzz_cpu *c)
{
	memset(&c->irr, 0, sizeof(c->irr));
	memset(&c->isr, 0, sizeof(c->isr));
	c->depth = 0;
}

static void act(unsigned i, const struct lapic_actions *a)
{
	struct ioapic_out out;

	if (a->mode_changed && lapic_mode(&cpus[i].lapic) != APIC_X2APIC)
		forget(&cpus[i]);
	if (a->dest_changed)
		publish(i);
	if (a->send_ipi) {
		HOLDS(a->ipi.kind != APIC_RESERVED && a->ipi.kind != APIC_EXTINT);
		HOLDS(a->ipi.kind > APIC_LOWEST || a->ipi.vector >= 16);
		route(&a->ipi, i);
	}
	if (a->eoi_level) {
		ioapic_eoi(&io, a->eoi_vector, &out);
		route_all(&out);
	}
}

/* What the guest's EOI took out of ISR is the last one accepted. */
static void after_eoi(struct fuzz_cpu *c)
{
	if (!c->depth)
		return;
	c->depth--;
	c->isr.word[c->stack[c->depth] / 32] &= ~(1u << (c->stack[c->depth] % 32));
}

static void mmio_write(unsigned i, uint32_t offset, uint32_t value, bool stored)
{
	struct lapic *l = &cpus[i].lapic;
	struct lapic_actions a;

	if (lapic_mode(l) != APIC_XAPIC)
		return;
	if (stored) {
		/* Hardware stores into these alone: SDM vol. 3, 30.4.3. */
		if (offset != LAPIC_TPR && offset != LAPIC_EOI && offset != LAPIC_ID &&
		    (offset < LAPIC_LDR || offset > LAPIC_SVR) && offset != LAPIC_ESR &&
		    (offset < LAPIC_ICR_LOW || offset > LAPIC_TIMER_INITIAL) &&
		    offset != LAPIC_TIMER_DIVIDE)
			return;
		l->regs[offset / 4] = value;
		lapic_write_done(l, offset, now, &a);
	} else {
		lapic_mmio_write(l, offset, value, now, &a);
	}
	if (offset == LAPIC_EOI)
		after_eoi(&cpus[i]);
	act(i, &a);
}

static void msr_write(unsigned i, uint32_t msr, uint64_t value)
{
	struct lapic *l = &cpus[i].lapic;
	enum apic_mode before = lapic_mode(l);
	struct lapic_actions a;
	int err = lapic_msr_write(l, msr, value, now, &a);

	HOLDS(err == 0 || err == ERR_INVALID);
	if (err) {
		HOLDS(lapic_mode(l) == before && !a.send_ipi && !a.dest_changed);
		return;
	}
	HOLDS(msr < MSR_X2APIC_FIRST || before == APIC_X2APIC);
	HOLDS(before != APIC_OFF || lapic_mode(l) != APIC_X2APIC);
	HOLDS(before != APIC_X2APIC || lapic_mode(l) != APIC_XAPIC);
	if (msr == MSR_X2APIC_FIRST + LAPIC_EOI / 16)
		after_eoi(&cpus[i]);
	if (lapic_mode(l) == before)
		a.mode_changed = false;
	act(i, &a);
}

/* Before an entry: take what was posted, then at most one vector. */
static void pull_and_accept(unsigned i)
{
	struct fuzz_cpu *c = &cpus[i];
	struct lapic *l = &c->lapic;
	bool waited = l->wait_sipi;
	struct lapic_events ev;
	struct bitmap256 irr;
	int vector;

	lapic_pull(l, &c->post, &ev);
	HOLDS(!apic_post_pending(&c->post));
	HOLDS(!ev.sipi || waited || ev.init);
	if (ev.init)
		forget(c);
	if (ev.dest_changed)
		publish(i);
	irr = map(l, LAPIC_IRR);
	for (unsigned v = 16; v < 256; v++)
		if (has(&c->posted, v) && l->lvt_open && lapic_mode(l) != APIC_OFF)
			HOLDS(has(&irr, v));
	memset(&c->posted, 0, sizeof(c->posted));
	vector = lapic_pending(l);
	if (vector < 0)
		return;
	HOLDS(vector >> 4 > lapic_ppr(l) >> 4);
	HOLDS(c->depth == 0 || vector >> 4 > c->stack[c->depth - 1] >> 4);
	lapic_accept(l, (uint8_t)vector);
	irr.word[vector / 32] &= ~(1u << (vector % 32));
	c->irr = irr;
	c->isr.word[vector / 32] |= 1u << (vector % 32);
	c->stack[c->depth++] = (uint8_t)vector;
}

static void pass_time(uint64_t ticks)
{
	now += ticks;
	for (unsigned i = 0; i < CPUS; i++) {
		struct lapic *l = &cpus[i].lapic;
		uint64_t left = lapic_timer_left(l, now), next = lapic_timer_deadline(l);
		bool fired = lapic_timer_expire(l, now);

		HOLDS(fired == (left == 0));
		HOLDS(left == 0 || lapic_timer_deadline(l) == next);
		HOLDS(lapic_timer_left(l, now) != 0);
	}
}

static void check_ioapic(void)
{
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		uint64_t redir = io.redir[pin];
		bool level = redir & BIT(15) && (redir >> 8 & 7) < 2;

		HOLDS(level || !(redir & BIT(14)));
		HOLDS(!level || redir & BIT(16) || redir & BIT(14) || !(io.line >> pin & 1));
	}
}

static void check(struct fuzz_cpu *c, unsigned i)
{
	struct lapic *l = &c->lapic;
	struct bitmap256 irr = map(l, LAPIC_IRR), isr = map(l, LAPIC_ISR);
	int highest = top(&irr);

	for (unsigned w = 0; w < 8; w++) {
		HOLDS((l->irr_words >> w & 1) == (irr.word[w] != 0));
		HOLDS((l->isr_words >> w & 1) == (isr.word[w] != 0));
		/* Requests are never lost, and service begins and ends only where it should. */
		HOLDS((irr.word[w] & c->irr.word[w]) == c->irr.word[w]);
		HOLDS(isr.word[w] == c->isr.word[w]);
	}
	HOLDS(!(irr.word[0] & 0xffff) && !(isr.word[0] & 0xffff));
	HOLDS(lapic_highest_isr(l) == (c->depth ? c->stack[c->depth - 1] : 0));
	HOLDS(lapic_highest_irr(l) == (highest < 0 ? 0 : highest));
	HOLDS(lapic_pending(l) == (highest >> 4 > lapic_ppr(l) >> 4 ? highest : -1));
	HOLDS(lapic_ppr(l) >> 4 >= (uint8_t)l->regs[LAPIC_TPR / 4] >> 4);
	HOLDS(lapic_tpr_threshold(l) == 0 || lapic_pending(l) < 0);
	for (unsigned reg = LAPIC_LVT_TIMER; reg <= LAPIC_LVT_ERROR; reg += 16)
		HOLDS(l->lvt_open || l->regs[reg / 4] & LVT_MASKED);
	HOLDS(l->regs[LAPIC_ID / 4] == (lapic_mode(l) == APIC_X2APIC ? i : i << 24));
	HOLDS(l->base_msr & APIC_BASE_EN || !(l->base_msr & APIC_BASE_EXTD));
	c->irr = irr;
}

static void ioapic_step(struct input *in, uint8_t what)
{
	struct ioapic_out out;
	uint8_t index = (uint8_t)take(in, 1);
	/* Mostly the first few pins, so that things meet. */
	unsigned pin = index & 0x40 ? index % IOAPIC_PINS : index % 4u;

	if (what & 1) {
		ioapic_line(&io, pin, index & 0x80, &out);
	} else {
		ioapic_write(&io, IOAPIC_INDEX, what & 4 ? index : 0x10 + 2 * pin, &out);
		HOLDS(out.count == 0);
		ioapic_write(&io, what & 2 ? IOAPIC_EOI : IOAPIC_DATA, (uint32_t)take(in, 4), &out);
		ioapic_read(&io, IOAPIC_DATA);
	}
	route_all(&out);
}

static void post_step(struct input *in, unsigned i)
{
	uint64_t bits = take(in, 3);
	struct apic_msg msg = {
		.kind = (enum apic_delivery)(bits & 7),
		.shorthand = (enum apic_shorthand)(bits >> 3 & 3),
		.logical = bits >> 5 & 1,
		.level_trigger = bits >> 6 & 1,
		.assert = bits >> 7 & 1,
		.vector = (uint8_t)(bits >> 8),
		.dest = apic_dest_from8((uint8_t)(bits >> 16)),
	};

	route(&msg, i);
}

static void step(struct input *in)
{
	static const uint32_t msrs[] = {MSR_APIC_BASE, MSR_TSC_DEADLINE};
	uint8_t op = (uint8_t)take(in, 1), what = (uint8_t)take(in, 1);
	unsigned i = op >> 7;
	struct lapic_actions a;
	uint64_t value;

	switch (op & 0xf) {
	case 0:
	case 1:
	case 2:
		mmio_write(i, (uint32_t)what * 4 & 0x3f0, (uint32_t)take(in, 4), op & 0x40);
		break;
	case 3:
		if (lapic_mode(&cpus[i].lapic) == APIC_XAPIC)
			lapic_mmio_read(&cpus[i].lapic, (uint32_t)what * 4, now);
		break;
	case 4:
		msr_write(i, MSR_X2APIC_FIRST + what, take(in, op & 0x40 ? 8 : 2));
		break;
	case 5:
		value = take(in, 8);
		msr_write(i, msrs[what & 1], what & 2 ? now + (value & 0xffff) : value);
		break;
	case 6:
		msr_write(i, MSR_APIC_BASE, 0xfee00000 | (what & 0xf) << 8);
		break;
	case 7:
		if (lapic_msr_read(&cpus[i].lapic, MSR_X2APIC_FIRST + what, now, &value) == 0)
			HOLDS(lapic_mode(&cpus[i].lapic) == APIC_X2APIC);
		break;
	case 8:
		post_step(in, i);
		break;
	case 9:
		(void)!apic_post_lint(&cpus[i].post, what & 1, what & 2);
		break;
	case 10:
		ioapic_step(in, what);
		break;
	case 11:
		pass_time(what & 0x80 ? take(in, 5) : what);
		break;
	case 12:
		lapic_cr8_write(&cpus[i].lapic, what, &a);
		break;
	case 13:
		lapic_tsc_moved(&cpus[i].lapic, now, now);
		lapic_sync_hw(&cpus[i].lapic);
		break;
	default:
		pull_and_accept(i);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	uint8_t setup = (uint8_t)take(&in, 1);

	memset(cpus, 0, sizeof(cpus));
	apic_book_init(&book);
	ioapic_init(&io, 0);
	now = setup & 0x80 ? UINT64_MAX - 100000 : 1000;
	for (unsigned i = 0; i < CPUS; i++) {
		struct lapic_config config = {
			.apic_id = i,
			.bsp = i == 0,
			.features = setup & 0xf,
			.phys_bits = 36,
			.tsc_hz = setup & 0x10 ? 2399999999 : 1000000,
			.timer_hz = setup & 0x20 ? 1000000000 : 24000001,
		};

		lapic_init(&cpus[i].lapic, page[i], &config);
		apic_post_init(&cpus[i].post);
		if (setup & 0x40)
			lapic_virtual_wire(&cpus[i].lapic);
		publish(i);
	}
	while (in.left) {
		step(&in);
		for (unsigned i = 0; i < CPUS; i++)
			check(&cpus[i], i);
		check_ioapic();
	}
	return 0;
}
