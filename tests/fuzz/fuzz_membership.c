/*
 * Cluster formation against any frames. Input: records of kind, sender, node number, length and body
 * bytes; heads are made right, and the epoch and life of the machine under test are put in when the
 * first byte's top bit asks for it. With the next bit, silence is judged then; with the one after,
 * the machine stops.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/transport/cluster.h"

static struct cluster c;

static void body_fix(uint8_t *body, size_t len, unsigned kind)
{
	struct wire_offer *o = (struct wire_offer *)body;
	struct wire_member *m = (struct wire_member *)(o + 1);

	if (kind == WIRE_HELLO && len >= WIRE_NAME)
		memcpy(body, "lab", 4);
	else if (kind == WIRE_REFUSE && len >= 8)
		memcpy(body, &c.config.life, 8);
	else if (kind == WIRE_OFFER && len >= sizeof(*o) + 2 * sizeof(*m)) {
		memcpy(m[1].mac, c.config.mac, WIRE_MAC);
		m[1].life = c.config.life;
		o->count = c.config.nodes;
	} else if (len >= 16 && kind > WIRE_OFFER) {
		memcpy(body, &c.epoch, 8);
		if (kind != WIRE_LOST)
			memcpy(body + 8, &c.members[body[8] % WIRE_NODES].life, 8);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t frame[WIRE_ETH + WIRE_MTU_MAX];
	struct wire_head *head = (struct wire_head *)(frame + WIRE_ETH);
	const struct cluster_config config = {.name = "lab",
					      .mac = {2, 0, 0, 0, 0, 2},
					      .nodes = 3,
					      .cpus = 1,
					      .tsc_khz = 1000,
					      .tsc_invariant = true,
					      .life = 77,
					      .beat_ns = 1000,
					      .lost_ns = 10000};
	uint64_t now = NS_PER_S;
	struct cluster_event e;

	cluster_init(&c, &config, now);
	while (size >= 5) {
		unsigned kind = WIRE_HELLO + (data[0] & 15) % 9, from = data[1] & 7;
		size_t len = MIN((size_t)(data[3] | (data[4] & 7) << 8), size - 5), total;
		uint8_t src[WIRE_MAC] = {2, 0, 0, 0, 0, (uint8_t)from}, *exact;

		memset(frame, 0, 64);
		head->kind = (uint8_t)kind;
		head->cluster = wire_cluster_hash("lab");
		head->src = data[2];
		memcpy(head + 1, data + 5, len);
		if (data[0] & 0x80)
			body_fix((uint8_t *)(head + 1), len, kind);
		total = wire_seal(frame, config.mac, src, len);
		exact = malloc(total);
		memcpy(exact, frame, total);
		cluster_rx(&c, now, exact, total);
		free(exact);
		while (cluster_poll(&c, &e)) {
			if (memchr(e.text, 0, sizeof(e.text)) == NULL)
				abort();
		}
		if (data[0] & 0x40)
			cluster_heard(&c, now);
		if (data[0] & 0x20)
			cluster_stop(&c, "the fuzzer says so");
		for (unsigned i = 0; cluster_tx(&c, now, frame); i++) {
			if (i > 1000)
				abort(); /* never stops sending */
		}
		now += data[4] * 16;
		data += 5 + len;
		size -= 5 + len;
	}
	return 0;
}
