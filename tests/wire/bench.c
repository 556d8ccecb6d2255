/*
 * What the transport costs over bare frames on the same path: round trips of a 64-byte request with a
 * 4 KiB reply, and streamed pages. Two processes, each polling its interface without sleeping.
 *
 *     bench INTERFACE client|server ping|stream PAIRS COUNT
 *
 * Bare means the very same frame sizes through the same socket calls, without any content. Blocks of
 * COUNT of the one and of the other come in turns, a few ms each, so that whatever the machine does
 * besides befalls both. The client of `ping` prints a line for each pair of blocks, "p50 p99" in ns of
 * bare and of the transport, the server of `stream` pages per second of each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/transport/xport.h"
#include "tests/wire/packet.h"

#define POOL         64
#define REQUEST      64
#define PAGE_FRAMES  3
#define REQUEST_LEN  (WIRE_ETH + WIRE_DATA_HEAD + REQUEST)
#define FRAME_LEN    (WIRE_ETH + WIRE_MTU)
#define LAST_LEN     (WIRE_ETH + WIRE_DATA_HEAD + PAGE_SIZE - 2 * (WIRE_MTU - WIRE_DATA_HEAD))
#define CREDIT       16 /* pages a bare stream has on the way: about the transport's window */
#define CREDIT_PAGES 4  /* it gets back at a time */
#define GIVE_UP      (30 * NS_PER_S)

static struct packet packet;
static uint8_t frame[WIRE_ETH + WIRE_MTU_MAX];
static uint8_t page[PAGE_SIZE];
static uint64_t *samples;
static unsigned count;
static bool client;

/* What a block found: p50 and p99 in ns, or pages per second. */
struct result {
	uint64_t first, second;
};

static void patience(uint64_t since)
{
	if (packet_now() - since < GIVE_UP)
		return;
	fprintf(stderr, "bench: the other side does not answer\n");
	exit(1);
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static struct result latency(void)
{
	qsort(samples, count, sizeof(*samples), by_size);
	return (struct result){samples[count / 2], samples[count - 1 - count / 100]};
}

static struct result rate(uint64_t started)
{
	return (struct result){count * NS_PER_S / MAX(packet_now() - started, 1ull), 0};
}

/* --- Over the transport --- */

static struct xport x;
static struct xport_peer peers[2];
static struct xport_buf pool[POOL];

static const uint8_t macs[2][WIRE_MAC] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}};

static void wire_tx(uint64_t now)
{
	static uint8_t out[WIRE_ETH + WIRE_MTU_MAX];
	size_t len;

	while ((len = xport_tx(&x, now, out)) > 0)
		packet_send(&packet, out, len);
}

/* Takes one frame, answers the messages it completed with a page if so told; returns how many they were. */
static unsigned wire_take(uint64_t now, const void *in, size_t len, bool answer)
{
	struct xport_part part = {page, PAGE_SIZE};
	struct xport_event e;
	unsigned messages = 0;

	xport_rx(&x, now, in, len);
	while (xport_poll(&x, now, &e)) {
		if (e.kind != XPORT_MSG)
			continue;
		messages++;
		if (answer && xport_send(&x, now, e.node, WIRE_BULK, &part, 1) != 0)
			exit(1);
	}
	return messages;
}

static uint8_t in[WIRE_ETH + WIRE_MTU_MAX];
static unsigned early; /* bare frames from a peer that has settled already */

/* Bare frames begin their heads with 0. */
static bool is_bare(const uint8_t *f)
{
	return f[WIRE_ETH] == 0;
}

/* Handles at most one frame; returns how many messages it completed. */
static unsigned wire_step(bool answer)
{
	static unsigned idle = 1;
	static uint64_t now;
	unsigned messages = 0;
	size_t len = packet_recv(&packet, in, sizeof(in));

	if (len > 0 && is_bare(in)) {
		early++;
		return 0;
	}
	/* Timers are tens of microseconds away: they are looked at now and then. */
	if (len == 0 && ++idle % 32 != 0)
		return 0;
	/* Frames of one burst have one time. */
	if (idle)
		now = packet_now();
	idle = len == 0;
	if (len > 0)
		messages = wire_take(now, in, len, answer);
	/* Whoever waits for the message goes first; what is due rides on its next frame or the next step. */
	if (xport_deadline(&x) <= now && (answer || messages == 0))
		wire_tx(now);
	return messages;
}

static void wire_open(void)
{
	struct xport_config c = {
		.node = client ? 0 : 1, .mtu = WIRE_MTU, .cluster = 1, .seed = packet_now()};
	uint64_t t = packet_now();

	memcpy(c.mac, macs[c.node], WIRE_MAC);
	xport_init(&x, &c, peers, 2, pool, POOL);
	xport_open(&x, t, !c.node, macs[!c.node]);
	while (!peers[!c.node].sealed) {
		wire_step(false);
		patience(t);
	}
}

static struct result wire_ping(void)
{
	uint8_t request[REQUEST] = {0};
	struct xport_part part = {request, REQUEST};

	for (unsigned i = 0; i < count; i++) {
		uint64_t t = packet_now();

		if (xport_send(&x, t, 1, WIRE_URGENT, &part, 1) != 0)
			exit(1);
		wire_tx(t);
		while (wire_step(false) == 0)
			;
		samples[i] = packet_now() - t;
	}
	return latency();
}

static struct result wire_pong(void)
{
	for (unsigned i = 0; i < count;)
		i += wire_step(true);
	return (struct result){0, 0};
}

static struct result wire_stream(void)
{
	struct xport_part part = {page, PAGE_SIZE};

	for (unsigned i = 0; i < count;) {
		uint64_t now;
		size_t len;

		/* First what has come: else a timer could call lost what is acknowledged already. */
		while ((len = packet_recv(&packet, in, sizeof(in))) > 0)
			wire_take(packet_now(), in, len, false);
		now = packet_now();
		while (i < count && xport_send(&x, now, 1, WIRE_BULK, &part, 1) == 0)
			i++;
		wire_tx(now);
	}
	return (struct result){0, 0};
}

static struct result wire_sink(void)
{
	uint64_t started = packet_now();

	for (unsigned i = 0; i < count;) {
		unsigned n = wire_step(false);

		if (i == 0 && n > 0)
			started = packet_now();
		i += n;
	}
	return rate(started);
}

/* Until everything is acknowledged on both sides, so that a bare block has the wire to itself. */
static void wire_settle(void)
{
	uint64_t t = packet_now();

	while (!xport_idle(&x, client ? 1 : 0) || xport_deadline(&x) != XPORT_NEVER) {
		wire_step(false);
		patience(t);
	}
}

/* --- Bare --- */

static void bare_send(size_t len)
{
	while (!packet_send(&packet, frame, len))
		;
}

/* Waits for one frame; the transport may have a late word. */
static void bare_recv(void)
{
	uint64_t since = 0;
	size_t len;

	if (early > 0) {
		early--;
		return;
	}
	for (unsigned i = 1; (len = packet_recv(&packet, in, sizeof(in))) == 0 || !is_bare(in);
	     i++) {
		if (len > 0)
			wire_take(packet_now(), in, len, false);
		if (i % 4096 != 0)
			continue;
		since = since ? since : packet_now();
		patience(since);
	}
}

static void bare_page(void)
{
	memcpy(frame + WIRE_ETH + WIRE_DATA_HEAD, page, FRAME_LEN - WIRE_ETH - WIRE_DATA_HEAD);
	bare_send(FRAME_LEN);
	bare_send(FRAME_LEN);
	bare_send(LAST_LEN);
}

static struct result bare_ping(void)
{
	for (unsigned i = 0; i < count; i++) {
		uint64_t t = packet_now();

		bare_send(REQUEST_LEN);
		for (unsigned got = 0; got < PAGE_FRAMES; got++)
			bare_recv();
		samples[i] = packet_now() - t;
	}
	return latency();
}

static struct result bare_pong(void)
{
	for (unsigned i = 0; i < count; i++) {
		bare_recv();
		bare_page();
	}
	return (struct result){0, 0};
}

static struct result bare_stream(void)
{
	unsigned credit = CREDIT;

	for (unsigned i = 0; i < count; i++) {
		for (; credit == 0; credit += CREDIT_PAGES)
			bare_recv();
		bare_page();
		credit--;
	}
	for (; credit < CREDIT; credit += CREDIT_PAGES)
		bare_recv();
	return (struct result){0, 0};
}

static struct result bare_sink(void)
{
	uint64_t started = 0;

	for (unsigned i = 0; i < count * PAGE_FRAMES; i++) {
		bare_recv();
		if (i == 0)
			started = packet_now();
		if (i % (CREDIT_PAGES * PAGE_FRAMES) == CREDIT_PAGES * PAGE_FRAMES - 1)
			bare_send(WIRE_ETH + sizeof(struct wire_head) +
				  sizeof(struct wire_session));
	}
	return rate(started);
}

/* --- Both in turns --- */

static struct result block(bool wire, bool stream)
{
	if (!wire)
		wire_settle();
	if (wire && client)
		return stream ? wire_stream() : wire_ping();
	if (wire)
		return stream ? wire_sink() : wire_pong();
	if (client)
		return stream ? bare_stream() : bare_ping();
	return stream ? bare_sink() : bare_pong();
}

static void pairs(unsigned many, bool stream)
{
	struct result r[2];

	for (unsigned i = 0; i < many; i++) {
		/* Each comes first in every other pair. */
		r[i % 2] = block(i % 2, stream);
		r[!(i % 2)] = block(!(i % 2), stream);
		if (stream && !client)
			printf("%llu %llu\n", (unsigned long long)r[0].first,
			       (unsigned long long)r[1].first);
		else if (!stream && client)
			printf("%llu %llu %llu %llu\n", (unsigned long long)r[0].first,
			       (unsigned long long)r[0].second, (unsigned long long)r[1].first,
			       (unsigned long long)r[1].second);
	}
}

int main(int argc, char **argv)
{
	if (argc != 6) {
		fprintf(stderr, "usage: bench INTERFACE client|server ping|stream PAIRS COUNT\n");
		return 2;
	}
	packet_open(&packet, argv[1], WIRE_ETHERTYPE);
	client = strcmp(argv[2], "client") == 0;
	/* A bare stream's last credit must come back. */
	count = (unsigned)align_up(strtoul(argv[5], NULL, 0), CREDIT_PAGES);
	samples = calloc(count + 1, sizeof(*samples));
	memcpy(frame, macs[client], WIRE_MAC);
	memcpy(frame + WIRE_MAC, macs[!client], WIRE_MAC);
	frame[12] = WIRE_ETHERTYPE >> 8;
	frame[13] = WIRE_ETHERTYPE & 0xff;
	wire_open();
	pairs((unsigned)strtoul(argv[4], NULL, 0), strcmp(argv[3], "stream") == 0);
	wire_settle();
	return 0;
}
