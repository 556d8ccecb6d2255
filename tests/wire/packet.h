/* Raw Ethernet frames of one type over a Linux interface (packet(7)): the hosted build's NIC. */
#ifndef TESTS_WIRE_PACKET_H
#define TESTS_WIRE_PACKET_H

#include "hv/base/compiler.h"

struct packet {
	int fd;
	uint8_t mac[6];
	uint16_t mtu;
};

#define PACKET_ALL 0x0003 /* every type, and frames for other stations too (promiscuous) */

/* Exits with a sentence when it can't. */
void packet_open(struct packet *p, const char *interface, uint16_t type);
/* Returns the frame's length, 0 when none waits. */
size_t packet_recv(struct packet *p, void *buf, size_t size);
/* False when the interface's queue is full. */
bool packet_send(struct packet *p, const void *frame, size_t len);
/* Waits for a frame, at most until `deadline` on packet_now's clock. */
void packet_wait(struct packet *p, uint64_t deadline);
uint64_t packet_now(void); /* ns, monotonic */

#endif
