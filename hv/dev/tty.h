/* A serial port of the host's that stands behind a console of the guest's: what is typed waits here. */
#ifndef HV_DEV_TTY_H
#define HV_DEV_TTY_H

#include "hv/x86/serial.h"

#define TTY_TYPED 64

struct tty {
	struct serial port;
	bool open;
	uint8_t typed[TTY_TYPED]; /* not yet taken by the guest */
	size_t count;
	uint64_t next; /* when to look again */
};

/*
 * Opens the port, 0 for none. Where nothing answers the log says that the guest's `what` goes nowhere, and
 * that `option` names another.
 */
void tty_open(struct tty *t, uint16_t port, const char *what, const char *option);

/* When tty_poll() is due, ns as its `now`; UINT64_MAX: never. */
uint64_t tty_due(const struct tty *t);

/*
 * Offers what was typed to `take`, which returns how many bytes it took; the rest is offered again. Call it
 * when it is due.
 */
void tty_poll(struct tty *t, uint64_t now,
	      size_t (*take)(void *ctx, const uint8_t *bytes, size_t count), void *ctx);

#endif
