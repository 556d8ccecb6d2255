#include "tests/host/cluster_lab.h"

#include <string.h>

#include "tests/wire/version.h"

#define FLYING 2048

uint64_t seed_now;
uint64_t lab_rng_state;

uint64_t lab_rng(uint64_t below)
{
	uint64_t z = (lab_rng_state += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	z ^= z >> 31;
	return below ? z % below : 0;
}

struct flying {
	uint64_t at;
	unsigned from, to, len;
	uint8_t bytes[WIRE_ETH + WIRE_MTU];
};

struct node nodes[NODES];
unsigned node_count;
static struct flying air[FLYING];
static unsigned air_len;
uint64_t now;
struct lab_faults lab_faults;

void lab_reset(uint64_t seed)
{
	seed_now = seed;
	lab_rng_state = seed;
	memset(nodes, 0, sizeof(nodes));
	memset(&lab_faults, 0, sizeof(lab_faults));
	lab_faults.latency = 100 * NS_PER_US;
	node_count = air_len = 0;
	now = NS_PER_S;
}

struct node *lab_node(unsigned expected)
{
	struct node *n = &nodes[node_count++];

	n->config = (struct cluster_config){.name = "lab",
					    .nodes = (uint16_t)expected,
					    .cpus = 2,
					    .ram = MIB(512),
					    .tsc_khz = 2000000,
					    .tsc_invariant = true,
					    .features = {0xff, 0xf0},
					    .needs = {1},
					    .beat_ns = BEAT,
					    .lost_ns = LOST};
	n->config.mac[0] = 2;
	n->config.mac[5] = (uint8_t)(node_count * 3);
	n->start_at = now;
	n->stop_at = NEVER;
	return n;
}

void lab_events(struct node *n)
{
	struct cluster_event e;

	while (cluster_poll(&n->c, &e)) {
		if (e.kind == CLUSTER_UP) {
			n->ups++;
		} else if (e.kind == CLUSTER_LOST) {
			n->losts++;
			n->lost_node = e.node;
			n->lost_at = now;
			memcpy(n->lost, e.text, sizeof(n->lost));
		} else if (e.kind == CLUSTER_REFUSED) {
			memcpy(n->refused, e.text, sizeof(n->refused));
		} else if (e.kind == CLUSTER_REFUSES) {
			memcpy(n->refuses, e.text, sizeof(n->refuses));
			n->refusals++;
		} else if (e.kind == CLUSTER_NOTE) {
			memcpy(n->note, e.text, sizeof(n->note));
		}
	}
}

static void fly(unsigned from, unsigned to, const void *frame, unsigned len)
{
	struct flying *f;

	if (lab_rng(1000) < lab_faults.drop || air_len == FLYING)
		return;
	f = &air[air_len++];
	f->at = now + lab_faults.latency + lab_rng(lab_faults.latency * 3);
	f->from = from;
	f->to = to;
	f->len = len;
	memcpy(f->bytes, frame, len);
	if (nodes[from].other_version != nodes[to].other_version)
		version_swap(f->bytes, WIRE_VERSION + 1);
	if (lab_rng(1000) < lab_faults.corrupt)
		f->bytes[lab_rng(len)] ^= (uint8_t)(1 << lab_rng(8));
}

static void transmit(unsigned from)
{
	static uint8_t frame[WIRE_ETH + WIRE_MTU];
	size_t len;

	while ((len = cluster_tx(&nodes[from].c, now, frame)) > 0) {
		bool broadcast = frame[0] & 1;

		CHECK(len <= sizeof(frame));
		for (unsigned to = 0; to < node_count; to++) {
			if (to == from ||
			    (!broadcast && (nodes[to].deaf ||
					    memcmp(frame, nodes[to].config.mac, WIRE_MAC) != 0)))
				continue;
			fly(from, to, frame, (unsigned)len);
			if (lab_rng(1000) < lab_faults.dup)
				fly(from, to, frame, (unsigned)len);
		}
	}
	lab_events(&nodes[from]);
}

void lab_boot(struct node *n)
{
	n->on = true;
	n->start_at = NEVER;
	while ((n->config.life = lab_rng(UINT64_MAX)) == 0)
		;
	n->ups = n->losts = 0;
	cluster_init(&n->c, &n->config, now);
}

static uint64_t next_time(void)
{
	uint64_t at = NEVER;

	for (unsigned i = 0; i < air_len; i++)
		at = MIN(at, air[i].at);
	for (unsigned i = 0; i < node_count; i++) {
		at = MIN(at, MIN(nodes[i].start_at, nodes[i].stop_at));
		if (nodes[i].on)
			at = MIN(at, cluster_deadline(&nodes[i].c));
	}
	return at;
}

void lab_run(uint64_t until)
{
	for (;;) {
		uint64_t at = MAX(now, next_time());

		if (at > until)
			break;
		now = at;
		for (unsigned i = 0; i < air_len; i++) {
			struct flying f;

			if (air[i].at > now)
				continue;
			f = air[i];
			air[i--] = air[--air_len];
			if (nodes[f.to].on)
				cluster_rx(&nodes[f.to].c, now, f.bytes, f.len);
		}
		for (unsigned i = 0; i < node_count; i++) {
			struct node *n = &nodes[i];

			if (n->stop_at <= now) {
				n->on = false;
				n->stop_at = NEVER;
			}
			if (n->start_at <= now)
				lab_boot(n);
			if (!n->on)
				continue;
			cluster_heard(&n->c, now);
			transmit(i);
		}
	}
	now = until;
}

unsigned check_agreement(const char *name)
{
	const struct cluster *first = NULL;
	unsigned running = 0, numbers = 0;

	for (unsigned i = 0; i < node_count; i++) {
		const struct cluster *c = &nodes[i].c;
		char ours[80], theirs[80];

		if (!nodes[i].on || strcmp(nodes[i].config.name, name) != 0 ||
		    c->state != CLUSTER_RUNNING)
			continue;
		first = first ? first : c;
		running++;
		numbers |= 1u << c->self;
		CHECK(nodes[i].ups == 1);
		CHECK(c->epoch == first->epoch && c->count == first->count &&
		      c->head == first->head);
		CHECK(memcmp(c->features, first->features, sizeof(c->features)) == 0);
		CHECK(memcmp(c->members[c->self].mac, nodes[i].config.mac, WIRE_MAC) == 0);
		for (unsigned m = 0; m < c->count; m++) {
			cluster_describe(c, m, ours, sizeof(ours));
			cluster_describe(first, m, theirs, sizeof(theirs));
			CHECK(strcmp(ours, theirs) == 0);
		}
	}
	CHECK(running == 0 || numbers == (1u << first->count) - 1);
	return running;
}
