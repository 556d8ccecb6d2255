/*
 * The wire's self-test, for real and emulated networks: every node sends every other one a number of
 * messages of known content over both channels, and checks what it gets: each once, in order, whole.
 * Who is through with all tells all with one more urgent message, so that no node leaves while others
 * still need it.
 */
#ifndef NET_TRANSPORT_SELFTEST_H
#define NET_TRANSPORT_SELFTEST_H

#include "net/transport/xport.h"

struct selftest_peer {
	uint32_t sent[WIRE_CHANNELS], got[WIRE_CHANNELS];
	bool told, through;
};

struct selftest {
	uint32_t messages; /* per peer and direction */
	unsigned self, count;
	uint64_t started;
	uint64_t exchanged; /* everything was sent, acknowledged and received here; 0: not yet */
	uint64_t finished;  /* and on every other node; 0: not yet */
	uint64_t bytes_in;
	uint64_t wrong; /* messages that were not what they should be */
	char first_wrong[120];
	struct selftest_peer peers[WIRE_NODES];
};

void selftest_init(struct selftest *t, unsigned self, unsigned count, uint32_t messages,
		   uint64_t now);
/* Takes one message, or a session's end, which is wrong here. */
void selftest_event(struct selftest *t, const struct xport_event *event);
/* Queues as much as there is room for; call it after each batch of received frames. */
void selftest_run(struct selftest *t, struct xport *x, uint64_t now);
/* One sentence about the result so far. */
void selftest_describe(const struct selftest *t, char *buf, size_t size);

#endif
