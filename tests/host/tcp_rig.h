/*
 * IP on a fake card, and TCP connections to the status console made by hand, frame by frame: what an
 * unfriendly reader does. One stack per program, as lwIP is.
 */
#ifndef TESTS_HOST_TCP_RIG_H
#define TESTS_HOST_TCP_RIG_H

#include "net/ip/netip.h"
#include "tests/host/fake_nic.h"

#define RIG_ENDS 16
#define RIG_FIN  0x01
#define RIG_SYN  0x02
#define RIG_RST  0x04
#define RIG_ACK  0x10

/* Our end of one connection, as far as we have looked. */
struct tcp_end {
	uint16_t port;         /* ours; another for each connection */
	uint32_t ours, theirs; /* next sequence numbers */
	bool open, fin, rst;   /* they have accepted, closed, reset it */
	size_t len;
	char text[NETIP_STATUS + 1];
};

extern struct tcp_end tcp_ends[RIG_ENDS];
extern struct netip *tcp_rig_stack;
extern uint64_t tcp_rig_now;
extern unsigned tcp_rig_texts; /* status texts that were asked for */

/* Starts the stack; its status text is `status` bytes long. */
void tcp_rig_start(size_t status);
/* Lets time pass, in steps that no timer of lwIP's is too fine for. */
void tcp_rig_wait(uint64_t ns);

/* Received frames that the stack has not given back to the card. */
unsigned tcp_rig_held(void);

/* A frame to us, of at least its Ethernet header; its type stays as it is. */
void tcp_rig_frame(const void *frame, size_t len);

/*
 * Sends one segment on connection `n`, `shift` beside what is right in sequence and acknowledgement numbers,
 * with `len` bytes of payload; whatever comes back has been taken when it returns.
 */
void end_send(unsigned n, unsigned flags, unsigned window, size_t len, int32_t shift);
/* A fresh connection as far as to its first byte; false when it was refused. */
bool end_connect(unsigned n, unsigned window);
/* Acknowledges until the other end has closed, or `turns` are over. */
void end_read(unsigned n, unsigned window, unsigned turns);

#endif
