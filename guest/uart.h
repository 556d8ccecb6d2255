/*
 * A 16550A serial port. What is sent leaves at once; what is received comes from a backlog that
 * refills the 16-byte FIFO as the guest reads, so that nothing is ever lost to an overrun.
 * National PC16550D data sheet, section 8.
 */
#ifndef GUEST_UART_H
#define GUEST_UART_H

#include "hv/base/compiler.h"

#define UART_FIFO    16
#define UART_BACKLOG 1024 /* a power of two */

struct uart {
	uint8_t ier, lcr, mcr, msr, scratch, fcr;
	uint8_t lsr_errors; /* sticky OE, PE, FE, BI until LSR is read */
	uint16_t divisor;
	bool thre_pending;    /* the THRE interrupt is due */
	bool timeout_pending; /* the character timeout is due */
	uint64_t timeout_at;  /* ns; UINT64_MAX: not running */
	uint8_t fifo[UART_FIFO];
	uint8_t fifo_head, fifo_used;
	uint8_t backlog[UART_BACKLOG];
	uint32_t backlog_head, backlog_tail; /* count bytes; wrap freely */
	uint64_t sent, received;             /* counters, bytes */
};

/* A byte for the wire, when a write produced one. */
struct uart_tx {
	bool valid;
	uint8_t byte;
};

void uart_init(struct uart *u);
/* Master reset; the backlog and the counters stay. */
void uart_reset(struct uart *u);

/* Registers 0..7 from the base port. */
uint8_t uart_read(struct uart *u, unsigned reg, uint64_t now);
struct uart_tx uart_write(struct uart *u, unsigned reg, uint8_t value, uint64_t now);

/* Takes bytes from the line into the backlog; returns how many fitted. */
size_t uart_receive(struct uart *u, const uint8_t *bytes, size_t count, uint64_t now);

void uart_tick(struct uart *u, uint64_t now);
bool uart_irq(const struct uart *u); /* level of the interrupt line, OUT2's gate applied */
uint64_t uart_next_event(const struct uart *u);

#endif
