/*
 * What the transport costs over bare frames on the same path: round trips of a 64-byte request with a
 * 4 KiB reply, and streamed pages. Two processes, each polling its interface without sleeping.
 *
 *     bench INTERFACE client|server bare|wire ping|stream COUNT
 *
 * Bare means the very same frame sizes through the same socket calls, without any content. The client
 * of `ping` prints "p50 p99" in ns, the server of `stream` pages per second.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/transport/xport.h"
#include "tests/wire/packet.h"

#define POOL        64
#define REQUEST     64
#define PAGE_FRAMES 3
#define REQUEST_LEN (WIRE_ETH + WIRE_DATA_HEAD + REQUEST)
#define FRAME_LEN   (WIRE_ETH + WIRE_MTU)
#define LAST_LEN    (WIRE_ETH + WIRE_DATA_HEAD + PAGE_SIZE - 2 * (WIRE_MTU - WIRE_DATA_HEAD))
#define CREDIT      16 /* pages a bare stream has on the way: about the transport's window */
#define GIVE_UP     (30 * NS_PER_S)

static struct packet packet;
static uint8_t frame[WIRE_ETH + WIRE_MTU_MAX];
static uint8_t page[PAGE_SIZE];
static uint64_t *samples;
static unsigned count;
static bool client;

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

static void latency_print(void)
{
	qsort(samples, count, sizeof(*samples), by_size);
	printf("%llu %llu\n", (unsigned long long)samples[count / 2],
	       (unsigned long long)samples[count - 1 - count / 100]);
}

static void rate_print(uint64_t started)
{
	printf("%llu\n",
	       (unsigned long long)(count * NS_PER_S / MAX(packet_now() - started, 1ull)));
}

/* --- Bare --- */

static const uint8_t macs[2][WIRE_MAC] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}};

static void bare_send(size_t len)
{
	while (!packet_send(&packet, frame, len))
		;
}

/* Waits for one frame; false when none came for a while (it was lost: bare frames are not repeated). */
static size_t bare_recv(uint64_t since, uint64_t wait)
{
	static uint8_t buf[WIRE_ETH + WIRE_MTU_MAX];
	size_t len;

	for (unsigned i = 1; (len = packet_recv(&packet, buf, sizeof(buf))) == 0; i++) {
		if (i % 1024 == 0 && packet_now() - since > wait)
			return 0;
	}
	return len;
}

static void bare_page(void)
{
	memcpy(frame + WIRE_ETH + WIRE_DATA_HEAD, page, FRAME_LEN - WIRE_ETH - WIRE_DATA_HEAD);
	bare_send(FRAME_LEN);
	bare_send(FRAME_LEN);
	bare_send(LAST_LEN);
}

static void bare_ping(void)
{
	for (unsigned i = 0; i < count;) {
		uint64_t t = packet_now();
		unsigned got = 0;

		bare_send(REQUEST_LEN);
		while (got < PAGE_FRAMES && bare_recv(t, 100 * NS_PER_MS))
			got++;
		if (got == PAGE_FRAMES)
			samples[i++] = packet_now() - t;
	}
	bare_send(WIRE_MIN); /* ends the server */
	latency_print();
}

static void bare_pong(void)
{
	for (;;) {
		size_t len = bare_recv(packet_now(), GIVE_UP);

		if (len <= WIRE_MIN)
			return;
		bare_page();
	}
}

static void bare_stream(void)
{
	unsigned credit = CREDIT;

	for (unsigned i = 0; i < count; i++) {
		while (credit == 0) {
			if (bare_recv(packet_now(), GIVE_UP) == 0)
				return;
			credit += 4;
		}
		bare_page();
		credit--;
	}
}

static void bare_sink(void)
{
	uint64_t started = 0;

	for (unsigned i = 0; i < count * PAGE_FRAMES; i++) {
		if (bare_recv(packet_now(), GIVE_UP) == 0) {
			fprintf(stderr, "bench: a bare frame was lost\n");
			exit(1);
		}
		if (i == 0)
			started = packet_now();
		if (i % (4 * PAGE_FRAMES) == 4 * PAGE_FRAMES - 1)
			bare_send(WIRE_ETH + sizeof(struct wire_head) +
				  sizeof(struct wire_session));
	}
	rate_print(started);
}

/* --- Over the transport --- */

static struct xport x;
static struct xport_peer peers[2];
static struct xport_buf pool[POOL];

static void wire_tx(uint64_t now)
{
	static uint8_t out[WIRE_ETH + WIRE_MTU_MAX];
	size_t len;

	while ((len = xport_tx(&x, now, out)) > 0)
		packet_send(&packet, out, len);
}

/* Takes one frame, answers the messages it completed with a page if so told; returns how many they were. */
static unsigned wire_take(uint64_t now, size_t len, bool answer)
{
	struct xport_part part = {page, PAGE_SIZE};
	struct xport_event e;
	unsigned messages = 0;

	xport_rx(&x, now, frame, len);
	while (xport_poll(&x, now, &e)) {
		if (e.kind != XPORT_MSG)
			continue;
		messages++;
		if (answer && xport_send(&x, now, e.node, WIRE_BULK, &part, 1) != 0)
			exit(1);
	}
	return messages;
}

/* Handles at most one frame; returns how many messages it completed. */
static unsigned wire_step(bool answer)
{
	static unsigned idle = 1;
	static uint64_t now;
	unsigned messages = 0;
	size_t len = packet_recv(&packet, frame, sizeof(frame));

	/* Timers are tens of microseconds away: they are looked at now and then. */
	if (len == 0 && ++idle % 32 != 0)
		return 0;
	/* Frames of one burst have one time. */
	if (idle)
		now = packet_now();
	idle = len == 0;
	if (len > 0)
		messages = wire_take(now, len, answer);
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

static void wire_ping(void)
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
	latency_print();
}

static void wire_pong(void)
{
	for (unsigned i = 0; i < count;)
		i += wire_step(true);
}

static void wire_stream(void)
{
	struct xport_part part = {page, PAGE_SIZE};

	for (unsigned i = 0; i < count;) {
		uint64_t now;
		size_t len;

		/* First what has come: else a timer could call lost what is acknowledged already. */
		while ((len = packet_recv(&packet, frame, sizeof(frame))) > 0)
			wire_take(packet_now(), len, false);
		now = packet_now();
		while (i < count && xport_send(&x, now, 1, WIRE_BULK, &part, 1) == 0)
			i++;
		wire_tx(now);
	}
}

static void wire_sink(void)
{
	uint64_t started = packet_now();

	for (unsigned i = 0; i < count;) {
		unsigned n = wire_step(false);

		if (i == 0 && n > 0)
			started = packet_now();
		i += n;
	}
	rate_print(started);
}

/* Lets the peer's last frames be acknowledged. */
static void wire_close(void)
{
	uint64_t t = packet_now();

	while (packet_now() - t < 200 * NS_PER_MS || !xport_idle(&x, client ? 1 : 0)) {
		wire_step(false);
		if (packet_now() - t > 2 * NS_PER_S)
			return;
	}
}

int main(int argc, char **argv)
{
	bool wire, stream;

	if (argc != 6) {
		fprintf(stderr,
			"usage: bench INTERFACE client|server bare|wire ping|stream COUNT\n");
		return 2;
	}
	packet_open(&packet, argv[1], WIRE_ETHERTYPE);
	client = strcmp(argv[2], "client") == 0;
	wire = strcmp(argv[3], "wire") == 0;
	stream = strcmp(argv[4], "stream") == 0;
	count = (unsigned)strtoul(argv[5], NULL, 0);
	samples = calloc(count + 1, sizeof(*samples));
	memcpy(frame, macs[client], WIRE_MAC);
	memcpy(frame + WIRE_MAC, macs[!client], WIRE_MAC);
	frame[12] = WIRE_ETHERTYPE >> 8;
	frame[13] = WIRE_ETHERTYPE & 0xff;
	if (wire) {
		wire_open();
		if (client)
			(stream ? wire_stream : wire_ping)();
		else
			(stream ? wire_sink : wire_pong)();
		wire_close();
	} else if (client) {
		(stream ? bare_stream : bare_ping)();
	} else {
		(stream ? bare_sink : bare_pong)();
	}
	return 0;
}
