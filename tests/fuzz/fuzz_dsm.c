/*
 * The engine against peers that say anything: node 0 of 3, home of every third page, gets messages,
 * faults, releases, flushes and ticks in any order. It may stop; it may not break its own assertions.
 * Input: records of 8 bytes; a first byte of 0xff hands the rest to the wire decoder.
 */
#include <stdint.h>
#include <stdlib.h>

#include "dsm/dsm.h"

#define PAGES 6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void event(struct dsm *d, struct dsm_actions *out, const uint8_t *b, uint64_t now)
{
	struct dsm_event in = {.kind = (enum dsm_event_kind)(b[0] % 6),
			       .access = (enum dsm_access)(b[1] % 3),
			       .agent = b[1] >> 4 & 1,
			       .peer = 1 + (b[2] & 1),
			       .gfn = b[3] % PAGES,
			       .cookie = b[4] & 3,
			       .now_ns = now};

	in.msg = (struct dsm_msg){.type = b[4] % DSM_MSG_TYPES,
				  .flags = b[5] & DSM_F_ALL,
				  .requester = b[6] & 3,
				  .acks = b[6] >> 2 & 3,
				  .gfn = b[3] % PAGES,
				  .version = b[7] & 3};
	if (in.kind == DSM_EV_PEER_LOST && b[7])
		in.kind = DSM_EV_MESSAGE;
	dsm_step(d, &in, out);
}

/* Holds that are kept, guesses and pages asked for ahead, as a node has them. */
static void all_there_is(struct dsm_config *cfg)
{
	cfg->kept_max = 2;
	cfg->guesses = 4;
	cfg->guess_from = 2;
	cfg->ahead_max = 2;
	cfg->ahead_from = 1;
	cfg->ahead_shift = 4;
	cfg->cache_frames = 11 + PAGES;
	cfg->frames = (PAGES + 2) / 3 + 10;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t slots[] = {0, 1, 2};
	static struct dsm_action list[512];
	static _Alignas(16) uint8_t mem[1 << 16];
	struct dsm_config cfg = {.nodes = 3,
				 .agents = 2,
				 .peer_agents = 2,
				 .set_max = 2,
				 .gfns = PAGES,
				 .slot_count = 3,
				 .slots = slots,
				 .cache_frames = 5,
				 .cache_reserve = 1,
				 .hold_ns = 10,
				 .hold_max_ns = 100,
				 .hold_fetches = 8,
				 .heat_sets = 1};
	struct dsm_actions out = {.list = list};
	struct dsm_msg m;
	struct dsm *d;

	if (size && data[0] == 0xff) {
		uint8_t again[DSM_WIRE_BYTES];

		if (dsm_msg_decode(&m, data + 1, size - 1) == 0) {
			dsm_msg_encode(&m, again);
			for (unsigned i = 0; i < DSM_WIRE_BYTES; i++) {
				if (again[i] != data[1 + i])
					abort();
			}
		}
		return 0;
	}
	if (size && data[0] & 0x80)
		all_there_is(&cfg);
	/* What the node sets aside for the actions of one step: never are there more. */
	out.room = dsm_actions_max(&cfg);
	if (out.room > ARRAY_LEN(list))
		abort();
	if (dsm_size(&cfg, NULL) == 0 || dsm_size(&cfg, NULL) > sizeof(mem))
		abort();
	d = dsm_init(mem, &cfg);
	for (size_t at = 0; at + 8 <= size; at += 8)
		event(d, &out, data + at, at);
	return 0;
}
