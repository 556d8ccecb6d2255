#include "guest/pit.h"
#include "hv/base/bits.h"

#define CONTROL_PORT 0x43
#define SPEAKER_PORT 0x61

/* Control word. Data sheet, figure 7 */
#define CONTROL_RW(word)   ((word) >> 4 & 3)
#define CONTROL_MODE(word) ((word) >> 1 & 7)
#define CONTROL_BCD        0x01
#define RW_LOW             1
#define RW_HIGH            2
/* Read-back command, figure 10: a 0 bit asks for the item. */
#define READ_BACK          3
#define READ_BACK_COUNT    0x20
#define READ_BACK_STATUS   0x10
#define STATUS_OUT         0x80
#define STATUS_NULL        0x40

/* Port 61h: 82371SB data sheet, 2.5.4 */
#define SPEAKER_GATE     0x01
#define SPEAKER_WRITABLE 0x0f
#define SPEAKER_REFRESH  0x10
#define SPEAKER_OUT2     0x20
/* A DRAM refresh cycle every 15 us flips the refresh bit. */
#define REFRESH_CLOCKS   18

static uint64_t to_clock(const struct pit *p, uint64_t now)
{
	return now <= p->epoch ? 0 : mul_div(now - p->epoch, PIT_HZ, NS_PER_S);
}

/* The first ns at which `clock` has come. */
static uint64_t to_ns(const struct pit *p, uint64_t clock)
{
	uint64_t whole = clock / PIT_HZ, rest = clock % PIT_HZ;

	return p->epoch + whole * NS_PER_S + (rest * NS_PER_S + PIT_HZ - 1) / PIT_HZ;
}

static bool periodic(const struct pit_channel *c)
{
	return c->mode == 2 || c->mode == 3;
}

static bool triggered_by_gate(const struct pit_channel *c)
{
	return c->mode == 1 || c->mode == 5;
}

static bool frozen(const struct pit_channel *c)
{
	return !c->gate && !triggered_by_gate(c);
}

/* Clocks counted since the count was loaded. */
static uint64_t elapsed(const struct pit_channel *c, uint64_t clock)
{
	if (frozen(c))
		return c->held;
	return clock > c->start ? clock - c->start : 0;
}

/* A periodic channel takes a new count over at the end of its cycle. */
static void settle(struct pit_channel *c, uint64_t clock)
{
	if (!c->pending || clock < c->pending_at || frozen(c))
		return;
	c->reload = c->pending;
	c->start = c->pending_at;
	c->pending = 0;
}

/* Data sheet, "Mode Definitions" */
static bool channel_out(const struct pit_channel *c, uint64_t clock)
{
	uint64_t e = elapsed(c, clock);

	if (!c->counting)
		return c->out_at_rest;
	switch (c->mode) {
	case 0:
		return e >= c->reload;
	case 1:
		return e >= c->reload || clock < c->start;
	case 2:
		return frozen(c) || e % c->reload != c->reload - 1;
	case 3:
		return frozen(c) || e % c->reload < (c->reload + 1) / 2;
	default:
		return e != c->reload;
	}
}

/* What the counting element holds, as the guest reads it. */
static uint16_t channel_count(const struct pit_channel *c, uint64_t clock)
{
	bool bcd = c->control & CONTROL_BCD;
	uint32_t wrap = bcd ? 10000 : 0x10000;
	uint64_t e = c->counting ? elapsed(c, clock) : 0;
	uint32_t half = (c->reload + 1) / 2, v;

	if (c->counting && c->mode == 2)
		v = c->reload - (uint32_t)(e % c->reload);
	else if (c->counting && c->mode == 3)
		v = (c->reload & ~1u) - 2 * ((uint32_t)(e % c->reload) % half);
	else
		v = c->reload + wrap - (uint32_t)(e % wrap);
	v %= wrap;
	if (bcd)
		v = v / 1000 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10;
	return (uint16_t)v;
}

static uint32_t decode_count(const struct pit_channel *c, uint16_t v)
{
	uint32_t n = v;

	if (!(c->control & CONTROL_BCD))
		return n ? n : 0x10000;
	n = (n >> 12) * 1000 + (n >> 8 & 15) * 100 + (n >> 4 & 15) * 10 + (n & 15);
	return n ? n : 10000;
}

static void load_count(struct pit_channel *c, uint16_t value, uint64_t clock)
{
	uint32_t n = decode_count(c, value);

	if (triggered_by_gate(c) && c->counting) {
		/* taken over by the next trigger */
		c->pending = n;
		c->pending_at = UINT64_MAX;
		return;
	}
	if (periodic(c) && c->counting && clock >= c->start && !frozen(c)) {
		c->pending = n;
		c->pending_at = c->start + (elapsed(c, clock) / c->reload + 1) * c->reload;
		return;
	}
	c->reload = n;
	c->pending = 0;
	c->held = 0;
	c->start = clock + 1;
	c->counting = !triggered_by_gate(c);
}

static void write_count(struct pit_channel *c, uint8_t value, uint64_t clock)
{
	unsigned rw = CONTROL_RW(c->control);

	if (rw == RW_LOW) {
		load_count(c, value, clock);
	} else if (rw == RW_HIGH) {
		load_count(c, (uint16_t)(value << 8), clock);
	} else if (!c->write_high) {
		c->write_low = value;
		c->write_high = true;
		if (c->mode == 0) {
			c->counting = false;
			c->out_at_rest = false;
		}
	} else {
		c->write_high = false;
		load_count(c, (uint16_t)(value << 8 | c->write_low), clock);
	}
}

static void latch_count(struct pit_channel *c, uint64_t clock)
{
	if (c->count_latched)
		return;
	c->count_latched = true;
	c->latch = channel_count(c, clock);
}

static void latch_status(struct pit_channel *c, uint64_t clock)
{
	bool null = !c->counting || c->pending || clock < c->start;

	if (c->status_latched)
		return;
	c->status_latched = true;
	c->status = (uint8_t)(c->control | (channel_out(c, clock) ? STATUS_OUT : 0) |
			      (null ? STATUS_NULL : 0));
}

static void read_back(struct pit *p, uint8_t command, uint64_t clock)
{
	for (unsigned i = 0; i < 3; i++) {
		struct pit_channel *c = &p->ch[i];

		if (!(command >> (i + 1) & 1))
			continue;
		if (!(command & READ_BACK_COUNT))
			latch_count(c, clock);
		if (!(command & READ_BACK_STATUS))
			latch_status(c, clock);
	}
}

static void write_control(struct pit *p, uint8_t value, uint64_t clock)
{
	struct pit_channel *c;
	bool gate;

	if (value >> 6 == READ_BACK) {
		read_back(p, value, clock);
		return;
	}
	c = &p->ch[value >> 6];
	if (CONTROL_RW(value) == 0) {
		latch_count(c, clock);
		return;
	}
	gate = c->gate;
	*c = (struct pit_channel){0};
	c->gate = gate;
	c->control = value & 0x3f;
	/* Modes 2 and 3 have two codes each. */
	c->mode = CONTROL_MODE(value) > 5 ? CONTROL_MODE(value) - 4 : CONTROL_MODE(value);
	c->out_at_rest = c->mode != 0;
}

static uint8_t read_count(struct pit_channel *c, uint64_t clock)
{
	unsigned rw = CONTROL_RW(c->control);
	uint16_t v = c->count_latched ? c->latch : channel_count(c, clock);
	bool high = rw == RW_HIGH || c->read_high;

	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	if (rw != RW_LOW && rw != RW_HIGH)
		c->read_high = !c->read_high;
	/* A latched count stays until its last byte is read. */
	if (!c->read_high)
		c->count_latched = false;
	return (uint8_t)(high ? v >> 8 : v);
}

/* Data sheet, figure 21: what the gate does in each mode. */
static void set_gate(struct pit_channel *c, bool gate, uint64_t clock)
{
	uint64_t e = elapsed(c, clock);

	if (gate == c->gate)
		return;
	c->gate = gate;
	if (!gate) {
		c->held = e;
		return;
	}
	if (triggered_by_gate(c) || periodic(c)) {
		if (c->pending)
			c->reload = c->pending;
		c->pending = 0;
		c->start = clock + 1;
		c->counting = c->reload != 0;
	} else {
		c->start = clock > c->held ? clock - c->held : 0;
	}
}

void pit_init(struct pit *p, uint64_t now)
{
	*p = (struct pit){.epoch = now};
	for (unsigned i = 0; i < 3; i++) {
		p->ch[i].gate = i != 2;
		/* The data sheet leaves the state open; mode 0 without a count is quiet. */
		p->ch[i].control = 0x30;
	}
}

/* Rising edges of a counting channel in (0, clock], by its own phase. */
static uint64_t edges_until(const struct pit_channel *c, uint64_t clock)
{
	uint64_t e = clock > c->start ? clock - c->start : 0;

	if (!c->counting || triggered_by_gate(c))
		return 0;
	if (periodic(c))
		return c->reload < 2 ? 0 : e / c->reload;
	return e >= c->reload + (c->mode == 4);
}

void pit_tick(struct pit *p, uint64_t now)
{
	struct pit_channel *c = &p->ch[0];
	uint64_t clock = to_clock(p, now);

	if (clock <= p->seen)
		return;
	if (c->pending && clock >= c->pending_at) {
		p->edges += edges_until(c, c->pending_at) - edges_until(c, p->seen);
		p->seen = c->pending_at;
		settle(c, clock);
	}
	p->edges += edges_until(c, clock) - edges_until(c, p->seen);
	p->seen = clock;
}

uint64_t pit_next_event(const struct pit *p)
{
	const struct pit_channel *c = &p->ch[0];
	uint64_t edge = c->start + c->reload + (c->mode == 4);

	if (!c->counting || triggered_by_gate(c) || (periodic(c) && c->reload < 2))
		return UINT64_MAX;
	if (periodic(c) && p->seen >= c->start)
		edge = c->start + ((p->seen - c->start) / c->reload + 1) * c->reload;
	return edge > p->seen ? to_ns(p, edge) : UINT64_MAX;
}

bool pit_out(const struct pit *p, unsigned channel, uint64_t now)
{
	struct pit_channel c = p->ch[channel];
	uint64_t clock = to_clock(p, now);

	settle(&c, clock);
	return channel_out(&c, clock);
}

bool pit_irq(const struct pit *p, uint64_t now)
{
	return p->ch[0].mode != 0 || pit_out(p, 0, now);
}

static uint8_t read_speaker(const struct pit *p, uint64_t clock, uint64_t now)
{
	bool refresh = clock / REFRESH_CLOCKS & 1;

	return (uint8_t)(p->speaker | (refresh ? SPEAKER_REFRESH : 0) |
			 (pit_out(p, 2, now) ? SPEAKER_OUT2 : 0));
}

uint8_t pit_read(struct pit *p, uint16_t port, uint64_t now)
{
	uint64_t clock = to_clock(p, now);

	pit_tick(p, now);
	if (port == SPEAKER_PORT)
		return read_speaker(p, clock, now);
	if (port >= CONTROL_PORT)
		return 0xff;
	settle(&p->ch[port & 3], clock);
	return read_count(&p->ch[port & 3], clock);
}

void pit_write(struct pit *p, uint16_t port, uint8_t value, uint64_t now)
{
	uint64_t clock = to_clock(p, now);
	bool out;

	pit_tick(p, now);
	out = channel_out(&p->ch[0], clock);
	for (unsigned i = 0; i < 3; i++)
		settle(&p->ch[i], clock);
	if (port == SPEAKER_PORT) {
		p->speaker = value & SPEAKER_WRITABLE;
		set_gate(&p->ch[2], value & SPEAKER_GATE, clock);
	} else if (port == CONTROL_PORT) {
		write_control(p, value, clock);
	} else {
		write_count(&p->ch[port & 3], value, clock);
	}
	/* Programming a mode can raise OUT by itself. */
	if (!out && channel_out(&p->ch[0], clock))
		p->edges++;
}
