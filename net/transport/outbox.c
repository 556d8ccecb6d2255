#include "net/transport/outbox.h"

#include "hv/base/string.h"

#define LENGTH 2u /* bytes in front of each message in its ring */

STATIC_ASSERT(OUTBOX_BYTES(0) == LENGTH && WIRE_MSG_MAX <= UINT16_MAX, "a length fits");
STATIC_ASSERT(WIRE_NODES <= 32, "a set of nodes is a word");

size_t outbox_memory(const struct outbox_config *config)
{
	size_t each = 0;

	for (unsigned c = 0; c < WIRE_CHANNELS; c++)
		each += config->bytes[c];
	return config->peers * each;
}

void outbox_init(struct outbox *o, const struct outbox_config *config, void *mem)
{
	uint8_t *at = mem;

	ASSERT(config->peers >= 1 && config->peers <= WIRE_NODES);
	memset(o, 0, sizeof(*o));
	o->config = *config;
	for (unsigned c = 0; c < WIRE_CHANNELS; c++) {
		ASSERT(config->owed[c] <= config->bytes[c]);
		for (unsigned n = 0; n < config->peers; n++, at += config->bytes[c])
			o->queues[n][c].ring = at;
	}
}

bool outbox_room(const struct outbox *o, unsigned node, enum wire_channel channel,
		 enum outbox_sender sender, size_t len)
{
	uint32_t most = o->config.bytes[channel];

	if (sender == OUTBOX_WAITS)
		most -= o->config.owed[channel];
	return o->queues[node][channel].used + OUTBOX_BYTES(len) <= most;
}

static void put(struct outbox_queue *q, uint32_t size, const void *data, size_t len)
{
	uint32_t at = (q->first + q->used) % size;
	size_t part = MIN(len, (size_t)(size - at));

	memcpy(q->ring + at, data, part);
	memcpy(q->ring, (const uint8_t *)data + part, len - part);
	q->used += (uint32_t)len;
}

static void keep(struct outbox *o, unsigned node, enum wire_channel channel,
		 const struct xport_part *parts, unsigned count, size_t len)
{
	struct outbox_queue *q = &o->queues[node][channel];
	uint32_t size = o->config.bytes[channel];
	uint16_t length = (uint16_t)len;

	if (q->used == 0)
		q->first = 0; /* the ring's start is what the caches know */
	put(q, size, &length, sizeof(length));
	for (unsigned i = 0; i < count; i++)
		put(q, size, parts[i].data, parts[i].len);
	q->most = MAX(q->most, q->used);
	o->waiting[channel] |= (uint32_t)BIT(node);
	o->kept++;
}

int outbox_send(struct outbox *o, unsigned node, enum wire_channel channel,
		enum outbox_sender sender, const struct xport_part *parts, unsigned count)
{
	size_t len = 0;
	int err = ERR_BUSY;

	ASSERT(node < o->config.peers && channel < WIRE_CHANNELS);
	for (unsigned i = 0; i < count; i++)
		len += parts[i].len;
	if (len == 0 || len > WIRE_MSG_MAX)
		return ERR_RANGE;
	if (o->queues[node][channel].used == 0)
		err = o->config.send(o->config.ctx, node, channel, parts, count);
	if (err != ERR_BUSY)
		return err;
	if (outbox_room(o, node, channel, sender, len)) {
		keep(o, node, channel, parts, count, len);
		return 0;
	}
	o->refused++;
	return sender == OUTBOX_WAITS ? ERR_BUSY : ERR_NOMEM;
}

/* The oldest message, `len` bytes, in one part or, where it goes round the ring's end, in two. */
static unsigned oldest(const struct outbox_queue *q, uint32_t size, uint16_t *len,
		       struct xport_part parts[2])
{
	uint32_t at = (q->first + LENGTH) % size;

	*len = (uint16_t)(q->ring[q->first] | q->ring[(q->first + 1) % size] << 8);
	parts[0] = (struct xport_part){q->ring + at, MIN((uint32_t)*len, size - at)};
	parts[1] = (struct xport_part){q->ring, *len - parts[0].len};
	return parts[1].len > 0 ? 2 : 1;
}

static void flush_queue(struct outbox *o, unsigned node, enum wire_channel channel)
{
	struct outbox_queue *q = &o->queues[node][channel];
	uint32_t size = o->config.bytes[channel];
	struct xport_part parts[2];
	uint16_t len;

	while (q->used > 0) {
		unsigned count = oldest(q, size, &len, parts);

		/* A peer that is gone takes what waits for it along. */
		if (o->config.send(o->config.ctx, node, channel, parts, count) == ERR_BUSY)
			return;
		q->first = (q->first + OUTBOX_BYTES(len)) % size;
		q->used -= OUTBOX_BYTES(len);
	}
	o->waiting[channel] &= ~(uint32_t)BIT(node);
}

void outbox_flush(struct outbox *o)
{
	for (unsigned c = 0; c < WIRE_CHANNELS; c++) {
		for (uint32_t set = o->waiting[c]; set; set &= set - 1)
			flush_queue(o, bit_lowest(set), (enum wire_channel)c);
	}
}

bool outbox_idle(const struct outbox *o)
{
	return (o->waiting[WIRE_URGENT] | o->waiting[WIRE_BULK]) == 0;
}
