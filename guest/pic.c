#include "guest/pic.h"
#include "hv/base/bits.h"

#define CASCADE 2

/* ICW1, OCW2, OCW3: data sheet, figures 7 and 8 */
#define ICW1_SELECT   0x10
#define ICW1_IC4      0x01
#define ICW1_SNGL     0x02
#define ICW4_AEOI     0x02
#define ICW4_SFNM     0x10
#define OCW3_SELECT   0x08
#define OCW3_RIS      0x01
#define OCW3_RR       0x02
#define OCW3_POLL     0x04
#define OCW3_SMM      0x20
#define OCW3_ESMM     0x40
#define OCW2_EOI      0x20
#define OCW2_SPECIFIC 0x40
#define OCW2_ROTATE   0x80

/*
 * Inputs that chip sets keep edge-triggered: timer, keyboard, cascade; RTC, coprocessor. 82371SB,
 * 3.3
 */
static const uint8_t elcr_writable[2] = {0xf8, 0xde};

/* What a BIOS leaves: vectors 08h and 70h, everything masked. */
void pic_init(struct pic *p)
{
	*p = (struct pic){0};
	for (unsigned c = 0; c < 2; c++) {
		p->chip[c].vector = c ? 0x70 : 0x08;
		p->chip[c].imr = 0xff;
		p->chip[c].lowest = 7;
	}
}

/* IRR. An edge is forgotten when its line drops: the data sheet wants IR high until the INTA. */
static uint8_t chip_requests(const struct pic_chip *c)
{
	return c->latch | (c->line & c->elcr);
}

/* The first set bit of `set` in order of priority, or -1. */
static int chip_highest(const struct pic_chip *c, uint8_t set)
{
	for (unsigned i = 1; i <= 8; i++) {
		unsigned ir = (c->lowest + i) & 7;

		if (set >> ir & 1)
			return (int)ir;
	}
	return -1;
}

/* 0 for the highest priority .. 7; 8 for none. */
static unsigned chip_rank(const struct pic_chip *c, int ir)
{
	return ir < 0 ? 8 : ((unsigned)ir - c->lowest - 1) & 7;
}

/* The request that the chip's INT output announces, or -1. */
static int chip_pending(const struct pic_chip *c, uint8_t requests)
{
	uint8_t serving = c->isr;
	int want = chip_highest(c, requests & (uint8_t)~c->imr);

	if (want < 0 || c->init)
		return -1;
	if (c->special_mask)
		serving &= (uint8_t)~c->imr;
	/* Special fully nested: the slave may interrupt its own service. */
	if (c->special_nested)
		serving &= (uint8_t)~BIT(CASCADE);
	if (chip_rank(c, chip_highest(c, serving)) <= chip_rank(c, want))
		return -1;
	return want;
}

static int slave_pending(const struct pic *p)
{
	return chip_pending(&p->chip[1], chip_requests(&p->chip[1]));
}

static uint8_t master_requests(const struct pic *p)
{
	uint8_t requests = chip_requests(&p->chip[0]) & (uint8_t)~BIT(CASCADE);

	return requests | (slave_pending(p) >= 0 ? BIT(CASCADE) : 0);
}

static uint8_t requests_of(const struct pic *p, unsigned chip)
{
	return chip ? chip_requests(&p->chip[1]) : master_requests(p);
}

bool pic_intr(const struct pic *p)
{
	return chip_pending(&p->chip[0], master_requests(p)) >= 0;
}

void pic_set_line(struct pic *p, unsigned irq, bool level)
{
	struct pic_chip *c = &p->chip[irq >> 3 & 1];
	uint8_t bit = (uint8_t)BIT(irq & 7);

	if (irq == CASCADE)
		return;
	if (level && !(c->line & bit))
		c->latch |= bit;
	if (!level)
		c->latch &= (uint8_t)~bit;
	c->line = level ? c->line | bit : c->line & (uint8_t)~bit;
}

/*
 * One chip's share of the INTA sequence: the request moves from IRR to ISR. Returns its IR; 7 when
 * spurious.
 */
static unsigned chip_ack(struct pic_chip *c, int ir)
{
	if (ir < 0)
		return 7;
	c->latch &= (uint8_t)~BIT(ir);
	if (!c->aeoi)
		c->isr |= (uint8_t)BIT(ir);
	else if (c->rotate_on_aeoi)
		c->lowest = (uint8_t)ir;
	return (unsigned)ir;
}

uint8_t pic_ack(struct pic *p)
{
	int slave_ir = slave_pending(p);
	unsigned ir = chip_ack(&p->chip[0], chip_pending(&p->chip[0], master_requests(p)));

	if (ir != CASCADE)
		return (uint8_t)(p->chip[0].vector + ir);
	return (uint8_t)(p->chip[1].vector + chip_ack(&p->chip[1], slave_ir));
}

/* ICW1: data sheet, "Initialization Command Words 1 and 2" lists what it clears. */
static void write_icw1(struct pic_chip *c, uint8_t value)
{
	c->latch = 0;
	c->imr = 0;
	c->isr = 0;
	c->lowest = 7;
	c->special_mask = false;
	c->read_isr = false;
	c->poll = false;
	c->single = value & ICW1_SNGL;
	c->icw4_wanted = value & ICW1_IC4;
	c->aeoi = c->special_nested = c->rotate_on_aeoi = false;
	c->init = 2;
}

static void write_icw(struct pic_chip *c, uint8_t value)
{
	unsigned next = c->init + 1u;

	if (c->init == 2)
		c->vector = value & 0xf8;
	if (c->init == 4) {
		c->aeoi = value & ICW4_AEOI;
		c->special_nested = value & ICW4_SFNM;
	}
	if (next == 3 && c->single)
		next = 4;
	c->init = next > 4 || (next == 4 && !c->icw4_wanted) ? 0 : (uint8_t)next;
}

static void write_ocw2(struct pic_chip *c, uint8_t value)
{
	int ir = value & 7;

	if (!(value & OCW2_EOI) && !(value & OCW2_SPECIFIC)) {
		c->rotate_on_aeoi = value & OCW2_ROTATE;
		return;
	}
	if (!(value & OCW2_SPECIFIC)) {
		/* In special mask mode a masked level is not reached by a non-specific EOI. */
		ir = chip_highest(c, c->special_mask ? c->isr & (uint8_t)~c->imr : c->isr);
		if (ir < 0)
			return;
	}
	if (value & OCW2_EOI)
		c->isr &= (uint8_t)~BIT(ir);
	if (value & OCW2_ROTATE)
		c->lowest = (uint8_t)ir;
}

static void write_ocw3(struct pic_chip *c, uint8_t value)
{
	if (value & OCW3_ESMM)
		c->special_mask = value & OCW3_SMM;
	if (value & OCW3_RR)
		c->read_isr = value & OCW3_RIS;
	if (value & OCW3_POLL)
		c->poll = true;
}

void pic_write(struct pic *p, uint16_t port, uint8_t value)
{
	unsigned chip = port >> 7 & 1;
	struct pic_chip *c = &p->chip[chip];

	if (port >= 0x4d0) {
		chip = port & 1;
		p->chip[chip].elcr = value & elcr_writable[chip];
	} else if (port & 1) {
		if (c->init)
			write_icw(c, value);
		else
			c->imr = value;
	} else if (value & ICW1_SELECT) {
		write_icw1(c, value);
	} else if (value & OCW3_SELECT) {
		write_ocw3(c, value);
	} else {
		write_ocw2(c, value);
	}
}

/* The poll command turns the next read into an acknowledge. Data sheet, "Poll Command" */
static uint8_t read_poll(struct pic *p, unsigned chip)
{
	struct pic_chip *c = &p->chip[chip];
	int ir = chip_pending(c, requests_of(p, chip));

	c->poll = false;
	return ir < 0 ? 0 : (uint8_t)(0x80 | chip_ack(c, ir));
}

uint8_t pic_read(struct pic *p, uint16_t port)
{
	unsigned chip = port >> 7 & 1;
	struct pic_chip *c = &p->chip[chip];

	if (port >= 0x4d0)
		return p->chip[port & 1].elcr;
	if (c->poll)
		return read_poll(p, chip);
	if (port & 1)
		return c->imr;
	return c->read_isr ? c->isr : requests_of(p, chip);
}
