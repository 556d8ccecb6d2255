/*
 * The 8254 interval timer and the speaker port 0x61. Everything is computed from the time given with
 * each call: nothing has to run for the counters to count. Intel 8254 data sheet, order 231164.
 */
#ifndef GUEST_PIT_H
#define GUEST_PIT_H

#include "hv/base/compiler.h"

#define PIT_HZ 1193182u

struct pit_channel {
	uint8_t control; /* mode word: RW bits, mode, BCD (D5..D0) */
	uint8_t mode;    /* 0..5 */
	bool gate;
	bool null_count;  /* a count was written and is not in the counter yet */
	bool counting;    /* a count has been loaded (and, in modes 1 and 5, a trigger came) */
	uint32_t reload;  /* 1..0x10000; 10000 at most in BCD */
	uint64_t start;   /* PIT clock at which the current count was loaded */
	uint32_t pending; /* modes 2, 3: count to take over at the end of the cycle; 0 none */
	uint32_t held;    /* clocks already run when the gate went low (modes 0, 4) */
	bool out_at_rest; /* OUT while not counting */
	bool write_high;  /* RW = 3: the next byte written is the high one */
	uint8_t write_low;
	bool read_high;
	uint8_t latched; /* bytes of latched count left to read */
	uint16_t latch;
	bool status_latched;
	uint8_t status;
};

struct pit {
	struct pit_channel ch[3];
	uint64_t epoch;  /* ns of PIT clock 0 */
	uint64_t seen;   /* PIT clock up to which channel 0's edges were counted */
	uint64_t edges;  /* rising edges of OUT0 since init: each is one IRQ0 */
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

/* When OUT0 rises next, ns; UINT64_MAX when it won't by itself. */
uint64_t pit_next_event(const struct pit *p);

#endif
