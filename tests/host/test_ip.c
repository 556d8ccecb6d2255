/* net/ip over a fake card: ARP, ping, the hook for the cluster's frames, syslog, console, DHCP. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/ip/netip.h"
#include "tests/host/fake_nic.h"
#include "tests/host/plat.h"

#define US   0x0a000002u /* 10.0.0.2 */
#define THEM 0x0a000001u

static const uint8_t our_mac[] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
static const uint8_t their_mac[] = {2, 0, 0, 0, 0, 9};

static struct fake_nic fake;
static struct nic nic;
static struct netip *stack;
static uint64_t now = NS_PER_S;
static unsigned wire_frames;
static uint8_t wire_last[100];

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

/* Delivers the frame and lets IP run. */
static void in(const uint8_t *frame, size_t len)
{
	uint8_t padded[1514] = {0};

	memcpy(padded, frame, len);
	assert_true(fake_rx(&fake, padded, (uint16_t)MAX(len, (size_t)60)));
	now += NS_PER_MS;
	assert_true(netip_poll(stack, now));
}

static void eth(uint8_t *f, unsigned type)
{
	memcpy(f, our_mac, 6);
	memcpy(f + 6, their_mac, 6);
	put16(f + 12, type);
}

/* An IP packet to us around `len` bytes at f + 34. */
static void ip(uint8_t *f, unsigned protocol, size_t len)
{
	uint8_t *h = f + 14;

	eth(f, 0x0800);
	memset(h, 0, 20);
	h[0] = 0x45;
	put16(h + 2, (unsigned)(20 + len));
	h[8] = 64;
	h[9] = (uint8_t)protocol;
	put32(h + 12, THEM);
	put32(h + 16, US);
	put16(h + 10, sum_end(sum_add(0, h, 20)));
	in(f, 34 + len);
}

static void arp(unsigned operation)
{
	uint8_t f[42];

	eth(f, 0x0806);
	if (operation == 1)
		memset(f, 0xff, 6);
	put16(f + 14, 1);
	put16(f + 16, 0x0800);
	f[18] = 6, f[19] = 4;
	put16(f + 20, operation);
	memcpy(f + 22, their_mac, 6);
	put32(f + 28, THEM);
	memcpy(f + 32, our_mac, 6);
	put32(f + 38, US);
	in(f, sizeof(f));
}

static void on_raw(void *ctx, uint64_t at, const void *frame, size_t len)
{
	assert_ptr_equal(ctx, &fake);
	assert_int_equal(at, now);
	wire_frames++;
	memcpy(wire_last, frame, MIN(len, sizeof(wire_last)));
}

/* Takes what is of one kind, and of another only a look. */
static unsigned tapped, looked;
static bool on_tap(void *ctx, const void *frame, size_t len)
{
	unsigned type = get16((const uint8_t *)frame + 12);

	assert_ptr_equal(ctx, &fake);
	tapped += type == 0x88a2;
	looked += type == 0x88b5;
	return type == 0x88a2;
}

static size_t status(void *ctx, char *buf, size_t size)
{
	assert_true(size >= 1000);
	memset(buf, 'n', 3000);
	memcpy(buf, "node 0 runs\n", 12);
	return 3000;
}

static void starts(void **state)
{
	void *arena = aligned_alloc(PAGE_SIZE, NIC_MEMORY(NIC_MTU));
	struct netip_config c = {.address = US,
				 .mask = 0xffffff00,
				 .gateway = THEM,
				 .syslog = THEM,
				 .hostname = "node0",
				 .seed = 1,
				 .raw_type = 0x88b5,
				 .raw = on_raw,
				 .tap = on_tap,
				 .status = status,
				 .ctx = &fake};
	struct why why = {""};

	fake_e1000(&fake, 0x100e, arena, NIC_MEMORY(NIC_MTU));
	assert_int_equal(nic_probe(&nic, &fake.hw, &why), 0);
	assert_int_equal(nic_start(&nic, arena, NIC_MEMORY(NIC_MTU), NIC_MTU, &why), 0);
	stack = netip_start(&nic, &c, now, &why);
	assert_non_null(stack);
	assert_int_equal(netip_address(stack), US);
}

static void answers_arp(void **state)
{
	arp(1); /* the log lines that waited for this address go out too */
	arp(1);
	assert_int_equal(get16(fake.sent_frame + 12), 0x0806);
	assert_int_equal(get16(fake.sent_frame + 20), 2);
	assert_memory_equal(fake.sent_frame, their_mac, 6);
	assert_memory_equal(fake.sent_frame + 22, our_mac, 6);
	assert_int_equal(get32(fake.sent_frame + 28), US);
	assert_int_equal(fake.sent_len, 60);
}

static void answers_ping(void **state)
{
	uint8_t f[34 + 40] = {0}, *icmp = f + 34;

	netip_poll(stack, now);
	icmp[0] = 8;
	put16(icmp + 4, 77);
	for (unsigned i = 8; i < 40; i++)
		icmp[i] = (uint8_t)i;
	put16(icmp + 2, sum_end(sum_add(0, icmp, 40)));
	ip(f, 1, 40);
	assert_int_equal(fake.sent_frame[23], 1);
	assert_int_equal(fake.sent_frame[34], 0);
	assert_int_equal(get16(fake.sent_frame + 38), 77);
	assert_memory_equal(fake.sent_frame + 42, icmp + 8, 32);
}

static void gives_the_wire_its_frames(void **state)
{
	uint8_t f[90] = {0};

	eth(f, 0x88b5);
	f[80] = 5;
	for (unsigned i = 0; i < 1000; i++)
		in(f, sizeof(f));
	assert_int_equal(wire_frames, 1000);
	assert_memory_equal(wire_last, f, sizeof(f));
	/* Another type is nobody's and costs no buffer. */
	eth(f, 0x88cc);
	for (unsigned i = 0; i < 1000; i++)
		in(f, sizeof(f));
	assert_int_equal(wire_frames, 1000);
	assert_int_equal(nic.stats.rx_starved, 0);
	assert_true(netip_send(stack, f, 60));
	assert_memory_equal(fake.sent_frame, f, 60);
}

static void the_tap_comes_first(void **state)
{
	uint8_t f[60] = {0};
	unsigned before = wire_frames;

	looked = tapped = 0;
	/* more than the card has buffers: they are given back */
	for (unsigned i = 0; i < 2 * NIC_RX_BUFFERS; i++) {
		eth(f, 0x88a2);
		in(f, sizeof(f));
	}
	assert_int_equal(tapped, 2 * NIC_RX_BUFFERS);
	assert_int_equal(wire_frames, before);
	eth(f, 0x88b5);
	in(f, sizeof(f));
	assert_int_equal(looked, 1);
	assert_int_equal(wire_frames, before + 1);
}

static void sends_the_log_as_syslog(void **state)
{
	uint64_t lines = netip_stats_get(stack)->syslog_lines;
	char text[200] = "";

	log_info(LOG_NET, "a line for syslog");
	assert_int_equal(netip_deadline(stack, now), now);
	netip_poll(stack, now);
	assert_int_equal(netip_stats_get(stack)->syslog_lines, lines + 1);
	assert_int_equal(fake.sent_frame[23], 17);
	assert_int_equal(get32(fake.sent_frame + 30), THEM);
	assert_int_equal(get16(fake.sent_frame + 36), NETIP_SYSLOG_PORT);
	memcpy(text, fake.sent_frame + 42, get16(fake.sent_frame + 38) - 8);
	assert_memory_equal(text, "<134>1 - node0 amalgam - - - [", 30);
	assert_non_null(strstr(text, "net: a line for syslog"));
	assert_int_equal(strlen(strstr(text, "a line")), 17);
	assert_true(netip_deadline(stack, now) > now);
}

static void waits_when_the_card_is_full(void **state)
{
	uint64_t lines = netip_stats_get(stack)->syslog_lines;
	uint8_t byte[60] = {0};

	fake.hold_tx = true;
	while (netip_send(stack, byte, 60))
		;
	log_info(LOG_NET, "kept for later");
	netip_poll(stack, now);
	assert_int_equal(netip_stats_get(stack)->syslog_lines, lines);
	fake_tx(&fake);
	netip_poll(stack, now);
	assert_int_equal(netip_stats_get(stack)->syslog_lines, lines + 1);
	assert_memory_equal(fake.sent_frame + 42 + get16(fake.sent_frame + 38) - 8 - 14,
			    "kept for later", 14);
}

static void tcp(unsigned flags, uint32_t seq, uint32_t ack)
{
	uint8_t f[34 + 20], *h = f + 34, pseudo[12] = {0};

	memset(h, 0, 20);
	put16(h, 5555);
	put16(h + 2, NETIP_CONSOLE_PORT);
	put32(h + 4, seq);
	put32(h + 8, ack);
	h[12] = 0x50;
	h[13] = (uint8_t)flags;
	put16(h + 14, 65535);
	put32(pseudo, THEM);
	put32(pseudo + 4, US);
	pseudo[9] = 6;
	put16(pseudo + 10, 20);
	put16(h + 16, sum_end(sum_add(sum_add(0, pseudo, 12), h, 20)));
	ip(f, 6, 20);
}

/* Reads the console to its end; what was sent is looked at frame by frame. */
static void shows_status_and_log_to_who_connects(void **state)
{
	static char text[NETIP_STATUS + 1];
	uint32_t theirs;
	size_t len = 0;
	bool end = false;

	tcp(0x02, 1000, 0);
	assert_int_equal(fake.sent_frame[47] & 0x12, 0x12);
	theirs = get32(fake.sent_frame + 38) + 1;
	fake.hold_tx = true;
	tcp(0x10, 1001, theirs);
	for (unsigned turn = 0; turn < 100 && !end; turn++) {
		/* One frame at a time leaves the card. */
		unsigned head = fake.regs[0x3810 / 4], tail = fake.regs[0x3818 / 4];

		if (head == tail) {
			tcp(0x10, 1001, theirs);
			continue;
		}
		fake.regs[0x3818 / 4] = (head + 1) % NIC_RING_MAX;
		fake_tx(&fake);
		fake.hold_tx = true;
		fake.regs[0x3818 / 4] = tail;
		if (fake.sent_frame[23] != 6 || get32(fake.sent_frame + 38) != theirs)
			continue;
		size_t bytes = get16(fake.sent_frame + 16) - 40;

		assert_true(len + bytes < sizeof(text));
		memcpy(text + len, fake.sent_frame + 54, bytes);
		len += bytes;
		theirs += (uint32_t)bytes;
		end = fake.sent_frame[47] & 1;
		tcp(0x10, 1001, theirs);
	}
	assert_true(end);
	assert_memory_equal(text, "node 0 runs\nnnnn", 16);
	assert_true(len > 3000);
	assert_non_null(strstr(text + 3000, "kept for later\n"));
	assert_int_equal(netip_stats_get(stack)->console_reads, 1);
	fake.hold_tx = false;
	fake_tx(&fake);
}

static void another_cpu_may_not_touch_it(void **state)
{
	host_panic_expected = true;
	host_cpu = 1;
	if (setjmp(host_panic_jump) == 0) {
		netip_poll(stack, now);
		host_cpu = 0;
		fail_msg("another CPU was let in");
	}
	host_cpu = 0;
	host_panic_expected = false;
}

static void link_changes_are_seen(void **state)
{
	fake.link = false;
	now += 2 * NS_PER_S;
	netip_poll(stack, now);
	log_info(LOG_NET, "not while the cable is out");
	uint64_t lines = netip_stats_get(stack)->syslog_lines;

	netip_poll(stack, now);
	assert_int_equal(netip_stats_get(stack)->syslog_lines, lines);
	fake.link = true;
	now += 2 * NS_PER_S;
	netip_poll(stack, now);
	arp(2);
	netip_poll(stack, now);
	assert_true(netip_stats_get(stack)->syslog_lines > lines);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts),
		cmocka_unit_test(answers_arp),
		cmocka_unit_test(answers_ping),
		cmocka_unit_test(gives_the_wire_its_frames),
		cmocka_unit_test(the_tap_comes_first),
		cmocka_unit_test(sends_the_log_as_syslog),
		cmocka_unit_test(waits_when_the_card_is_full),
		cmocka_unit_test(shows_status_and_log_to_who_connects),
		cmocka_unit_test(another_cpu_may_not_touch_it),
		cmocka_unit_test(link_changes_are_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
