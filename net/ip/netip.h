/*
 * IP on a network card: lwIP below DHCP or a static address, ICMP echo, the log as UDP syslog, and a
 * read-only status console on TCP. Received frames stay in the card's buffers until the last reader is
 * done. One CPU owns it, the one that called netip_start(): every entry asserts that. Polled, never
 * called from an interrupt handler.
 *
 * lwIP keeps its connections, timers and memory in variables of its own, once per program, and asks for
 * the time and for random numbers without saying for whom. So a program starts one struct netip, which
 * is net/ip's, and whatever is not lwIP's is in it.
 */
#ifndef NET_IP_NETIP_H
#define NET_IP_NETIP_H

#include "hv/base/log.h"
#include "net/drivers/nic.h"

#define NETIP_SYSLOG_PORT  514
#define NETIP_CONSOLE_PORT 8023
#define NETIP_STATUS       32768 /* bytes of the console's text, log tail included */

struct netip;

struct netip_config {
	uint32_t address, mask,
		gateway; /* as written, 192.0.2.1 is 0xc0000201; address 0: by DHCP */
	uint32_t syslog; /* 0: no syslog */
	char hostname[32];
	uint64_t seed; /* for ports and sequence numbers; random */
	/*
	 * Frames of EtherType `raw_type` go here instead, of any length; the frame is gone when it returns.
	 */
	uint16_t raw_type;
	void (*raw)(void *ctx, uint64_t now, const void *frame, size_t len);
	/* Sees every frame before anything else does; true: it was for it alone. May be NULL. */
	bool (*tap)(void *ctx, const void *frame, size_t len);
	/* Writes the status console's text, at most `size` bytes; returns how many. May be NULL. */
	size_t (*status)(void *ctx, char *buf, size_t size);
	void *ctx;
};

struct netip_stats {
	uint64_t syslog_lines, console_reads, console_refused, console_cut, tx_full;
};

/*
 * Starts IP on a card that runs, once per program; NULL with the reason in `why`. `now` in ns, here and
 * below, is one monotonic clock.
 */
struct netip *netip_start(struct nic *nic, const struct netip_config *config, uint64_t now,
			  struct why *why) MUST_CHECK;

/* Takes what the card received, runs timers, sends waiting log lines. True when there was a frame. */
bool netip_poll(struct netip *ip, uint64_t now);

/* A time before which no frame came that netip_poll() has not taken. */
uint64_t netip_seen(const struct netip *ip);

/* When netip_poll has something to do even if no frame comes. */
uint64_t netip_deadline(struct netip *ip, uint64_t now);

/* Sends one frame that is ready-made, of any length (nic_send); false: the ring is full. */
bool netip_send(struct netip *ip, const void *frame, size_t len);

/* Our address as written, 0 while there is none. */
uint32_t netip_address(const struct netip *ip);
const struct netip_stats *netip_stats_get(const struct netip *ip);

#endif
