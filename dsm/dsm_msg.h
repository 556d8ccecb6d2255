/* The engine's messages and how they lie on the wire. */
#ifndef DSM_DSM_MSG_H
#define DSM_DSM_MSG_H

#include "hv/base/compiler.h"

enum dsm_msg_type {
	DSM_REQ_READ,  /* requester to home */
	DSM_REQ_WRITE, /* requester to home; `version` of the copy it has, with DSM_F_HAVE */
	DSM_FWD_READ,  /* home to the node that has `version`: give `requester` a copy */
	DSM_FWD_WRITE, /* home to owner: give up `version`, grant `version` + 1 to `requester` */
	DSM_INV,       /* home to sharer: give up `version`, then acknowledge to `requester` */
	DSM_ACK,       /* sharer to requester: the copies before `version` are gone here */
	DSM_DATA,      /* a read copy of `version` */
	DSM_GRANT,     /* the right to write as `version`, once `acks` acknowledgements have come */
	DSM_PUT,       /* evicting node to home: its copy is gone; an owner sends the page along */
	DSM_PUT_ACK,   /* home to evicting node: nothing more will come about that copy */
	DSM_MSG_TYPES
};

#define DSM_F_HAVE 1u /* DSM_REQ_WRITE: the requester has a copy */
#define DSM_F_PAGE 2u /* 4 KiB travel with the message */
#define DSM_F_ZERO 4u /* the page was never written: it is all zeros */
#define DSM_F_ALL  7u

#define DSM_VERSION_MAX ((1ull << 48) - 1)

struct dsm_msg {
	uint8_t type, flags;
	uint16_t requester;
	uint16_t acks;
	/* DSM_DATA, DSM_GRANT, DSM_ACK: how long the holder kept the order, see dsm_waited() */
	uint16_t waited;
	gfn_t gfn;
	/*
	 * At most DSM_VERSION_MAX, 48 bits on the wire; never wraps: 2^48 writes of a page are 89 years of
	 * one every 10 us.
	 */
	uint64_t version;
};

/* Latency class: messages of one class between two nodes arrive in order, exactly once. */
enum dsm_class { DSM_URGENT, DSM_BULK };

static inline enum dsm_class dsm_msg_class(const struct dsm_msg *m)
{
	return m->flags & DSM_F_PAGE ? DSM_BULK : DSM_URGENT;
}

/* A time as dsm_msg.waited says it: in units of 1024 ns; DSM_WAITED_LONG for 67 ms and more. */
#define DSM_WAITED_LONG 0xffffu
static inline uint16_t dsm_waited(uint64_t ns)
{
	return (uint16_t)MIN(ns >> 10, (uint64_t)DSM_WAITED_LONG);
}

static inline uint64_t dsm_waited_ns(uint16_t waited)
{
	return (uint64_t)waited << 10;
}

#define DSM_WIRE_BYTES 24u

/* Writes DSM_WIRE_BYTES bytes; the page, if any, follows them on the wire. */
void dsm_msg_encode(const struct dsm_msg *m, uint8_t *out);

/*
 * Reads `len` bytes as received, page included. Returns 0, or ERR_INVALID when they are not exactly
 * one message of this protocol version; what a message means is checked by dsm_step.
 */
int dsm_msg_decode(struct dsm_msg *m, const uint8_t *in, size_t len) MUST_CHECK;

const char *dsm_msg_name(uint8_t type);

#endif
