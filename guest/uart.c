#include "guest/uart.h"
#include "hv/base/types.h"

#define CLOCK_HZ 115200u /* bits per second with divisor 1: 1.8432 MHz / 16 */

enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCRATCH };

/* Data sheet, table II */
#define IER_RX         0x01
#define IER_THRE       0x02
#define IER_LINE       0x04
#define IER_MODEM      0x08
#define IIR_NONE       0x01
#define IIR_MODEM      0x00
#define IIR_THRE       0x02
#define IIR_RX         0x04
#define IIR_LINE       0x06
#define IIR_TIMEOUT    0x0c
#define IIR_FIFOS      0xc0
#define FCR_ENABLE     0x01
#define FCR_RX_RESET   0x02
#define FCR_TRIGGER(f) ((f) >> 6)
#define LCR_DLAB       0x80
#define LCR_PARITY     0x08
#define LCR_STOP       0x04
#define MCR_DTR        0x01
#define MCR_RTS        0x02
#define MCR_OUT1       0x04
#define MCR_OUT2       0x08
#define MCR_LOOP       0x10
#define LSR_READY      0x01
#define LSR_OVERRUN    0x02
#define LSR_THRE       0x20
#define LSR_TEMT       0x40
#define MSR_DELTAS     0x0f
#define MSR_TERI       0x04
#define MSR_CTS        0x10
#define MSR_DSR        0x20
#define MSR_RI         0x40
#define MSR_DCD        0x80

static unsigned fifo_depth(const struct uart *u)
{
	return u->fcr & FCR_ENABLE ? UART_FIFO : 1;
}

static unsigned rx_trigger(const struct uart *u)
{
	static const uint8_t level[4] = {1, 4, 8, 14};

	return u->fcr & FCR_ENABLE ? level[FCR_TRIGGER(u->fcr)] : 1;
}

/* The character timeout: four times start bit, data, parity, stop. Data sheet, 8.6.1 */
static uint64_t timeout_ns(const struct uart *u)
{
	unsigned bits =
		1 + 5 + (u->lcr & 3) + !!(u->lcr & LCR_PARITY) + (u->lcr & LCR_STOP ? 2 : 1);
	unsigned divisor = u->divisor ? u->divisor : 1;

	return 4 * NS_PER_S * divisor * bits / CLOCK_HZ;
}

/* The timeout runs while characters wait and none comes or goes. */
static void restart_timeout(struct uart *u, uint64_t now)
{
	u->timeout_pending = false;
	u->timeout_at = u->fifo_used && u->fcr & FCR_ENABLE ? now + timeout_ns(u) : UINT64_MAX;
}

static void fifo_put(struct uart *u, uint8_t byte)
{
	if (u->fifo_used == fifo_depth(u)) {
		/* Without the FIFO the newer character replaces the older one. */
		if (!(u->fcr & FCR_ENABLE))
			u->fifo[u->fifo_head] = byte;
		u->lsr_errors |= LSR_OVERRUN;
		return;
	}
	u->fifo[(u->fifo_head + u->fifo_used) % UART_FIFO] = byte;
	u->fifo_used++;
}

/* Brings what waits on the line into the FIFO, as far as it fits. */
static void refill(struct uart *u, uint64_t now)
{
	bool got = false;

	if (u->mcr & MCR_LOOP)
		return;
	while (u->fifo_used < fifo_depth(u) && u->backlog_head != u->backlog_tail) {
		fifo_put(u, u->backlog[u->backlog_tail++ % UART_BACKLOG]);
		u->received++;
		got = true;
	}
	if (got)
		restart_timeout(u, now);
}

/* What the modem lines say: a peer that is always ready, or in loopback the MCR outputs. 8.4.1 */
static uint8_t modem_lines(const struct uart *u)
{
	if (!(u->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) |
	       (u->mcr & MCR_OUT1 ? MSR_RI : 0) | (u->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static void update_modem(struct uart *u)
{
	uint8_t lines = modem_lines(u), old = u->msr & (uint8_t)~MSR_DELTAS;
	uint8_t delta = (uint8_t)((lines ^ old) >> 4);

	/* The ring indicator counts its falling edge only. */
	if (lines & MSR_RI)
		delta &= (uint8_t)~MSR_TERI;
	u->msr = (uint8_t)(lines | (u->msr & MSR_DELTAS) | delta);
}

/* The pending interrupt of the highest priority. Data sheet, table III */
static uint8_t interrupt_id(const struct uart *u)
{
	if (u->ier & IER_LINE && u->lsr_errors)
		return IIR_LINE;
	if (u->ier & IER_RX && u->fifo_used >= rx_trigger(u))
		return IIR_RX;
	if (u->ier & IER_RX && u->timeout_pending)
		return IIR_TIMEOUT;
	if (u->ier & IER_THRE && u->thre_pending)
		return IIR_THRE;
	if (u->ier & IER_MODEM && u->msr & MSR_DELTAS)
		return IIR_MODEM;
	return IIR_NONE;
}

/* Data sheet, table I; 9600 baud. */
void uart_reset(struct uart *u)
{
	u->ier = u->lcr = u->mcr = u->fcr = u->lsr_errors = 0;
	u->thre_pending = u->timeout_pending = false;
	u->fifo_used = u->fifo_head = 0;
	u->divisor = 12;
	u->timeout_at = UINT64_MAX;
	u->msr = modem_lines(u);
}

void uart_init(struct uart *u)
{
	*u = (struct uart){0};
	uart_reset(u);
}

static uint8_t read_data(struct uart *u, uint64_t now)
{
	uint8_t byte = u->fifo[u->fifo_head];

	if (u->fifo_used) {
		u->fifo_head = (u->fifo_head + 1) % UART_FIFO;
		u->fifo_used--;
	}
	restart_timeout(u, now);
	refill(u, now);
	return byte;
}

static uint8_t read_iir(struct uart *u)
{
	uint8_t id = interrupt_id(u);

	/* Seeing it is what acknowledges the transmitter's interrupt. */
	if (id == IIR_THRE)
		u->thre_pending = false;
	return id | (u->fcr & FCR_ENABLE ? IIR_FIFOS : 0);
}

static uint8_t read_lsr(struct uart *u)
{
	uint8_t v = LSR_THRE | LSR_TEMT | u->lsr_errors | (u->fifo_used ? LSR_READY : 0);

	u->lsr_errors = 0;
	return v;
}

static uint8_t read_msr(struct uart *u)
{
	uint8_t v = u->msr;

	u->msr &= (uint8_t)~MSR_DELTAS;
	return v;
}

uint8_t uart_read(struct uart *u, unsigned reg, uint64_t now)
{
	bool dlab = u->lcr & LCR_DLAB;

	uart_tick(u, now);
	switch (reg) {
	case REG_DATA:
		return dlab ? (uint8_t)u->divisor : read_data(u, now);
	case REG_IER:
		return dlab ? (uint8_t)(u->divisor >> 8) : u->ier;
	case REG_IIR_FCR:
		return read_iir(u);
	case REG_LCR:
		return u->lcr;
	case REG_MCR:
		return u->mcr;
	case REG_LSR:
		return read_lsr(u);
	case REG_MSR:
		return read_msr(u);
	default:
		return u->scratch;
	}
}

/* The holding register empties at once: that is a new THRE event. */
static struct uart_tx transmit(struct uart *u, uint8_t byte, uint64_t now)
{
	struct uart_tx tx = {.valid = !(u->mcr & MCR_LOOP), .byte = byte};

	u->thre_pending = true;
	if (tx.valid) {
		u->sent++;
	} else {
		fifo_put(u, byte);
		restart_timeout(u, now);
	}
	return tx;
}

static void write_fcr(struct uart *u, uint8_t value, uint64_t now)
{
	bool toggled = (u->fcr ^ value) & FCR_ENABLE;

	u->fcr = value & FCR_ENABLE ? value & 0xc9 : 0;
	if (toggled || (value & (FCR_ENABLE | FCR_RX_RESET)) == (FCR_ENABLE | FCR_RX_RESET))
		u->fifo_used = u->fifo_head = 0;
	restart_timeout(u, now);
	refill(u, now);
}

struct uart_tx uart_write(struct uart *u, unsigned reg, uint8_t value, uint64_t now)
{
	bool dlab = u->lcr & LCR_DLAB;

	uart_tick(u, now);
	switch (reg) {
	case REG_DATA:
		if (!dlab)
			return transmit(u, value, now);
		u->divisor = (u->divisor & 0xff00) | value;
		break;
	case REG_IER:
		if (dlab) {
			u->divisor = (uint16_t)(value << 8 | (u->divisor & 0xff));
			break;
		}
		/*
		 * Enabling it while the transmitter is empty raises it anew: drivers probe for
		 * that.
		 */
		if (value & ~u->ier & IER_THRE)
			u->thre_pending = true;
		u->ier = value & 0x0f;
		break;
	case REG_IIR_FCR:
		write_fcr(u, value, now);
		break;
	case REG_LCR:
		u->lcr = value;
		break;
	case REG_MCR:
		u->mcr = value & 0x1f;
		update_modem(u);
		refill(u, now);
		break;
	case REG_SCRATCH:
		u->scratch = value;
		break;
	default: /* LSR, MSR: factory test only */
		break;
	}
	return (struct uart_tx){0};
}

size_t uart_receive(struct uart *u, const uint8_t *bytes, size_t count, uint64_t now)
{
	size_t taken = 0;

	uart_tick(u, now);
	while (taken < count && u->backlog_head - u->backlog_tail < UART_BACKLOG)
		u->backlog[u->backlog_head++ % UART_BACKLOG] = bytes[taken++];
	refill(u, now);
	return taken;
}

void uart_tick(struct uart *u, uint64_t now)
{
	if (now < u->timeout_at)
		return;
	u->timeout_at = UINT64_MAX;
	u->timeout_pending = true;
}

bool uart_irq(const struct uart *u)
{
	/* OUT2 connects the line on a PC; in loopback the pin is inactive. */
	return interrupt_id(u) != IIR_NONE && (u->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;
}

uint64_t uart_next_event(const struct uart *u)
{
	return u->ier & IER_RX ? u->timeout_at : UINT64_MAX;
}
