/*
 * Frames of anybody's against IP and the status console: raw ones, and ones whose addresses, lengths and
 * checksums are put right, so that what lies behind those is reached: ARP, ICMP, UDP, DHCP's answers, and TCP
 * segments that follow what was sent last. Steps of a byte that says what, two of length, and the bytes.
 * No assertion of ours or of lwIP's may be reached, and no buffer of the card's is lost.
 *
 * The stack can start but once in a program, so it lives on from input to input, and a finding repeats with
 * the run's seed rather than with its last input alone.
 */
#include <stdlib.h>
#include <string.h>

#include "net/ip/netip.h"
#include "tests/host/fake_nic.h"

#define US        0xc0000263u /* 192.0.2.99 */
#define THEM      0xc0000201u
#define DHCP_HEAD 240 /* to the end of the magic cookie */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fake_nic fake;
static struct nic nic;
static struct netip *ip;
static uint64_t now = 1;
static unsigned sent;
static uint8_t last_tcp[20]; /* header of the segment that was sent last */
static uint8_t dhcp_id[4];

static unsigned get16(const uint8_t *p)
{
	return (unsigned)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static uint32_t sum_add(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += get16(p + i);
	return len & 1 ? sum + (uint32_t)(p[len - 1] << 8) : sum;
}

static unsigned sum_end(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

static size_t status(void *ctx, char *buf, size_t size)
{
	memset(buf, 'n', 3000);
	return 3000;
}

/* Lets the stack run, and remembers what it says. */
static void poll(uint64_t ns)
{
	const uint8_t *f = fake.sent_frame;

	now += ns;
	netip_poll(ip, now);
	if (fake.sent == sent)
		return;
	sent = fake.sent;
	if (f[23] == 6)
		memcpy(last_tcp, f + 34, sizeof(last_tcp));
	if (f[23] == 17 && get16(f + 36) == 67)
		memcpy(dhcp_id, f + 42 + 4, sizeof(dhcp_id));
}

static void deliver(uint8_t *frame, size_t len)
{
	memcpy(frame, nic.mac, NIC_MAC);
	memcpy(frame + NIC_MAC, "\2\0\0\0\0\x9", NIC_MAC);
	fake_rx(&fake, frame, (uint16_t)MAX(len, (size_t)60));
	poll(NS_PER_MS);
}

static void raw(uint8_t what, const uint8_t *s, size_t len)
{
	uint8_t f[1514] = {0};

	len = MIN(len, sizeof(f));
	memcpy(f, s, len);
	if (what & 0x10)
		put16(f + 12, what & 0x20 ? 0x0806 : 0x0800);
	deliver(f, len);
}

/* The part behind IP's header, `len` bytes at `p`, is put right; false: it is too short for that. */
static bool fix_icmp(uint8_t *p, size_t len)
{
	if (len < 8)
		return false;
	put16(p + 2, 0);
	put16(p + 2, sum_end(sum_add(0, p, len)));
	return true;
}

static bool fix_udp(uint8_t *p, size_t len, bool dhcp, uint8_t how)
{
	if (len < (dhcp ? 8 + DHCP_HEAD : 8))
		return false;
	if (dhcp) {
		put32(p, 67u << 16 | 68);
		memcpy(p + 8, "\2\1\6", 3); /* a reply, by Ethernet */
		memcpy(p + 12, dhcp_id, sizeof(dhcp_id));
		memcpy(p + 36, nic.mac, NIC_MAC);
		put32(p + 8 + DHCP_HEAD - 4, 0x63825363);
	}
	if (how & 2)
		put16(p + 4, (unsigned)len);
	put16(p + 6, 0); /* no checksum */
	return true;
}

static bool fix_tcp(uint8_t *p, size_t len, const uint8_t *addresses, uint8_t how)
{
	if (len < 20)
		return false;
	put16(p + 2, NETIP_CONSOLE_PORT);
	if (how & 4) { /* on the connection of the last segment, near what it expects */
		memcpy(p, last_tcp + 2, 2);
		put32(p + 4, get32(last_tcp + 8) + (how & 0x20 ? (uint32_t)(int8_t)p[4] : 0));
		put32(p + 8, get32(last_tcp + 4) + p[8] * (how & 0x10 ? 146u : 1u));
	}
	if (how & 8)
		p[12] = (uint8_t)(5 + (how >> 6)) << 4;
	put16(p + 16, 0);
	put16(p + 16, sum_end(sum_add(sum_add(0, addresses, 8) + 6 + (uint32_t)len, p, len)));
	return true;
}

/* Two bytes say how, the others are what IP carries, behind as many options as they say. */
static void packet(uint8_t what, const uint8_t *s, size_t len)
{
	static const uint8_t protocols[] = {1, 17, 17, 6};
	uint8_t f[1514] = {0}, *h = f + 14, *p;
	unsigned kind = what & 3, options = len > 2 && s[0] & 1 ? s[0] >> 4 & 3 : 0;
	bool good;

	if (len <= 2)
		return;
	p = h + 20 + 4 * options;
	memcpy(h + 20, s + 2, 4 * options <= len - 2 ? 4 * options : 0);
	len = MIN(len - 2, (size_t)1400);
	memcpy(p, s + 2, len);
	put16(f + 12, 0x0800);
	h[0] = (uint8_t)(0x45 + options);
	put16(h + 2, (unsigned)(20 + 4 * options + len));
	h[8] = 64;
	h[9] = protocols[kind];
	put32(h + 12, THEM);
	put32(h + 16, s[1] & 1 || kind == 2 ? UINT32_MAX : US);
	good = kind == 0   ? fix_icmp(p, len)
	       : kind == 3 ? fix_tcp(p, len, h + 12, s[1])
			   : fix_udp(p, len, kind == 2, s[1]);
	if (!good)
		return;
	put16(h + 10, sum_end(sum_add(0, h, 20 + 4 * options)));
	deliver(f, 14 + 20 + 4 * options + len);
}

/* Who we are, so that answers find us; it forgets that after some minutes. */
static void announce(void)
{
	uint8_t f[60] = {0};

	put16(f + 12, 0x0806);
	memcpy(f + 14, "\0\1\x8\0\6\4\0\2\2\0\0\0\0\x9", 14);
	put32(f + 28, THEM);
	memcpy(f + 32, nic.mac, NIC_MAC);
	put32(f + 38, netip_address(ip));
	deliver(f, sizeof(f));
}

/* An answer to what was asked by DHCP last: US, for an hour. */
static void lease(uint8_t kind)
{
	static const uint8_t options[] = {53, 1, 0, 54, 4, 192, 0, 2, 1, 51, 4, 0, 0, 14, 16, 255};
	uint8_t s[2 + 8 + DHCP_HEAD + sizeof(options)] = {0, 2};

	put32(s + 2 + 8 + 16, US);
	memcpy(s + 2 + 8 + DHCP_HEAD, options, sizeof(options));
	s[2 + 8 + DHCP_HEAD + 2] = kind;
	packet(2, s, sizeof(s));
}

/* The address, at first and after what frames said about it. */
static void settle(void)
{
	for (unsigned i = 0; netip_address(ip) != US && i < 100; i++) {
		poll(NS_PER_S);
		lease(2);
		lease(5);
	}
	if (netip_address(ip) == US)
		announce();
}

static void start(void)
{
	void *arena = aligned_alloc(PAGE_SIZE, NIC_MEMORY(NIC_MTU));
	const struct netip_config c = {
		.syslog = THEM, .hostname = "fuzz", .seed = 1, .status = status};
	struct why why;

	fake_e1000(&fake, 0x100e, arena, NIC_MEMORY(NIC_MTU));
	if (nic_probe(&nic, &fake.hw, &why) ||
	    nic_start(&nic, arena, NIC_MEMORY(NIC_MTU), NIC_MTU, &why))
		abort();
	ip = netip_start(&nic, &c, now, &why);
	if (!ip)
		abort();
	settle();
	if (netip_address(ip) != US)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!ip)
		start();
	settle();
	while (size >= 3) {
		size_t len = MIN(size - 3, (size_t)(data[1] | (data[2] & 7) << 8));
		const uint8_t *s = data + 3;

		if (data[0] & 8)
			raw(data[0], s, len);
		else if (data[0] & 4)
			packet(data[0], s, len);
		else
			poll(len ? NS_PER_MS << s[0] % 16 : 10 * NS_PER_MS);
		data += 3 + len;
		size -= 3 + len;
	}
	/* What the stack keeps is bounded: the card never runs dry. */
	if (nic.stats.rx_starved)
		abort();
	return 0;
}
