/*
 * A pair of 8259A interrupt controllers as a PC wires them, with the edge/level registers of the
 * chip sets that followed (ELCR). Intel 8259A data sheet, order 231468; 82371SB data sheet, 3.3.
 */
#ifndef GUEST_PIC_H
#define GUEST_PIC_H

#include "hv/base/compiler.h"

struct pic_chip {
	uint8_t line;  /* level of IR0..IR7 */
	uint8_t latch; /* edge seen and not acknowledged yet, for edge-triggered inputs */
	uint8_t isr, imr;
	uint8_t elcr;   /* 1: level-triggered */
	uint8_t vector; /* ICW2's T7..T3 */
	uint8_t lowest; /* IR with the lowest priority; 7 unless rotated */
	uint8_t init;   /* next ICW expected: 2..4; 0 when initialized */
	bool icw4_wanted, single, aeoi, rotate_on_aeoi, special_mask, special_nested;
	bool read_isr; /* OCW3: reads of the command port give ISR */
	bool poll;     /* OCW3: the next read is a poll */
};

struct pic {
	struct pic_chip chip[2]; /* 0 the master; 1 the slave, on the master's IR2 */
};

void pic_init(struct pic *p);

/* Level of ISA interrupt line 0..15 (2 is the cascade and ignored). */
void pic_set_line(struct pic *p, unsigned irq, bool level);

/* The INTR output: wants an acknowledge cycle. */
bool pic_intr(const struct pic *p);

/* The INTA cycles: gives the vector; a request that went away gives the spurious vector of IR7. */
uint8_t pic_ack(struct pic *p);

/* Ports 0x20, 0x21 (chip 0), 0xa0, 0xa1 (chip 1), 0x4d0, 0x4d1 (ELCR). */
uint8_t pic_read(struct pic *p, uint16_t port);
void pic_write(struct pic *p, uint16_t port, uint8_t value);

#endif
