/* An AF_PACKET port: frames in through a ring shared with the kernel (polled), out in batches. */
#ifndef TESTS_HOSTED_PORT_H
#define TESTS_HOSTED_PORT_H

#include <stddef.h>
#include <stdint.h>

#define PORT_FRAME 2048
#define PORT_BATCH 32

struct port {
	int fd, ifindex;
	uint8_t *ring;
	unsigned slots, next;
	unsigned queued;
	uint8_t out[PORT_BATCH][PORT_FRAME];
	size_t out_len[PORT_BATCH];
	uint64_t frames_in, frames_out;
};

/* Opens the interface; on failure prints why and ends the program. */
void port_open(struct port *p, const char *name, uint16_t ethertype);

/* The next frame, good until port_done; NULL when there is none. */
const uint8_t *port_peek(struct port *p, size_t *len);
void port_done(struct port *p);

/* A place for one frame; port_queue sends it with the next port_flush (or when the batch is full). */
uint8_t *port_room(struct port *p);
void port_queue(struct port *p, size_t len);
void port_flush(struct port *p);

#endif
