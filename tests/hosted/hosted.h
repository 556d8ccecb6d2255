/*
 * The engine and the transport in a Linux process: guest memory is a range whose page protection
 * stands for nested paging, a guest's access is an access, a fault a SIGSEGV. One process has one end
 * of a veth pair and any number of nodes; frames between nodes of one process are handed over in
 * memory, all others go over the wire.
 */
#ifndef TESTS_HOSTED_HOSTED_H
#define TESTS_HOSTED_HOSTED_H

#include "dsm/dsm.h"
#include "net/transport/xport.h"
#include "tests/hosted/port.h"

#define HOSTED_NODES 18
#define HOSTED_HOME  1 /* of all pages */
#define HOSTED_PAGES 2048u

struct hosted_wait {
	struct hosted_wait *next;
	uint16_t to;
	uint8_t channel;
	size_t len;
	uint8_t bytes[DSM_WIRE_BYTES + PAGE_SIZE];
};

struct hosted_node {
	uint16_t number;
	bool here; /* in this process */
	struct dsm *dsm;
	uint8_t *guest; /* as the guest may reach it now */
	uint8_t *alias; /* as the engine reaches it */
	gfn_t *frame_gfn;
	struct xport x;
	struct xport_peer *peers;
	struct xport_buf *pool;
	unsigned up;
	bool resumed, faulted;
	struct hosted_wait *waiting, **waiting_end;
	struct dsm_actions out;
};

struct hosted {
	struct hosted_node node[HOSTED_NODES];
	struct port port;
	unsigned first, last; /* this process's nodes */
	uint64_t now;         /* read once for all that is done about a frame or a fault */
	uint64_t dirty;       /* bit n: node n has had an event and may have frames to send */
	uint64_t due[HOSTED_NODES], next_due; /* deadlines, and the first of them */
};

extern struct hosted hosted;

uint64_t hosted_now(void);

/* In each process: its end of the wire, its nodes first..last. */
void hosted_start(const char *interface, unsigned first, unsigned last);

/* Serves the network once. */
void hosted_poll(void);

/* The guest of `node` touches a page; returns the 64-bit word there after a write of `value`. */
uint64_t hosted_touch(unsigned node, gfn_t gfn, bool write, uint64_t value);

/* Engine messages the nodes of this process have sent so far, and how many carried a page. */
void hosted_messages(uint64_t *messages, uint64_t *pages);

/* True when every node of this process has a session with every other node. */
bool hosted_all_up(void);

#endif
