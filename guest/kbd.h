/*
 * The 8042 keyboard controller with nothing plugged in: self tests pass, the ports answer that no
 * device is there, reset works. The A20 line's state is kept and shown, but addresses are never
 * masked: A20 is always open. Also system control port A (0x92). IBM PC AT technical reference,
 * "Keyboard Controller".
 */
#ifndef GUEST_KBD_H
#define GUEST_KBD_H

#include "hv/base/compiler.h"

struct kbd {
	uint8_t ram[32]; /* [0] is the command byte */
	uint8_t pending; /* command that waits for its data byte; 0 none */
	uint8_t out;     /* output buffer */
	bool out_full, out_aux, out_timeout;
	bool last_was_command; /* status bit 3 */
	uint8_t output_port;
	uint8_t port92;
	bool reset_wanted; /* until kbd_take_reset */
};

void kbd_init(struct kbd *k);

/* Ports 0x60, 0x64, 0x92. */
uint8_t kbd_read(struct kbd *k, uint16_t port);
void kbd_write(struct kbd *k, uint16_t port, uint8_t value);

bool kbd_irq1(const struct kbd *k);
bool kbd_irq12(const struct kbd *k);
/* True once after a reset pulse. */
bool kbd_take_reset(struct kbd *k);

#endif
