/* What the files of net/ip share. */
#ifndef NET_IP_NETIP_PRIV_H
#define NET_IP_NETIP_PRIV_H

#include "net/ip/netip.h"
#include "net/ip/stack.h"

/* A received frame in the card's buffer, as lwIP holds it. */
struct netip_rx {
	struct pbuf_custom pbuf;
	uint16_t buffer;
};

struct netip {
	struct nic *nic;
	struct netif netif;
	struct netip_config config;
	struct netip_stats stats;
	unsigned owner;
	uint64_t now, random, link_at;
	bool started;
	/* All frames that came before `seen` were taken, and before `mark_at` when NIC_RX_BUFFERS more were. */
	uint64_t seen, mark_at, taken, mark_taken;
	struct netip_rx rx[NIC_RX_BUFFERS];
};

extern struct netip netip;

/* Opens the sender / the listener; each says why it can't. */
int netip_syslog_start(struct why *why);
int netip_console_start(struct why *why);
/* Sends waiting lines, a few at a time. */
void netip_syslog_run(void);
bool netip_syslog_waits(void);

#endif
