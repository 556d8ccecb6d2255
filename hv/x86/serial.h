/* 16550 UART on the host. */
#ifndef HV_X86_SERIAL_H
#define HV_X86_SERIAL_H

#include "hv/base/compiler.h"

#define SERIAL_COM1 0x3f8
#define SERIAL_COM2 0x2f8

struct serial {
	uint16_t port;
	bool present;
	bool stuck; /* the transmitter did not empty in time: bytes are dropped until it does */
	uint64_t dropped;
};

/* Sets 8N1 at `baud` with FIFOs on and interrupts off. False when nothing answers there. */
bool serial_init(struct serial *s, uint16_t port, unsigned baud);
/* Waits for room at most for about 20 ms; false when the byte was dropped. */
bool serial_tx(struct serial *s, uint8_t byte);
/* Sends only if there is room now. */
bool serial_try_tx(struct serial *s, uint8_t byte);
/* The next received byte, or -1. */
int serial_rx(struct serial *s);

/* "com1".."com4" or a number such as 0x3f8; 0 when it is neither. */
uint16_t serial_port_by_name(const char *name);

#endif
