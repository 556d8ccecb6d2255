/*
 * Frames at random against the AoE initiator, most of them made out to be answers to what it asked,
 * with requests, time and cancellations in between. Each step: what, length of its bytes (2), the
 * bytes. Every request ends once, and no answer brings bytes that a request has no room for.
 */
#include <stdlib.h>
#include <string.h>

#include "net/aoe/aoe.h"

#define IOS 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct aoe aoe;
static struct aoe_io ios[IOS];
static bool busy[IOS];
static uint64_t now;
static uint8_t last[AOE_FRAME_MAX(1500)]; /* what it sent last */

static bool get(void *ctx, struct aoe_io *io, uint32_t offset, void *buf, uint32_t len)
{
	if (!busy[io - ios] || io->op != AOE_WRITE || offset + len > io->count * AOE_SECTOR)
		abort();
	memset(buf, 0x77, len);
	return true;
}

static bool put(void *ctx, struct aoe_io *io, uint32_t offset, const void *buf, uint32_t len)
{
	const uint8_t *bytes = buf;
	volatile uint8_t sum = 0;

	if (!busy[io - ios] || io->op != AOE_READ || offset + len > io->count * AOE_SECTOR)
		abort();
	/* the sanitizer looks whether they are there */
	for (uint32_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + bytes[i]);
	return sum != 0xa5;
}

static void submit(const uint8_t *s, size_t len)
{
	unsigned i = len ? s[0] % IOS : 0;

	if (busy[i])
		return;
	ios[i] = (struct aoe_io){.op = len > 1 ? s[1] % 3 : 0, .sector = len > 2 ? s[2] : 0};
	ios[i].count = ios[i].op == AOE_FLUSH ? 0 : 1 + (len > 3 ? s[3] % 40 : 0);
	busy[i] = true;
	aoe_submit(&aoe, &ios[i]);
}

static void receive(const uint8_t *s, size_t len, bool answer)
{
	/* its own allocation, so that a read past the end shows */
	uint8_t *frame = malloc(len ? len : 1);

	memcpy(frame, s, len);
	if (answer && len >= 24) {
		memcpy(frame, last + 6, 6);
		memcpy(frame + 6, aoe.state == AOE_SEEKING ? "\2\0\0\0\0\2" : (char *)aoe.target,
		       6);
		memcpy(frame + 12, last + 12, 12);
		frame[14] = 0x18 | (s[14] & 4);
	}
	aoe_rx(&aoe, now, frame, len);
	free(frame);
}

static void cancel(void)
{
	aoe_cancel(&aoe);
	memset(busy, 0, sizeof(busy));
}

static void settle(void)
{
	uint8_t frame[sizeof(last)];
	struct aoe_io *io;
	size_t len;

	while ((len = aoe_tx(&aoe, now, frame)) > 0) {
		if (len < 60 || len > sizeof(frame))
			abort();
		memcpy(last, frame, len);
	}
	while ((io = aoe_done(&aoe))) {
		if (!busy[io - ios] || io->frames)
			abort();
		busy[io - ios] = false;
	}
	if (aoe.in_flight > AOE_FRAMES || aoe_deadline(&aoe) <= now)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct aoe_data_ops ops = {get, put};
	const struct aoe_config config = {
		.mac = {2, 0, 0, 0, 0, 1}, .mtu = 1500, .dead_ns = 10 * NS_PER_S, .data = &ops};

	now = 1;
	memset(busy, 0, sizeof(busy));
	aoe_init(&aoe, &config, now);
	settle();
	while (size >= 3) {
		size_t len = MIN(size - 3, (size_t)(data[1] | (data[2] & 7) << 8));
		const uint8_t *s = data + 3;

		switch (data[0] & 7) {
		case 0:
			submit(s, len);
			break;
		case 1:
			now += len ? 1ull << s[0] % 35 : 1;
			break;
		case 2:
			now = MIN(aoe_deadline(&aoe), now + NS_PER_S);
			break;
		case 3:
			receive(s, len, false);
			break;
		case 4:
			if (len > 8)
				cancel();
			break;
		default:
			receive(s, len, true);
			break;
		}
		settle();
		data += 3 + len;
		size -= 3 + len;
	}
	return 0;
}
