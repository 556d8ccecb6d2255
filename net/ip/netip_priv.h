/* What the files of net/ip share. */
#ifndef NET_IP_NETIP_PRIV_H
#define NET_IP_NETIP_PRIV_H

#include "net/ip/netip.h"
#include "net/ip/stack.h"

/* A received frame in the card's buffer, as lwIP holds it. */
struct netip_rx {
	struct pbuf_custom pbuf;
	struct nic *nic;
	uint16_t buffer;
};

#define SYSLOG_LINE 600

struct syslog {
	struct udp_pcb *pcb;
	struct log_reader reader;
	char line
		[SYSLOG_LINE]; /* what was read of the next line, maybe with the start of another */
	size_t len;
};

#define CONSOLE_READERS  3
#define CONSOLE_EVERY_NS NS_PER_S /* a text that is younger is given once more */

struct console_text {
	unsigned readers;
	size_t len;
	char bytes[NETIP_STATUS];
};

struct console_reader {
	struct netip *ip;
	struct tcp_pcb *pcb; /* NULL: free */
	struct console_text *text;
	size_t queued, acked; /* bytes given to lwIP, and those the other end has */
	uint64_t until;       /* it has that long */
};

struct console {
	struct console_reader readers[CONSOLE_READERS];
	struct console_text texts[CONSOLE_READERS + 1]; /* so that one is always free */
	struct console_text *newest;                    /* NULL: none was made yet */
	uint64_t made_at;
};

struct netip {
	struct nic *nic;
	struct netif netif;
	struct netip_config config;
	struct netip_stats stats;
	unsigned owner;
	uint64_t now, random, link_at;
	/*
	 * All frames that came before `seen` were taken, and before `mark_at` when NIC_RX_BUFFERS more were.
	 */
	uint64_t seen, mark_at, taken, mark_taken;
	struct netip_rx rx[NIC_RX_BUFFERS];
	struct syslog syslog;
	struct console console;
};

/* Opens the sender / the listener; each says why it can't. */
int netip_syslog_start(struct netip *ip, struct why *why);
int netip_console_start(struct netip *ip, struct why *why);
/* Goes on with those who read; call it often. */
void netip_console_run(struct netip *ip);
/* Sends waiting lines, a few at a time. */
void netip_syslog_run(struct netip *ip);
bool netip_syslog_waits(struct netip *ip);

#endif
