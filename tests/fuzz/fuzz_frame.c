/*
 * The transport against any frames. Input: records of a length byte pair and frame bytes; the checksum
 * is made right in three of four, so that what lies behind it is reached too, and the session ids of
 * the transport under test are put in where the frame asks for them.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/transport/xport.h"

#define POOL 8

static struct xport x;
static struct xport_peer peers[2];
static struct xport_buf pool[POOL];

static void fix(uint8_t *frame, size_t len, unsigned how)
{
	static const uint8_t macs[2 * WIRE_MAC] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
	struct wire_head *head = (struct wire_head *)(frame + WIRE_ETH);

	if (how == 0 || len < WIRE_ETH + sizeof(*head))
		return;
	head->cluster = 7;
	head->src = 1;
	head->dst = 0;
	head->kind = (uint8_t)(head->kind % 6);
	if (how >= 2) {
		head->src_id = peers[1].remote_id ? peers[1].remote_id : 5;
		head->dst_id =
			how == 3 && peers[1].next_local ? peers[1].next_local : peers[1].local_id;
	}
	wire_seal(frame, macs, macs + WIRE_MAC, len - WIRE_ETH - sizeof(*head));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t frame[WIRE_ETH + WIRE_MTU_MAX], out[WIRE_ETH + WIRE_MTU_MAX];
	const struct xport_config config = {
		.mac = {2, 0, 0, 0, 0, 1}, .mtu = 4400, .cluster = 7, .seed = 3};
	static const uint8_t mac[WIRE_MAC] = {2, 0, 0, 0, 0, 2};
	uint64_t now = NS_PER_S;
	struct xport_event e;

	xport_init(&x, &config, peers, 2, pool, POOL);
	xport_open(&x, now, 1, mac);
	while (size >= 2) {
		size_t len = (data[0] | data[1] << 8) & 0x3fff;
		unsigned how = data[1] >> 6;
		struct xport_part part = {data, MIN(size, (size_t)WIRE_MSG_MAX)};

		data += 2;
		size -= 2;
		len = MIN(MIN(len, size), sizeof(frame));
		memcpy(frame, data, len);
		memset(frame + len, 0, 64);
		fix(frame, len, how);
		/* On the heap, so that a read behind the frame is seen. */
		uint8_t *exact = malloc(len ? len : 1);

		memcpy(exact, frame, len);
		xport_rx(&x, now, exact, len);
		while (xport_poll(&x, now, &e)) {
			if (e.kind == XPORT_MSG && (e.len == 0 || e.len > WIRE_MSG_MAX))
				abort();
		}
		free(exact);
		if (xport_send(&x, now, 1, len & 1, &part, 1) == ERR_NOTFOUND)
			abort();
		for (unsigned i = 0; i < 200 && xport_tx(&x, now, out); i++)
			;
		if (x.pool_free > POOL)
			abort();
		now += 1 + (uint64_t)len * 10000;
		data += len;
		size -= len;
	}
	return 0;
}
