/*
 * The 8254 interval timer and the speaker port 0x61. Everything is computed from the time given
 * with each call: nothing has to run for the counters to count. Intel 8254 data sheet, order
 * 231164.
 */
#ifndef GUEST_PIT_H
#define GUEST_PIT_H

#include "hv/base/compiler.h"

#define PIT_HZ 1193182u

struct pit_channel {
	uint8_t control; /* RW bits, mode and BCD as last written (D5..D0) */
	uint8_t mode;    /* 0..5 */
	bool gate;
	bool counting;    /* a count is in the counter, or will be at `start` */
	bool out_at_rest; /* OUT while not counting */
	uint32_t reload;  /* the count, 1..0x10000; 0: none written yet */
	uint64_t start;   /* PIT clock at which the count is in the counter */
	uint32_t pending; /* modes 2, 3: count to take over at clock pending_at; 0 none */
	uint64_t pending_at;
	uint64_t held;   /* clocks already counted when the gate went low (modes 0, 4) */
	bool write_high; /* RW = 3: the next byte written is the high one */
	uint8_t write_low;
	bool read_high; /* RW = 3: the next byte read is the high one */
	bool count_latched, status_latched;
	uint16_t latch;
	uint8_t status;
};

struct pit {
	struct pit_channel ch[3];
	uint64_t epoch;  /* ns of PIT clock 0 */
	uint64_t seen;   /* PIT clock up to which OUT0's rising edges are in `edges` */
	uint64_t edges;  /* since init; each is one IRQ0 */
	uint8_t speaker; /* port 0x61 bits 1:0 as written */
};

void pit_init(struct pit *p, uint64_t now);

/* Ports 0x40..0x43 and 0x61. */
uint8_t pit_read(struct pit *p, uint16_t port, uint64_t now);
void pit_write(struct pit *p, uint16_t port, uint8_t value, uint64_t now);

/* Counts the rising edges of OUT0 up to `now` into p->edges. */
void pit_tick(struct pit *p, uint64_t now);

/* OUT of a channel at `now`. */
bool pit_out(const struct pit *p, unsigned channel, uint64_t now);

/*
 * Level of the interrupt line: as OUT0, but held through the low times of the periodic modes, so
 * that a late acknowledge loses no tick; an edge there shows in p->edges alone.
 */
bool pit_irq(const struct pit *p, uint64_t now);

/* When OUT0 rises next, ns; UINT64_MAX when it won't by itself. */
uint64_t pit_next_event(const struct pit *p);

#endif
