#include "dsm/dsm_msg.h"

#include "hv/base/assert.h"
#include "hv/base/err.h"
#include "hv/base/string.h"

#define WIRE_MAGIC 0xd2 /* changes with every incompatible change of the protocol */

/* docs/coherence.md, "Messages"; all fields little-endian. */
struct wire {
	uint8_t magic, type, flags, zero;
	uint8_t requester[2], acks[2];
	uint8_t gfn[8];
	uint8_t version[6], waited[2];
} PACKED;

ASSERT_SIZE(struct wire, DSM_WIRE_BYTES);
ASSERT_OFFSET(struct wire, type, 1);
ASSERT_OFFSET(struct wire, requester, 4);
ASSERT_OFFSET(struct wire, acks, 6);
ASSERT_OFFSET(struct wire, gfn, 8);
ASSERT_OFFSET(struct wire, version, 16);
ASSERT_OFFSET(struct wire, waited, 22);

/* Flags each type may carry. */
static const uint8_t flags_allowed[DSM_MSG_TYPES] = {
	[DSM_REQ_WRITE] = DSM_F_HAVE,
	[DSM_DATA] = DSM_F_PAGE | DSM_F_ZERO,
	[DSM_GRANT] = DSM_F_PAGE | DSM_F_ZERO,
	[DSM_PUT] = DSM_F_PAGE,
};

static void put_le(uint8_t *p, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get_le(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

void dsm_msg_encode(const struct dsm_msg *m, uint8_t *out)
{
	struct wire w = {.magic = WIRE_MAGIC, .type = m->type, .flags = m->flags};

	put_le(w.requester, m->requester, 2);
	put_le(w.acks, m->acks, 2);
	put_le(w.gfn, m->gfn, 8);
	put_le(w.version, m->version, 6);
	put_le(w.waited, m->waited, 2);
	memcpy(out, &w, sizeof(w));
}

static bool flags_valid(uint8_t type, uint8_t flags)
{
	uint8_t payload = flags & (DSM_F_PAGE | DSM_F_ZERO);

	if (flags & ~flags_allowed[type] || payload == (DSM_F_PAGE | DSM_F_ZERO))
		return false;
	return type != DSM_DATA || payload;
}

int dsm_msg_decode(struct dsm_msg *m, const uint8_t *in, size_t len)
{
	struct wire w;

	if (len < sizeof(w))
		return ERR_INVALID;
	memcpy(&w, in, sizeof(w));
	if (w.magic != WIRE_MAGIC || w.zero || w.type >= DSM_MSG_TYPES ||
	    !flags_valid(w.type, w.flags))
		return ERR_INVALID;
	if (len != sizeof(w) + (w.flags & DSM_F_PAGE ? PAGE_SIZE : 0))
		return ERR_INVALID;
	*m = (struct dsm_msg){
		.type = w.type,
		.flags = w.flags,
		.requester = (uint16_t)get_le(w.requester, 2),
		.acks = (uint16_t)get_le(w.acks, 2),
		.gfn = get_le(w.gfn, 8),
		.version = get_le(w.version, 6),
		.waited = (uint16_t)get_le(w.waited, 2),
	};
	return 0;
}

const char *dsm_msg_name(uint8_t type)
{
	static const char *const names[DSM_MSG_TYPES] = {
		[DSM_REQ_READ] = "req-read", [DSM_REQ_WRITE] = "req-write",
		[DSM_FWD_READ] = "fwd-read", [DSM_FWD_WRITE] = "fwd-write",
		[DSM_INV] = "inv",           [DSM_ACK] = "ack",
		[DSM_DATA] = "data",         [DSM_GRANT] = "grant",
		[DSM_PUT] = "put",           [DSM_PUT_ACK] = "put-ack",
	};

	return type < DSM_MSG_TYPES ? names[type] : "?";
}
