/* What hv/dev has below it: serial ports of the host's, and the node's network. */
#ifndef TESTS_HOST_DEV_DOUBLE_H
#define TESTS_HOST_DEV_DOUBLE_H

#include "hv/dev/lan.h"

#define DOUBLE_PORTS  2 /* ports 1 and 2 answer, no others */
#define DOUBLE_FRAMES 64
#define DOUBLE_FRAME  4500

/* A terminal at a port: what is typed there and not yet read, and what was printed. */
struct double_port {
	uint8_t typed[4096], printed[4096];
	size_t typed_count, typed_read, printed_count;
	size_t room; /* bytes that the transmitter takes before it is full */
};

extern struct double_port double_ports[DOUBLE_PORTS + 1];

void double_ports_reset(void);
void double_type(unsigned port, const char *text);

/* A network whose frames go nowhere but here. */
struct double_lan {
	struct lan lan;
	uint64_t now, step; /* the clock goes on by `step` at each look */
	unsigned wakes;
	bool full; /* takes no frames */
	struct {
		size_t len;
		uint8_t bytes[DOUBLE_FRAME];
	} sent[DOUBLE_FRAMES];
	unsigned sent_count;
	uint8_t added_mac[6];
	/* who taps it */
	bool (*fn)(void *owner, const void *frame, size_t len);
	void *owner;
	/* called by lan.poll; may be NULL */
	void (*on_poll)(void);
};

/* Static, and as new. One at a time: the clock has no context. */
struct double_lan *double_lan_reset(void);

#endif
