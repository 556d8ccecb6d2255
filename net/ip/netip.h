/*
 * IP on a network card: lwIP below DHCP or a static address, ICMP echo, the log as UDP syslog, and a
 * read-only status console on TCP. Received frames stay in the card's buffers until the last reader is
 * done. One CPU owns it, the one that called netip_start(): every entry asserts that. Polled, never
 * called from an interrupt handler.
 */
#ifndef NET_IP_NETIP_H
#define NET_IP_NETIP_H

#include "hv/base/log.h"
#include "net/drivers/nic.h"

#define NETIP_SYSLOG_PORT  514
#define NETIP_CONSOLE_PORT 8023
#define NETIP_STATUS       32768 /* bytes of the console's text, log tail included */

struct netip_config {
	uint32_t address, mask,
		gateway; /* as written, 192.0.2.1 is 0xc0000201; address 0: by DHCP */
	uint32_t syslog; /* 0: no syslog */
	char hostname[32];
	uint64_t seed; /* for ports and sequence numbers; random */
	/* Frames of EtherType `wire_type` go here instead; the frame is gone when it returns. */
	uint16_t wire_type;
	void (*wire)(void *ctx, uint64_t now, const void *frame, size_t len);
	/* Sees every frame before anything else does; true: it was for it alone. May be NULL. */
	bool (*tap)(void *ctx, const void *frame, size_t len);
	/* Writes the status console's text, at most `size` bytes; returns how many. May be NULL. */
	size_t (*status)(void *ctx, char *buf, size_t size);
	void *ctx;
};

struct netip_stats {
	uint64_t syslog_lines, syslog_dropped, console_reads, tx_full, no_pbuf;
};

/*
 * Starts IP on a card that runs; there is one per node. `now` in ns, here and below, is one monotonic
 * clock.
 */
int netip_start(struct nic *nic, const struct netip_config *config, uint64_t now,
		struct why *why) MUST_CHECK;

/* Takes what the card received, runs timers, sends waiting log lines. True when there was a frame. */
bool netip_poll(uint64_t now);

/* A time before which no frame came that netip_poll() has not taken. */
uint64_t netip_seen(void);

/* When netip_poll has something to do even if no frame comes. */
uint64_t netip_deadline(uint64_t now);

/* Sends one frame that is ready-made, of any length (nic_send); false: the ring is full. */
bool netip_send(const void *frame, size_t len);

/* Our address as written, 0 while there is none. */
uint32_t netip_address(void);
const struct netip_stats *netip_stats_get(void);

#endif
