/*
 * The 8042 keyboard controller with nothing plugged in: self tests pass, the ports answer that no
 * device is there, A20 and reset work. Also system control port A (0x92). IBM PC AT technical
 * reference, keyboard controller.
 */
#ifndef GUEST_KBD_H
#define GUEST_KBD_H

#include "hv/base/compiler.h"

struct kbd {
	uint8_t command; /* the command byte (controller RAM 0) */
	uint8_t ram[32];
	uint8_t pending; /* command that waits for its data byte; 0 none */
	uint8_t out;     /* output buffer */
	bool out_full, out_aux;
	bool system_flag;
	bool data_was_command; /* status bit 3 */
	uint8_t output_port;   /* bit 0 reset (active low), bit 1 A20 */
	uint8_t port92;
	bool reset_wanted; /* the guest pulsed the reset line; taken by kbd_take_reset */
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
