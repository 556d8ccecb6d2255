/*
 * Cluster formation: nodes that boot with the same cluster name find each other by broadcast, agree on
 * one membership, number themselves, elect the head and start together; heartbeats run from then on,
 * and a lost node stops every other one. A pure state machine like the transport:
 *
 *     cluster_rx(c, now, frame, len);              a frame came
 *     while (cluster_poll(c, &event)) ...          what a person or the hypervisor must know
 *     while ((n = cluster_tx(c, now, buf))) ...    send what is due
 *     cluster_heard(c, seen)                       all that came before `seen` is through cluster_rx
 *     sleep until cluster_deadline(c)
 *
 * The head is the node named by `head`, else the best of those with guest images, else of all; the
 * best of several has the lowest MAC. It offers a membership as soon as it hears enough nodes. A node
 * that agrees to an offer agrees to no other until that one is withdrawn or its head falls silent.
 * When all have agreed the head starts them; it reports CLUSTER_UP, and its guest may run, only when
 * every node runs and hears every other.
 */
#ifndef NET_TRANSPORT_CLUSTER_H
#define NET_TRANSPORT_CLUSTER_H

#include "net/transport/clock.h"
#include "net/transport/frame.h"

#define CLUSTER_CANDIDATES 64 /* nodes of our name that are remembered while seeking */
#define CLUSTER_EVENTS     16
#define CLUSTER_TSC_PPM    10000 /* how far TSC frequencies may be apart */

enum cluster_reason {
	CLUSTER_FITS,
	CLUSTER_VERSION, /* another protocol version */
	CLUSTER_COUNT,   /* expects another number of nodes */
	CLUSTER_HEAD,    /* names another head */
	CLUSTER_FULL,    /* all nodes are there already */
	CLUSTER_FEATURE, /* a CPU feature is missing */
	CLUSTER_TSC,     /* no invariant TSC */
	CLUSTER_TSC_KHZ, /* TSC frequency too far off */
	CLUSTER_MAC,     /* two nodes with one MAC */
	CLUSTER_VENDOR,  /* a CPU of another vendor */
	CLUSTER_REASONS
};

enum cluster_state {
	CLUSTER_SEEKING,
	CLUSTER_OFFERING, /* head: waits until all accept */
	CLUSTER_JOINING,  /* accepted an offer, waits for the start */
	CLUSTER_STARTING, /* head: all accepted, waits until all run and hear each other */
	CLUSTER_RUNNING,
	CLUSTER_STOPPED,
};

struct cluster_config {
	char name[WIRE_NAME];
	uint8_t mac[WIRE_MAC];
	uint8_t head[WIRE_MAC]; /* zeros: not named */
	uint16_t nodes;         /* 1 to WIRE_NODES */
	uint16_t cpus;
	uint64_t ram;
	uint32_t tsc_khz;
	bool tsc_invariant, has_guest;
	uint32_t features[WIRE_FEATURES], needs[WIRE_FEATURES];
	uint64_t life;    /* random, never 0, drawn at each start */
	uint64_t beat_ns; /* between heartbeats */
	uint64_t lost_ns; /* silence after which a node is lost; several beats */
	/* The name of a CPU feature, or vendor, by word * 32 + bit, for sentences; may be NULL. */
	const char *(*feature_name)(unsigned bit);
};

struct cluster_member {
	uint8_t mac[WIRE_MAC];
	uint16_t cpus;
	uint64_t life, ram;
	uint64_t heard;          /* last sign of life */
	uint64_t rx_sent, rx_at; /* of its last beat: its clock, ours */
	uint32_t alive;          /* whom it hears, as its last beat says */
	bool accepted, beaten;
	struct clock_peer clock;
};

struct cluster_candidate {
	struct wire_hello hello;
	uint8_t mac[WIRE_MAC];
	uint8_t version;
	bool used, refuse_due;
	uint64_t first, heard;
	enum cluster_reason told; /* the reason reported last */
	char detail[WIRE_TEXT];   /* its sentence */
};

enum cluster_event_kind {
	CLUSTER_UP, /* the membership stands; `node` is our number */
	CLUSTER_LOST, /* `node` is lost, or stopped, and the cluster with it; `text` says what happened */
	CLUSTER_REFUSED, /* this node may not join and has stopped; `text` says why */
	CLUSTER_REFUSES, /* another node was refused; `text` says why */
	CLUSTER_NOTE,    /* something a person may want to see in the log */
};

struct cluster_event {
	enum cluster_event_kind kind;
	uint16_t node;
	char text[320];
};

struct cluster {
	struct cluster_config config;
	enum cluster_state state;
	bool up; /* CLUSTER_UP was reported */
	/* The membership offered, accepted or running. */
	uint64_t epoch;
	uint16_t self, head, count;
	uint32_t tsc_khz;
	uint32_t features[WIRE_FEATURES];
	struct cluster_member members[WIRE_NODES];
	struct cluster_candidate candidates[CLUSTER_CANDIDATES];
	/* Frames that are due, and when they are due again. */
	uint64_t hello_at, hello_wait, vote_at, beat_at;
	uint64_t silent_at; /* nobody's silence is too long before */
	uint32_t offer_due, start_due, abort_due, beat_due, answer_due; /* bit n: to member n */
	bool hello_due, accept_due,
		refuse_due; /* refuse_due: some candidate may have its own set */
	unsigned lost_due;  /* times LOST is still to be sent */
	uint16_t lost_node;
	char lost_text[WIRE_TEXT];
	unsigned stop_due; /* the same for STOP */
	char stop_text[WIRE_WHY];
	uint64_t abort_epoch;
	uint8_t abort_macs[WIRE_NODES][WIRE_MAC];
	struct cluster_event events[CLUSTER_EVENTS];
	unsigned event_first, event_count;
	unsigned told; /* sentences about nodes that are no members; see CLUSTER_TOLD_MAX */
	uint64_t damaged, foreign, dropped_events, offers;
};

void cluster_init(struct cluster *c, const struct cluster_config *config, uint64_t now);
void cluster_rx(struct cluster *c, uint64_t now, const void *frame, size_t len);
bool cluster_poll(struct cluster *c, struct cluster_event *event);
/* Builds the next frame that is due into `buf` of at least WIRE_ETH + WIRE_MTU bytes; 0: none. */
size_t cluster_tx(struct cluster *c, uint64_t now, void *buf);
/* When to come back if no frame comes before; 0 while an event waits to be polled. */
uint64_t cluster_deadline(const struct cluster *c);

/*
 * Judges silence: `seen` is a time before which nothing came that was not given to cluster_rx() or
 * cluster_alive(), so to be called by who receives, when nothing waits. Sending judges nobody.
 */
void cluster_heard(struct cluster *c, uint64_t seen);

/*
 * Tells the others that this node stops for a reason of its own, `why`; cluster_tx() has the frames for that.
 */
void cluster_stop(struct cluster *c, const char *why);

/* Of a running member something came that only it can have sent; spares heartbeats that were lost. */
void cluster_alive(struct cluster *c, uint64_t now, unsigned node);

/* While the cluster forms: nodes that are here and fit, this one included. */
unsigned cluster_found(const struct cluster *c);

/* One line of text per member, the same on every node: number, MAC, CPUs, RAM, who is head. */
void cluster_describe(const struct cluster *c, unsigned node, char *buf, size_t size);

#endif
