#include <assert.h>
#include <string.h>

#include "hv/x86/serial.h"
#include "tests/host/dev_double.h"

/* --- Serial ports --- */

struct double_port double_ports[DOUBLE_PORTS + 1];

void double_ports_reset(void)
{
	memset(double_ports, 0, sizeof(double_ports));
	for (unsigned i = 1; i <= DOUBLE_PORTS; i++)
		double_ports[i].room = sizeof(double_ports[i].printed);
}

void double_type(unsigned port, const char *text)
{
	struct double_port *p = &double_ports[port];

	assert(p->typed_count + strlen(text) <= sizeof(p->typed));
	memcpy(p->typed + p->typed_count, text, strlen(text));
	p->typed_count += strlen(text);
}

bool serial_init(struct serial *s, uint16_t port, unsigned baud)
{
	*s = (struct serial){.port = port, .present = port >= 1 && port <= DOUBLE_PORTS};
	return s->present;
}

bool serial_try_tx(struct serial *s, uint8_t byte)
{
	struct double_port *p = &double_ports[s->port];

	assert(s->present);
	if (!p->room || p->printed_count == sizeof(p->printed))
		return false;
	p->room--;
	p->printed[p->printed_count++] = byte;
	return true;
}

bool serial_tx(struct serial *s, uint8_t byte)
{
	return serial_try_tx(s, byte);
}

int serial_rx(struct serial *s)
{
	struct double_port *p = &double_ports[s->port];

	assert(s->present);
	return p->typed_read < p->typed_count ? p->typed[p->typed_read++] : -1;
}

/* --- The network --- */

static struct double_lan lan;

static void tap(void *ctx, bool (*fn)(void *owner, const void *frame, size_t len), void *owner)
{
	lan.fn = fn;
	lan.owner = owner;
}

static bool send(void *ctx, const void *frame, size_t len)
{
	assert(len >= 60 && len <= DOUBLE_FRAME);
	if (lan.full || lan.sent_count == DOUBLE_FRAMES)
		return false;
	memcpy(lan.sent[lan.sent_count].bytes, frame, len);
	lan.sent[lan.sent_count++].len = len;
	return true;
}

static void add_mac(void *ctx, const uint8_t mac[6])
{
	memcpy(lan.added_mac, mac, sizeof(lan.added_mac));
}

static void poll(void *ctx)
{
	if (lan.on_poll)
		lan.on_poll();
}

static uint64_t now(void)
{
	return lan.now += lan.step;
}

static void wake(void *owner)
{
	lan.wakes++;
}

struct double_lan *double_lan_reset(void)
{
	static const uint8_t mac[] = {0x52, 0x54, 0, 0, 0, 1};

	memset(&lan, 0, sizeof(lan));
	lan.now = 1;
	lan.lan = (struct lan){.mtu = 1500,
			       .nodes_type = 0x88b5,
			       .ctx = &lan,
			       .tap = tap,
			       .send = send,
			       .add_mac = add_mac,
			       .poll = poll,
			       .now = now,
			       .wake = wake};
	memcpy(lan.lan.mac, mac, sizeof(mac));
	return &lan;
}
