#include "tests/host/tcp_rig.h"

#include <stdlib.h>
#include <string.h>

#define US         0x0a000002u /* 10.0.0.2 */
#define THEM       0x0a000001u
#define FIRST_PORT 4992 /* a multiple of RIG_ENDS */

static const uint8_t our_mac[] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
static const uint8_t their_mac[] = {2, 0, 0, 0, 0, 9};

struct tcp_end tcp_ends[RIG_ENDS];
struct netip *tcp_rig_stack;
uint64_t tcp_rig_now = NS_PER_S;
unsigned tcp_rig_texts;

static struct fake_nic fake;
static struct nic nic;
static size_t status_len;
static unsigned spare; /* receive buffers beside a full ring */

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

static unsigned get16(const uint8_t *p)
{
	return (unsigned)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
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

/* A segment of the console's. */
static void take(struct tcp_end *e, const uint8_t *tcp, size_t len)
{
	unsigned flags = tcp[13], head = tcp[12] >> 4 << 2;
	uint32_t seq = get32(tcp + 4);

	e->rst |= flags & RIG_RST;
	if (flags & RIG_SYN) {
		e->theirs = seq + 1;
		e->open = true;
	}
	if (seq != e->theirs)
		return;
	len -= head;
	if (e->len + len < sizeof(e->text)) {
		memcpy(e->text + e->len, tcp + head, len);
		e->len += len;
	}
	e->theirs += (uint32_t)len;
	if (flags & RIG_FIN && !e->fin) {
		e->fin = true;
		e->theirs++;
	}
}

static void on_sent(const uint8_t *f, uint16_t len)
{
	unsigned port = get16(f + 36), n = (port - FIRST_PORT) % RIG_ENDS, total = get16(f + 16);

	if (get16(f + 12) == 0x0800 && f[23] == 6 && get16(f + 34) == NETIP_CONSOLE_PORT &&
	    port == tcp_ends[n].port && total >= 40 && total + 14u <= len)
		take(&tcp_ends[n], f + 34, total - 20);
}

static void in(const uint8_t *frame, size_t len)
{
	uint8_t padded[1514] = {0};

	memcpy(padded, frame, len);
	if (!fake_rx(&fake, padded, (uint16_t)MAX(len, (size_t)60)))
		abort();
	netip_poll(tcp_rig_stack, tcp_rig_now);
}

static void eth(uint8_t *f, unsigned type)
{
	memcpy(f, our_mac, 6);
	memcpy(f + 6, their_mac, 6);
	put16(f + 12, type);
}

/* They ask for our MAC address, so that we know theirs. */
static void arp(void)
{
	uint8_t f[42] = {0};

	eth(f, 0x0806);
	memset(f, 0xff, 6);
	put16(f + 14, 1);
	put16(f + 16, 0x0800);
	f[18] = 6, f[19] = 4;
	put16(f + 20, 1);
	memcpy(f + 22, their_mac, 6);
	put32(f + 28, THEM);
	put32(f + 38, US);
	in(f, sizeof(f));
}

static size_t status(void *ctx, char *buf, size_t size)
{
	size_t n = MIN(status_len, size);

	tcp_rig_texts++;
	memset(buf, 's', n);
	return n;
}

void tcp_rig_start(size_t length)
{
	void *arena = aligned_alloc(PAGE_SIZE, NIC_MEMORY(NIC_MTU));
	struct netip_config c = {
		.address = US, .mask = 0xffffff00, .gateway = THEM, .seed = 1, .status = status};
	struct why why = {""};

	status_len = length;
	fake_e1000(&fake, 0x100e, arena, NIC_MEMORY(NIC_MTU));
	fake.on_sent = on_sent;
	if (nic_probe(&nic, &fake.hw, &why) ||
	    nic_start(&nic, arena, NIC_MEMORY(NIC_MTU), NIC_MTU, &why))
		abort();
	spare = nic.rx_free_count;
	tcp_rig_stack = netip_start(&nic, &c, tcp_rig_now, &why);
	if (tcp_rig_stack == NULL)
		abort();
	arp();
}

unsigned tcp_rig_held(void)
{
	return spare - nic.rx_free_count;
}

void tcp_rig_frame(const void *frame, size_t len)
{
	uint8_t f[14 + 512] = {0};

	len = MIN(len, sizeof(f));
	memcpy(f, frame, len);
	memcpy(f, our_mac, 6);
	in(f, len);
}

void tcp_rig_wait(uint64_t ns)
{
	/* lwIP's TCP has a timer of 250 ms. */
	const uint64_t step = 250 * NS_PER_MS;

	for (uint64_t end = tcp_rig_now + ns; tcp_rig_now < end;) {
		tcp_rig_now = MIN(end, tcp_rig_now + step);
		netip_poll(tcp_rig_stack, tcp_rig_now);
	}
}

void end_send(unsigned n, unsigned flags, unsigned window, size_t len, int32_t shift)
{
	struct tcp_end *e = &tcp_ends[n];
	uint8_t f[34 + 20 + 512] = {0}, *ip = f + 14, *h = f + 34, pseudo[12] = {0};
	size_t bytes = 20 + MIN(len, (size_t)512);

	eth(f, 0x0800);
	ip[0] = 0x45;
	put16(ip + 2, (unsigned)(20 + bytes));
	ip[8] = 64;
	ip[9] = 6;
	put32(ip + 12, THEM);
	put32(ip + 16, US);
	put16(ip + 10, sum_end(sum_add(0, ip, 20)));
	put16(h, e->port);
	put16(h + 2, NETIP_CONSOLE_PORT);
	put32(h + 4, e->ours + (uint32_t)shift);
	put32(h + 8, flags & RIG_ACK ? e->theirs + (uint32_t)shift : 0);
	h[12] = 0x50;
	h[13] = (uint8_t)flags;
	put16(h + 14, window);
	memcpy(pseudo, ip + 12, 8);
	pseudo[9] = 6;
	put16(pseudo + 10, (unsigned)bytes);
	put16(h + 16, sum_end(sum_add(sum_add(0, pseudo, 12), h, bytes)));
	if (shift == 0)
		e->ours += (uint32_t)(bytes - 20) + !!(flags & (RIG_SYN | RIG_FIN));
	in(f, 34 + bytes);
}

bool end_connect(unsigned n, unsigned window)
{
	static unsigned used[RIG_ENDS];

	memset(&tcp_ends[n], 0, sizeof(tcp_ends[n]));
	tcp_ends[n].port = (uint16_t)(FIRST_PORT + n + RIG_ENDS * (used[n]++ % 3000));
	tcp_ends[n].ours = used[n] * 100000;
	arp(); /* what is known of our MAC gets old */
	end_send(n, RIG_SYN, window, 0, 0);
	if (tcp_ends[n].open)
		end_send(n, RIG_ACK, window, 0, 0);
	return tcp_ends[n].open && !tcp_ends[n].rst;
}

void end_read(unsigned n, unsigned window, unsigned turns)
{
	while (turns-- > 0 && !tcp_ends[n].fin && !tcp_ends[n].rst)
		end_send(n, RIG_ACK, window, 0, 0);
}
