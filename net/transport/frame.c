#include "net/transport/frame.h"

#include "hv/base/string.h"

/* Odd 64-bit constants with about as many ones as zeros: fractional parts of square roots. */
#define SALT0 0x6a09e667f3bcc909ull
#define SALT1 0xbb67ae8584caa73bull
#define SALT2 0x3c6ef372fe94f82bull
#define SALT3 0xa54ff53a5f1d36f1ull

static uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Both halves of the 128-bit product, so that every input bit reaches every output bit. */
static uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t sum_tail(const uint8_t *p, size_t len, uint64_t h)
{
	for (; len >= 16; p += 16, len -= 16)
		h = fold(load64(p) ^ h, load64(p + 8) ^ SALT1);
	if (len > 0) {
		uint8_t last[16] = {0};

		memcpy(last, p, len);
		h = fold(load64(last) ^ h, load64(last + 8) ^ SALT2);
	}
	return h;
}

uint64_t wire_sum(const void *data, size_t len, uint64_t seed)
{
	const uint8_t *p = data;
	uint64_t h = seed ^ SALT0, total = len;

	if (len >= 64) {
		/* Four lanes keep the multiplier busy. */
		uint64_t a = h, b = h ^ SALT1, c = h ^ SALT2, d = h ^ SALT3;

		for (; len >= 64; p += 64, len -= 64) {
			a = fold(load64(p) ^ a, load64(p + 8) ^ SALT0);
			b = fold(load64(p + 16) ^ b, load64(p + 24) ^ SALT1);
			c = fold(load64(p + 32) ^ c, load64(p + 40) ^ SALT2);
			d = fold(load64(p + 48) ^ d, load64(p + 56) ^ SALT3);
		}
		h = fold(a ^ SALT3, b ^ SALT2) ^ fold(c ^ SALT1, d ^ SALT0);
	}
	return fold(sum_tail(p, len, h) ^ SALT3, total ^ SALT1);
}

uint32_t wire_cluster_hash(const char *name)
{
	uint64_t sum = wire_sum(name, strlen(name), 0);
	uint32_t hash = (uint32_t)(sum ^ sum >> 32);

	return hash ? hash : 1;
}

/* From the Ethernet header on: a damaged sender's MAC would look like another node. */
static uint64_t frame_sum(const void *frame)
{
	const struct wire_head *head =
		(const struct wire_head *)((const uint8_t *)frame + WIRE_ETH);
	uint64_t sum = wire_sum(frame, WIRE_ETH + offsetof(struct wire_head, tag), 0);

	return wire_sum(head + 1, head->length - sizeof(*head), sum);
}

size_t wire_seal(void *frame, const uint8_t dst[WIRE_MAC], const uint8_t src[WIRE_MAC], size_t body)
{
	struct wire_eth *eth = frame;
	struct wire_head *head = (struct wire_head *)((uint8_t *)frame + WIRE_ETH);
	size_t len = WIRE_ETH + sizeof(*head) + body;
	uint64_t sum;

	memcpy(eth->dst, dst, WIRE_MAC);
	memcpy(eth->src, src, WIRE_MAC);
	eth->type[0] = WIRE_ETHERTYPE >> 8;
	eth->type[1] = WIRE_ETHERTYPE & 0xff;
	head->version = WIRE_VERSION;
	head->length = (uint16_t)(sizeof(*head) + body);
	head->zero = 0;
	sum = frame_sum(frame);
	memset(head->tag, 0, WIRE_TAG);
	memcpy(head->tag, &sum, sizeof(sum));
	if (len >= WIRE_MIN)
		return len;
	memset((uint8_t *)frame + len, 0, WIRE_MIN - len);
	return WIRE_MIN;
}

const struct wire_head *wire_check(const void *frame, size_t len, int *err)
{
	static const uint8_t no_tag[WIRE_TAG / 2];
	const struct wire_eth *eth = frame;
	const struct wire_head *head =
		(const struct wire_head *)((const uint8_t *)frame + WIRE_ETH);
	uint64_t sum;

	*err = ERR_NOTFOUND;
	if (len < WIRE_ETH || (eth->type[0] << 8 | eth->type[1]) != WIRE_ETHERTYPE)
		return NULL;
	*err = ERR_INVALID;
	if (len < WIRE_ETH + sizeof(*head) || head->length < sizeof(*head) ||
	    head->length > len - WIRE_ETH)
		return NULL;
	sum = frame_sum(frame);
	if (memcmp(head->tag, &sum, sizeof(sum)) != 0 ||
	    memcmp(head->tag + WIRE_TAG / 2, no_tag, sizeof(no_tag)) != 0)
		return NULL;
	*err = head->version == WIRE_VERSION ? 0 : ERR_UNSUPPORTED;
	return head;
}

const void *wire_body(const struct wire_head *head, size_t size)
{
	return head->length - sizeof(*head) >= size ? head + 1 : NULL;
}
