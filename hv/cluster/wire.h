/*
 * The node's wire: finds its network card on PCI, brings up IP and cluster formation, and runs the wire's
 * self-test. All calls from one CPU, the one that called wire_start().
 */
#ifndef HV_CLUSTER_WIRE_H
#define HV_CLUSTER_WIRE_H

#include "hv/base/err.h"
#include "net/transport/cluster.h"
#include "net/transport/xport.h"

struct wire_options {
	const char *cluster; /* its name */
	uint64_t nodes;
	const char *head;   /* MAC of the head as text, empty: not named */
	const char *syslog; /* address as text, empty: none */
	uint64_t mtu;       /* 1500 or more */
	uint64_t cpus, ram; /* what the node offers, bytes */
	uint64_t lost_ns;   /* silence after which another node counts as lost */
	bool has_guest;
	bool tsc_trusted; /* take the TSC for invariant though the CPU does not say so, as emulators' is */
	uint64_t seed; /* random */
};

/* Starts the card and begins to look for the others; `why` says which card or option is at fault. */
int wire_start(const struct wire_options *options, struct why *why) MUST_CHECK;

/* Takes and sends what is due; call it often. */
void wire_poll(void);

/* `fn` sees every frame from now on, in wire_poll(), before all others; true: it was for it alone. */
void wire_tap(bool (*fn)(void *ctx, const void *frame, size_t len), void *ctx);
/* `fn` adds at most `size` bytes to the status console's text, and returns how many; from wire_poll(). */
void wire_status(size_t (*fn)(char *buf, size_t size));
/* Sends a frame of 60 bytes at least, Ethernet header included; false: there is no room, it is dropped. */
bool wire_send_frame(const void *frame, size_t len);
/* Frames for this address come in, too. */
void wire_add_mac(const uint8_t mac[6]);
/* Of the nodes' own frames, which nobody else may send. */
uint16_t wire_ethertype(void);
/* Our MAC address, and the bytes that a frame carries. */
const uint8_t *wire_mac(void);
uint16_t wire_mtu(void);

/* True once the membership stands; `self` and `head` are node numbers then. */
bool wire_up(unsigned *self, unsigned *head);
/* The sentence of what ended the cluster; NULL while nothing did. */
const char *wire_ended(void);

/* The membership, good once wire_up() is true. */
const struct cluster *wire_cluster(void);

/* `fn` gets the transport's events from now on, called from wire_poll(). */
void wire_receive(void (*fn)(const struct xport_event *event));
/*
 * As xport_send(); wire_flush() then puts it on the wire. These two may be called from any CPU, one CPU
 * being in any function of this file at a time.
 */
int wire_send(unsigned node, enum wire_channel channel, const struct xport_part *parts,
	      unsigned count) MUST_CHECK;
void wire_flush(void);
/* This node stops for a reason of its own: the others are told at once. No-op before wire_start() and on a lone node. */
void wire_stop(const char *why);
/* When wire_poll() is due if nothing comes before, in ns of tsc_now_ns(). */
uint64_t wire_deadline(uint64_t now_ns);

/* The card's interrupt has come: what arrives wakes the CPU that called wire_start(). */
bool wire_wakes(void);

/* What went to each node and came from it, in the log. */
void wire_report(void);

/*
 * Waits for the membership, exchanges `messages` messages of known content with every other node, each
 * way, and logs the outcome. Follows wire_start() at once. Returns 0, or an error with the sentence.
 */
int wire_selftest(uint32_t messages, struct why *why) MUST_CHECK;

#endif
