#include "hv/cluster/parts.h"
#include "guest/layout.h"
#include "hv/cluster/nodemsg.h"
#include "net/pages/pagewire.h"

#define STRIPE_SHIFT 4 /* 64 KiB go to one home */
#define GUESSES      4096
#define GUESS_FROM   2
#define AHEAD_FROM   2
#define AHEAD_SHIFT  4
#define HEAT_SETS    256

/* Time for one instruction, entry and exit included; emulators of CPUs are slow. */
#define HOLD_NS      (50 * NS_PER_US)
#define HOLD_MAX_NS  (20 * NS_PER_MS)
#define HOLD_FETCHES 8

/* A message without a page, but for those of a machine's life, and one with. */
#define SMALL_BYTES OUTBOX_BYTES(sizeof(struct node_head) + sizeof(struct node_io))
#define PAGE_BYTES  OUTBOX_BYTES(sizeof(struct node_head) + DSM_WIRE_BYTES + PAGE_SIZE)
#define LIFE_BYTES  (4 * OUTBOX_BYTES(sizeof(struct node_head) + sizeof(struct node_stopped)))
/* Messages of vCPUs that wait for one peer before the vCPUs do. */
#define POSTS       64

STATIC_ASSERT(DSM_WIRE_BYTES <= sizeof(struct node_io), "the engine's messages are small ones");

#define NODE_SPARE  MIB(8)   /* the log, what is not counted one by one */
#define CPU_SPARE   KIB(512) /* of each: control structures, copies of page tables */
#define ENTRY_BYTES 8        /* of a nested page table, for each page */
#define ENGINE_MOST MIB(512) /* it lies in one block, and free RAM in pieces */

STATIC_ASSERT(LAYOUT_VGA_HOLE % (PAGE_SIZE << AHEAD_SHIFT) == 0, "pages asked for ahead end there");
STATIC_ASSERT(LAYOUT_DEVICE_HOLE % (PAGE_SIZE << AHEAD_SHIFT) == 0, "and there");

const struct share_config share_usual = {
	.set_max = 12,
	.kept_max = 8,
	.ahead_max = 16,
	.cache_min = 1024,
	.cache_max = UINT32_MAX,
	.reserve_max = 64,
	.hold_ns = HOLD_NS,
};

/* Homes in proportion to what the nodes have: each stands in the table up to PARTS_SLOTS_EACH times. */
static uint32_t make_slots(const struct parts *p, uint16_t slots[PARTS_SLOTS])
{
	uint64_t most = 1;
	uint32_t count = 0;

	for (unsigned i = 0; i < p->count; i++)
		most = MAX(most, p->node[i].ram);
	for (unsigned turn = 0; turn < PARTS_SLOTS_EACH; turn++)
		for (unsigned i = 0; i < p->count; i++)
			if (turn == 0 || p->node[i].ram * PARTS_SLOTS_EACH / most > turn)
				slots[count++] = (uint16_t)i;
	return count;
}

void parts_config(const struct parts *p, unsigned self, uint64_t ram_bytes,
		  uint16_t slots[PARTS_SLOTS], struct dsm_config *c)
{
	uint32_t cache;

	*c = (struct dsm_config){
		.nodes = (uint16_t)p->count,
		.self = (uint16_t)self,
		.agents = (uint16_t)(p->node[self].cpus * SHARE_AGENTS),
		.peer_agents = (uint16_t)(p->most_cpus * SHARE_AGENTS),
		.set_max = p->sizes->set_max,
		.kept_max = p->sizes->kept_max,
		.gfns = layout_ram_end(ram_bytes) >> PAGE_SHIFT,
		.stripe_shift = STRIPE_SHIFT,
		.slot_count = make_slots(p, slots),
		.slots = slots,
		.hold_ns = p->sizes->hold_ns,
		.hold_max_ns = HOLD_MAX_NS,
		.hold_fetches = HOLD_FETCHES,
		.guesses = GUESSES,
		.guess_from = GUESS_FROM,
		.ahead_max = p->sizes->ahead_max,
		.ahead_from = AHEAD_FROM,
		.ahead_shift = AHEAD_SHIFT,
		.heat_sets = HEAT_SETS,
	};
	cache = MAX(p->sizes->cache_min, dsm_copies_least(c) + 1);
	c->cache_frames = cache;
	c->cache_reserve = MIN(cache / 16, p->sizes->reserve_max);
	c->frames = parts_homed(c, ram_bytes) + cache;
}

/* Of the first so many pages of guest addresses those homed at c->self, in whole stripes. */
static uint64_t homed_below(const struct dsm_config *c, uint64_t gfns)
{
	uint64_t stripes = (gfns + BIT(c->stripe_shift) - 1) >> c->stripe_shift, own = 0;
	uint64_t rounds = stripes / c->slot_count, rest = stripes % c->slot_count;

	for (uint32_t i = 0; i < c->slot_count; i++)
		own += c->slots[i] == c->self ? rounds + (i < rest) : 0;
	return own << c->stripe_shift;
}

/* What is homed in the hole below 4 GiB never has a frame. */
uint64_t parts_homed(const struct dsm_config *c, uint64_t ram_bytes)
{
	uint64_t low = homed_below(c, layout_ram_low(ram_bytes) >> PAGE_SHIFT);

	if (!layout_ram_above(ram_bytes))
		return low;
	return low + homed_below(c, c->gfns) - homed_below(c, LAYOUT_RAM_ABOVE >> PAGE_SHIFT);
}

uint64_t parts_memory(const struct parts *p, const struct dsm_config *c, uint64_t ram_bytes)
{
	struct why why;
	uint64_t pages = ram_bytes >> PAGE_SHIFT;
	uint64_t engine = dsm_size(c, &why) + dsm_actions_max(c) * sizeof(struct dsm_action);
	uint64_t table =
		(homed_below(c, c->gfns) + BIT(c->stripe_shift) * c->slot_count + c->cache_frames) *
		sizeof(hpa_t);

	return engine + table + c->frames * PAGE_SIZE + pages * ENTRY_BYTES + NODE_SPARE +
	       p->node[c->self].cpus * CPU_SPARE;
}

static bool tables_fit(const struct parts *p, const struct dsm_config *c, uint64_t ram_bytes,
		       uint64_t cache, uint64_t most)
{
	struct dsm_config with = *c;
	struct why why;

	with.cache_frames = (uint32_t)cache;
	return dsm_size(&with, &why) <= ENGINE_MOST && parts_memory(p, &with, ram_bytes) <= most;
}

/*
 * Each copy takes its entries in tables for good, and a frame. Frames that homed pages don't need yet are
 * there; of what is over half at most goes into tables, so that something is left when they need them.
 */
void parts_cache(const struct parts *p, struct dsm_config *c, uint64_t ram_bytes, uint64_t free)
{
	uint64_t homed = parts_homed(c, ram_bytes), least = c->cache_frames;
	uint64_t needed = parts_memory(p, c, ram_bytes), over = free - needed;
	uint64_t low = least, high = MIN((ram_bytes >> PAGE_SHIFT) - homed, p->sizes->cache_max);

	high = MIN(high, c->frames + over / PAGE_SIZE);
	while (low < high) {
		uint64_t middle = (low + high + 1) / 2;

		if (tables_fit(p, c, ram_bytes, middle, needed + over / 2))
			low = middle;
		else
			high = middle - 1;
	}
	c->cache_frames = (uint32_t)low;
	over = free - parts_memory(p, c, ram_bytes);
	c->frames += MIN(over / PAGE_SIZE, low - least);
	c->cache_reserve = (uint32_t)MIN((c->frames - homed) / 16, p->sizes->reserve_max);
}

/*
 * What is owed to one peer: each of its open requests and of ours with it, what a home says to one of many
 * for each request that any node has open and what it acknowledges, pages given back and the words for that,
 * answers to its vCPUs. A few for the machine's life.
 */
struct outbox_config parts_outbox(const struct parts *p)
{
	unsigned requests = p->most_cpus * SHARE_AGENTS + p->sizes->ahead_max;
	unsigned puts = p->sizes->reserve_max;
	unsigned small = (2 * p->count + 2) * requests + 2 * puts + 2 * p->most_cpus;
	struct outbox_config c = {
		.peers = p->count,
		.owed = {[WIRE_URGENT] = small * SMALL_BYTES + LIFE_BYTES,
			 [WIRE_BULK] = (requests + puts) * PAGE_BYTES},
	};

	c.bytes[WIRE_URGENT] = c.owed[WIRE_URGENT] + POSTS * SMALL_BYTES;
	c.bytes[WIRE_BULK] = c.owed[WIRE_BULK];
	return c;
}

uint64_t parts_link_memory(const struct parts *p)
{
	const struct outbox_config c = parts_outbox(p);

	return outbox_memory(&c) + (p->count - 1) * PAGEWIRE_BYTES;
}

static uint64_t node_needs(const struct parts *p, unsigned node, uint64_t ram_bytes)
{
	uint16_t slots[PARTS_SLOTS];
	struct dsm_config c;

	parts_config(p, node, ram_bytes, slots, &c);
	return parts_memory(p, &c, ram_bytes) + parts_link_memory(p);
}

/* A sixteenth is left for copies of the others' pages. */
static bool fits(const struct parts *p, uint64_t ram_bytes)
{
	for (unsigned i = 0; i < p->count; i++)
		if (node_needs(p, i, ram_bytes) > p->node[i].ram / 16 * 15)
			return false;
	return true;
}

uint64_t parts_most(const struct parts *p)
{
	uint64_t low = 0, high = PARTS_GUEST_MOST / PARTS_GUEST_UNITS;

	while (low < high) {
		uint64_t middle = (low + high + 1) / 2;

		if (fits(p, middle * PARTS_GUEST_UNITS))
			low = middle;
		else
			high = middle - 1;
	}
	return low * PARTS_GUEST_UNITS;
}

int parts_check(const struct parts *p, uint64_t ram_bytes, struct why *why)
{
	for (unsigned i = 0; i < p->count; i++) {
		uint64_t needs = node_needs(p, i, ram_bytes);

		if (needs > p->node[i].ram)
			return why_set(why, ERR_NOMEM,
				       "too little RAM: of a guest with %llu MiB node %u "
				       "has to give %llu MiB, tables included, "
				       "and it has %llu MiB free; ask for less (mem=) or add RAM",
				       (unsigned long long)(ram_bytes >> 20), i,
				       (unsigned long long)(needs >> 20) + 1,
				       (unsigned long long)(p->node[i].ram >> 20));
	}
	return 0;
}
