/*
 * The node's uplink: its network card, found on PCI, with IP, formation and the transport on it
 * (net/). hv/cluster/uplink.c has the one of a real node; host programs that run several nodes have a double
 * with a network of their own under it.
 *
 * One CPU at a time is in any of these functions; polling and starting are the first CPU's alone.
 */
#ifndef HV_CLUSTER_UPLINK_H
#define HV_CLUSTER_UPLINK_H

#include "hv/base/err.h"
#include "net/transport/cluster.h"
#include "net/transport/xport.h"

struct uplink;

struct uplink_options {
	const char *cluster; /* its name */
	uint64_t nodes;
	const char *head;   /* MAC of the head as text, empty: not named */
	const char *syslog; /* address as text, empty: none */
	uint64_t mtu;       /* 1500 or more */
	uint64_t cpus, ram; /* what the node offers, bytes; what the network takes is taken off */
	uint64_t lost_ns;   /* silence after which another node counts as lost */
	bool has_guest;
	bool tsc_trusted; /* take the TSC for invariant though the CPU does not say so, as emulators' is */
	uint64_t seed; /* random */
};

/*
 * Starts the card and begins to look for the others. NULL: `why` says which card or option is at fault. A
 * node has one uplink.
 */
struct uplink *uplink_start(const struct uplink_options *options, struct why *why) MUST_CHECK;

/* Takes and sends what is due; call it often. */
void uplink_poll(struct uplink *u);

/* `fn` sees every frame from now on, in uplink_poll(), before all others; true: it was for it alone. */
void uplink_tap(struct uplink *u, bool (*fn)(void *ctx, const void *frame, size_t len), void *ctx);
/* `fn` adds at most `size` bytes to the status console's text, and returns how many; from uplink_poll(). */
void uplink_status(struct uplink *u, size_t (*fn)(char *buf, size_t size));
/* Sends a frame of 60 bytes at least, Ethernet header included; false: there is no room, it is dropped. */
bool uplink_send_frame(struct uplink *u, const void *frame, size_t len);
/* Frames for this address come in, too. */
void uplink_add_mac(struct uplink *u, const uint8_t mac[6]);
/* Our MAC address, and the bytes that a frame carries. */
const uint8_t *uplink_mac(const struct uplink *u);
uint16_t uplink_mtu(const struct uplink *u);

/* True once the membership stands; `self` and `head` are node numbers then. */
bool uplink_up(const struct uplink *u, unsigned *self, unsigned *head);
/* The sentence of what ended the cluster; NULL while nothing did. */
const char *uplink_ended(const struct uplink *u);

/* The membership, good once uplink_up() is true. */
const struct cluster *uplink_cluster(const struct uplink *u);

/* `fn` gets the transport's events from now on, called from uplink_poll(). */
void uplink_receive(struct uplink *u, void (*fn)(void *ctx, const struct xport_event *event),
		    void *ctx);
/* As xport_send(), from any CPU; uplink_flush() then puts it on the wire. */
int uplink_send(struct uplink *u, unsigned node, enum wire_channel channel,
		const struct xport_part *parts, unsigned count) MUST_CHECK;
void uplink_flush(struct uplink *u);
/* This node stops for a reason of its own: the others are told at once. Does nothing on a lone node. */
void uplink_stop(struct uplink *u, const char *why);
/* The card neither sends nor writes to memory any more, which may be another's before long. The last call. */
void uplink_close(struct uplink *u);
/* When uplink_poll() is due if nothing comes before, in ns of tsc_now_ns(). */
uint64_t uplink_deadline(struct uplink *u, uint64_t now_ns);

/* The card's interrupt has come: what arrives wakes the CPU that called uplink_start(). */
bool uplink_wakes(const struct uplink *u);

/* What went to each node and came from it, in the log. */
void uplink_report(const struct uplink *u);

/*
 * Waits for the membership, exchanges `messages` messages of known content with every other node, each
 * way, and logs the outcome. Follows uplink_start() at once. Returns 0, or an error with the sentence.
 */
int uplink_selftest(struct uplink *u, uint32_t messages, struct why *why) MUST_CHECK;

#endif
