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

static uint64_t fold16(uint64_t lane, const uint8_t *p, uint64_t salt)
{
	return fold(load64(p) ^ lane, load64(p + 8) ^ salt);
}

uint64_t wire_sum(const void *data, size_t len, uint64_t seed)
{
	const uint8_t *p = data, *last;
	uint64_t a = seed ^ SALT0, b = a ^ SALT1, c = a ^ SALT2, d = a ^ SALT3, total = len;
	uint8_t few[16] = {0};

	/* Four lanes keep the multiplier busy. */
	for (; len >= 64; p += 64, len -= 64) {
		a = fold16(a, p, SALT0);
		b = fold16(b, p + 16, SALT1);
		c = fold16(c, p + 32, SALT2);
		d = fold16(d, p + 48, SALT3);
	}
	if (len > 16)
		a = fold16(a, p, SALT0);
	if (len > 32)
		b = fold16(b, p + 16, SALT1);
	if (len > 48)
		c = fold16(c, p + 32, SALT2);
	/* The last 16 bytes may overlap what was taken before, as the length tells. */
	last = total < 16 ? memcpy(few, data, total) : p + len - 16;
	d = fold16(d, last, SALT3);
	return fold(fold(a ^ SALT3, b ^ SALT2) ^ fold(c ^ SALT1, d ^ SALT0) ^ SALT3, total ^ SALT1);
}

uint32_t wire_cluster_hash(const char *name)
{
	uint64_t sum = wire_sum(name, strlen(name), 0);
	uint32_t hash = (uint32_t)(sum ^ sum >> 32);

	return hash ? hash : 1;
}

STATIC_ASSERT(WIRE_ETH + offsetof(struct wire_head, tag) == 38, "wire_frame_sum takes so many");

uint64_t wire_frame_sum(const void *frame)
{
	const uint8_t *p = frame;
	const struct wire_head *head = (const struct wire_head *)(p + WIRE_ETH);
	/* Side by side, as each fold waits for the one before; bytes 30 and 31 go in twice. */
	uint64_t seed = fold(load64(p) ^ SALT0, load64(p + 8) ^ SALT1) ^
			fold(load64(p + 16) ^ SALT2, load64(p + 24) ^ SALT3) ^
			fold(load64(p + 30) ^ SALT1, SALT2);

	return wire_sum(head + 1, head->length - sizeof(*head), seed);
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
	sum = wire_frame_sum(frame);
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
	sum = wire_frame_sum(frame);
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
