/* 16550D data sheet; registers are offsets from the port. */
#include "hv/x86/serial.h"
#include "hv/base/string.h"
#include "hv/x86/cpu.h"

#define REG_DATA    0
#define REG_IER     1
#define REG_FCR     2
#define REG_LCR     3
#define REG_MCR     4
#define REG_LSR     5
#define REG_SCRATCH 7

#define LCR_8N1      0x03
#define LCR_DLAB     0x80
#define FCR_ON_CLEAR 0x07
#define MCR_DTR_RTS  0x03
#define MCR_OUT2     0x08
#define LSR_DATA     0x01
#define LSR_EMPTY    0x20 /* transmitter holding register */

#define CLOCK    115200u
/* A read of an ISA port takes about a microsecond; one byte at 1200 baud takes 8.3 ms. */
#define TX_POLLS 20000

bool serial_init(struct serial *s, uint16_t port, unsigned baud)
{
	unsigned divisor = CLOCK / (baud ? baud : CLOCK);

	memset(s, 0, sizeof(*s));
	s->port = port;
	if (!port)
		return false;
	for (unsigned v = 0x5a; v <= 0xa5; v += 0x4b) {
		outb(port + REG_SCRATCH, (uint8_t)v);
		if (inb(port + REG_SCRATCH) != v)
			return false;
	}
	outb(port + REG_IER, 0);
	outb(port + REG_LCR, LCR_8N1 | LCR_DLAB);
	outb(port + REG_DATA, (uint8_t)divisor);
	outb(port + REG_IER, (uint8_t)(divisor >> 8));
	outb(port + REG_LCR, LCR_8N1);
	outb(port + REG_FCR, FCR_ON_CLEAR);
	outb(port + REG_MCR, MCR_DTR_RTS | MCR_OUT2);
	s->present = inb(port + REG_LSR) != 0xff;
	return s->present;
}

bool serial_try_tx(struct serial *s, uint8_t byte)
{
	if (!s->present || !(inb(s->port + REG_LSR) & LSR_EMPTY))
		return false;
	outb(s->port + REG_DATA, byte);
	return true;
}

bool serial_tx(struct serial *s, uint8_t byte)
{
	for (unsigned i = 0; s->present && i < (s->stuck ? 1 : TX_POLLS); i++)
		if (serial_try_tx(s, byte)) {
			s->stuck = false;
			return true;
		}
	s->stuck = true;
	s->dropped++;
	return false;
}

int serial_rx(struct serial *s)
{
	if (!s->present || !(inb(s->port + REG_LSR) & LSR_DATA))
		return -1;
	return inb(s->port + REG_DATA);
}

static uint16_t parse_hex(const char *s)
{
	uint32_t v = 0;

	for (; *s; s++) {
		uint32_t d = *s >= '0' && *s <= '9' ? (uint32_t)(*s - '0')
			     : (*s | 0x20) >= 'a' && (*s | 0x20) <= 'f'
				     ? (uint32_t)((*s | 0x20) - 'a' + 10)
				     : 16;

		v = v << 4 | d;
		if (d == 16 || v > 0xfff8)
			return 0;
	}
	return (uint16_t)v;
}

uint16_t serial_port_by_name(const char *name)
{
	static const uint16_t ports[] = {SERIAL_COM1, SERIAL_COM2, 0x3e8, 0x2e8};

	if (str_starts(name, "com") && name[3] >= '1' && name[3] <= '4' && !name[4])
		return ports[name[3] - '1'];
	return str_starts(name, "0x") ? parse_hex(name + 2) : 0;
}
