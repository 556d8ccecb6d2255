#include "hv/dev/tty.h"
#include "hv/base/log.h"
#include "hv/base/string.h"

/* How often the port is asked; its FIFO holds 16 bytes, 1.4 ms at this speed. */
#define POLL_NS (1 * NS_PER_MS)
#define BAUD    115200

void tty_open(struct tty *t, uint16_t port, const char *what, const char *option)
{
	if (!port)
		return;
	t->open = serial_init(&t->port, port, BAUD);
	if (!t->open)
		log_warn(LOG_DEV,
			 "no serial port answers at %#x, so the guest's %s goes nowhere; "
			 "name another with %s=",
			 port, what, option);
}

uint64_t tty_due(const struct tty *t)
{
	return t->open ? t->next : UINT64_MAX;
}

void tty_poll(struct tty *t, uint64_t now,
	      size_t (*take)(void *ctx, const uint8_t *bytes, size_t count), void *ctx)
{
	size_t taken = 0;
	int byte;

	t->next = now + POLL_NS;
	while (t->count < TTY_TYPED && (byte = serial_rx(&t->port)) >= 0)
		t->typed[t->count++] = (uint8_t)byte;
	if (t->count)
		taken = take(ctx, t->typed, t->count);
	t->count -= taken;
	memmove(t->typed, t->typed + taken, t->count);
}
