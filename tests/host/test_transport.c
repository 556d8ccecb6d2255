/*
 * net/transport under seeded random fault schedules. Each schedule draws its own loss, doubling,
 * reordering, corruption, restarts, frame sizes and traffic from one seed, so that a failure is
 * repeated with `test_transport 1 SEED`. Without arguments a short run of schedules goes with the
 * unit tests; `test_transport COUNT` runs as many.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/transport/xport_priv.h"
#include "tests/host/plat.h"

#define NODES      3
#define POOL       48
#define FLYING     512
#define SHORT_RUN  300
#define TIME_LIMIT (600 * NS_PER_S)

static uint64_t seed_now;

#define CHECK(cond)                                                                              \
	do {                                                                                     \
		if (!(cond)) {                                                                   \
			printf("seed %llu: %s:%d: %s\n", (unsigned long long)seed_now, __FILE__, \
			       __LINE__, #cond);                                                 \
			abort();                                                                 \
		}                                                                                \
	} while (0)

struct rng {
	uint64_t s;
};

static uint64_t rng_next(struct rng *r)
{
	uint64_t z = (r->s += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static uint64_t rng_below(struct rng *r, uint64_t n)
{
	return n ? rng_next(r) % n : 0;
}

static bool rng_hit(struct rng *r, unsigned per_mille)
{
	return rng_below(r, 1000) < per_mille;
}

/* What one schedule does to frames, and who restarts when. */
struct schedule {
	unsigned nodes, messages;
	unsigned drop, dup, late, corrupt; /* per mille */
	uint64_t latency, jitter, lateness;
	unsigned restarts;
	uint64_t pace; /* ns between messages of one channel */
	unsigned big;  /* per mille of messages that are pages */
};

/* Every message begins with this; the rest is filled from its numbers. */
struct stamp {
	uint32_t life, epoch, index;
	uint16_t from, to;
	uint32_t channel;
};

/* What a node knows of its traffic with one other. */
struct flow {
	uint32_t epoch;               /* sessions given up so far */
	uint32_t sent[WIRE_CHANNELS]; /* next index to send in this epoch */
	uint64_t send_at[WIRE_CHANNELS];
	bool fresh;                 /* receiving: a session began and nothing came yet */
	uint32_t rx_life, rx_epoch; /* of the sender in this session */
	uint32_t rx_next[WIRE_CHANNELS];
};

struct node {
	struct xport x;
	struct xport_peer peers[NODES];
	struct xport_buf pool[POOL];
	uint32_t life;
	uint16_t mtu;
	struct flow flow[NODES];
	uint64_t restart_at;
	unsigned downs;
};

struct flying {
	uint64_t at;
	unsigned to, len;
	uint8_t bytes[WIRE_ETH + WIRE_MTU_MAX];
};

static struct node nodes[NODES];
static struct flying air[FLYING];
static unsigned heap[FLYING], heap_len, free_list[FLYING], free_len;
static struct {
	uint64_t frames, resent, doubled, resets, jumbo;
} total;

static const uint8_t *mac_of(unsigned n)
{
	static const uint8_t macs[NODES][WIRE_MAC] = {
		{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}, {2, 0, 0, 0, 0, 3}};

	return macs[n];
}

static bool sooner(unsigned a, unsigned b)
{
	return air[heap[a]].at < air[heap[b]].at;
}

static void swap(unsigned a, unsigned b)
{
	unsigned t = heap[a];

	heap[a] = heap[b];
	heap[b] = t;
}

static void heap_push(unsigned slot)
{
	unsigned i = heap_len++;

	heap[i] = slot;
	for (; i > 0 && sooner(i, (i - 1) / 2); i = (i - 1) / 2)
		swap(i, (i - 1) / 2);
}

static unsigned heap_pop(void)
{
	unsigned top = heap[0], i = 0;

	heap[0] = heap[--heap_len];
	for (;;) {
		unsigned c = 2 * i + 1;

		if (c >= heap_len)
			return top;
		if (c + 1 < heap_len && sooner(c + 1, c))
			c++;
		if (!sooner(c, i))
			return top;
		swap(c, i);
		i = c;
	}
}

static void fly(struct rng *r, const struct schedule *s, uint64_t now, unsigned to,
		const void *frame, unsigned len)
{
	unsigned slot;
	struct flying *f;

	if (free_len == 0)
		return; /* the air is full: one more loss */
	slot = free_list[--free_len];
	f = &air[slot];
	f->to = to;
	f->len = len;
	f->at = now + s->latency + rng_below(r, s->jitter);
	if (rng_hit(r, s->late))
		f->at += rng_below(r, s->lateness);
	memcpy(f->bytes, frame, len);
	if (rng_hit(r, s->corrupt)) {
		if (rng_hit(r, 200))
			f->len = (unsigned)rng_below(r, len);
		for (unsigned i = 0; i <= rng_below(r, 4); i++)
			f->bytes[rng_below(r, len)] ^= (uint8_t)(1 << rng_below(r, 8));
	}
	heap_push(slot);
}

static void transmit(struct rng *r, const struct schedule *s, uint64_t now, unsigned from)
{
	static uint8_t frame[WIRE_ETH + WIRE_MTU_MAX];
	size_t len;

	while ((len = xport_tx(&nodes[from].x, now, frame)) > 0) {
		unsigned to = 0;

		CHECK(len >= WIRE_MIN && len <= (size_t)WIRE_ETH + nodes[from].mtu);
		while (to < s->nodes && memcmp(frame, mac_of(to), WIRE_MAC) != 0)
			to++;
		CHECK(to < s->nodes && to != from);
		total.frames++;
		total.jumbo += len > WIRE_ETH + WIRE_MTU;
		if (rng_hit(r, s->drop) || len > (size_t)WIRE_ETH + nodes[to].mtu)
			continue;
		fly(r, s, now, to, frame, (unsigned)len);
		if (rng_hit(r, s->dup))
			fly(r, s, now, to, frame, (unsigned)len);
	}
}

static unsigned msg_fill(uint8_t *buf, const struct stamp *st, unsigned big)
{
	struct rng r = {seed_now ^ (uint64_t)st->index << 32 ^ st->epoch << 8 ^ st->channel ^
			(uint64_t)st->life << 16};
	unsigned len = (unsigned)(rng_hit(&r, big) ? 4096 + rng_below(&r, 129)
						   : sizeof(*st) + rng_below(&r, 200));

	memset(buf, (int)rng_next(&r), len);
	memcpy(buf, st, sizeof(*st));
	for (unsigned i = sizeof(*st); i + 8 <= len; i += 256) {
		uint64_t v = rng_next(&r);

		memcpy(buf + i, &v, 8);
	}
	return len;
}

static void app_send(const struct schedule *s, uint64_t now, unsigned from, unsigned to)
{
	struct flow *f = &nodes[from].flow[to];

	for (unsigned c = 0; c < WIRE_CHANNELS; c++) {
		while (f->sent[c] < s->messages && f->send_at[c] <= now) {
			static uint8_t buf[WIRE_MSG_MAX];
			struct stamp st = {nodes[from].life, f->epoch,     f->sent[c],
					   (uint16_t)from,   (uint16_t)to, c};
			unsigned len = msg_fill(buf, &st, c == WIRE_BULK ? s->big : s->big / 8);
			struct xport_part parts[2] = {{buf, 8}, {buf + 8, len - 8}};
			int err = xport_send(&nodes[from].x, now, to, c, parts, 2);

			if (err == ERR_BUSY)
				break;
			CHECK(err == 0);
			f->sent[c]++;
			f->send_at[c] = MAX(f->send_at[c], now) + s->pace;
		}
	}
}

static void app_down(const struct schedule *s, unsigned me, unsigned peer)
{
	struct flow *f = &nodes[me].flow[peer];

	CHECK(s->restarts > 0);
	f->epoch++;
	for (unsigned c = 0; c < WIRE_CHANNELS; c++)
		f->sent[c] = 0;
	nodes[me].downs++;
}

static void app_message(const struct schedule *s, unsigned me, const struct xport_event *e)
{
	static uint8_t want[WIRE_MSG_MAX];
	struct flow *f = &nodes[me].flow[e->node];
	struct stamp st;

	CHECK(e->len >= sizeof(st));
	memcpy(&st, e->data, sizeof(st));
	CHECK(st.from == e->node && st.to == me && st.channel == e->channel);
	if (f->fresh) {
		/* Never back to an earlier session of the sender's, never the same one twice. */
		CHECK(st.life > f->rx_life || (st.life == f->rx_life && st.epoch > f->rx_epoch));
		f->fresh = false;
		f->rx_life = st.life;
		f->rx_epoch = st.epoch;
		memset(f->rx_next, 0, sizeof(f->rx_next));
	}
	CHECK(st.life == f->rx_life && st.epoch == f->rx_epoch);
	CHECK(st.index == f->rx_next[e->channel]++);
	CHECK(e->len == msg_fill(want, &st, e->channel == WIRE_BULK ? s->big : s->big / 8));
	CHECK(memcmp(want, e->data, e->len) == 0);
}

static void receive(const struct schedule *s, uint64_t now, struct flying *f)
{
	struct node *n = &nodes[f->to];
	struct xport_event e;

	xport_rx(&n->x, now, f->bytes, f->len);
	while (xport_poll(&n->x, now, &e)) {
		if (e.kind == XPORT_DOWN)
			app_down(s, f->to, e.node);
		else if (e.kind == XPORT_UP)
			n->flow[e.node].fresh = true;
		else
			app_message(s, f->to, &e);
	}
	CHECK(n->x.pool_free <= POOL);
}

static void boot(struct rng *r, const struct schedule *s, uint64_t now, unsigned me)
{
	struct node *n = &nodes[me];
	struct xport_config c = {
		.node = (uint16_t)me, .mtu = n->mtu, .cluster = 7, .seed = rng_next(r)};

	memcpy(c.mac, mac_of(me), WIRE_MAC);
	n->life++;
	xport_init(&n->x, &c, n->peers, s->nodes, n->pool, POOL);
	memset(n->flow, 0, sizeof(n->flow));
	for (unsigned i = 0; i < s->nodes; i++) {
		if (i == me)
			continue;
		xport_open(&n->x, now, i, mac_of(i));
		for (unsigned c2 = 0; c2 < WIRE_CHANNELS; c2++)
			n->flow[i].send_at[c2] = now;
	}
}

static bool flow_done(const struct schedule *s, unsigned from, unsigned to)
{
	const struct flow *tx = &nodes[from].flow[to], *rx = &nodes[to].flow[from];

	if (rx->rx_life != nodes[from].life || rx->rx_epoch != tx->epoch || rx->fresh)
		return false;
	for (unsigned c = 0; c < WIRE_CHANNELS; c++) {
		if (tx->sent[c] != s->messages || rx->rx_next[c] != s->messages)
			return false;
	}
	return xport_idle(&nodes[from].x, to);
}

static bool all_done(const struct schedule *s)
{
	for (unsigned a = 0; a < s->nodes; a++) {
		if (nodes[a].restart_at != XPORT_NEVER)
			return false;
		for (unsigned b = 0; b < s->nodes; b++) {
			if (a != b && !flow_done(s, a, b))
				return false;
		}
	}
	return true;
}

static uint64_t node_deadline(const struct schedule *s, uint64_t now, unsigned me)
{
	struct node *n = &nodes[me];
	uint64_t at = MIN(xport_deadline(&n->x), n->restart_at);

	for (unsigned i = 0; i < s->nodes; i++) {
		for (unsigned c = 0; i != me && c < WIRE_CHANNELS; c++) {
			/* A full queue is tried again when frames come in. */
			if (n->flow[i].sent[c] < s->messages && n->flow[i].send_at[c] > now)
				at = MIN(at, n->flow[i].send_at[c]);
		}
	}
	return at;
}

static void schedule_draw(struct rng *r, struct schedule *s)
{
	bool calm = rng_hit(r, 100);

	memset(s, 0, sizeof(*s));
	s->nodes = rng_hit(r, 150) ? 3 : 2;
	s->messages = 1 + (unsigned)rng_below(r, rng_hit(r, 50) ? 300 : 40);
	s->drop = calm ? 0 : (unsigned)rng_below(r, 301);
	s->dup = calm ? 0 : (unsigned)rng_below(r, 201);
	s->late = calm ? 0 : (unsigned)rng_below(r, 201);
	s->corrupt = calm ? 0 : (unsigned)rng_below(r, 101);
	s->latency = 1000 + rng_below(r, 1 << (10 + rng_below(r, 10)));
	s->jitter = rng_below(r, s->latency);
	s->lateness = s->latency * (1 + rng_below(r, 20));
	s->restarts = rng_hit(r, 400) ? 1 + (unsigned)rng_below(r, 3) : 0;
	s->pace = rng_hit(r, 500) ? 0 : rng_below(r, 200000);
	s->big = (unsigned)rng_below(r, 400);
	for (unsigned i = 0; i < NODES; i++) {
		nodes[i].mtu = rng_hit(r, 300) ? 9000 : rng_hit(r, 200) ? 4000 : 1500;
		nodes[i].restart_at = XPORT_NEVER;
		nodes[i].life = nodes[i].downs = 0;
	}
}

static void restarts_draw(struct rng *r, const struct schedule *s, unsigned *left)
{
	if (*left > 0) {
		struct node *n = &nodes[rng_below(r, s->nodes)];

		if (n->restart_at == XPORT_NEVER) {
			n->restart_at = rng_below(r, 40 * s->latency * (1 + rng_below(r, 20)));
			--*left;
		}
	}
}

/* One step of virtual time; returns the new time. */
static uint64_t step(struct rng *r, const struct schedule *s, uint64_t now)
{
	uint64_t next = heap_len ? air[heap[0]].at : XPORT_NEVER;

	for (unsigned i = 0; i < s->nodes; i++)
		next = MIN(next, node_deadline(s, now, i));
	CHECK(next != XPORT_NEVER);
	now = MAX(now, next);
	if (heap_len && air[heap[0]].at <= now) {
		unsigned slot = heap_pop();

		receive(s, now, &air[slot]);
		free_list[free_len++] = slot;
	}
	for (unsigned i = 0; i < s->nodes; i++) {
		if (nodes[i].restart_at <= now) {
			nodes[i].restart_at = XPORT_NEVER;
			boot(r, s, now, i);
		}
		for (unsigned k = 0; k < s->nodes; k++) {
			if (k != i)
				app_send(s, now, i, k);
		}
		transmit(r, s, now, i);
	}
	return now;
}

static void clear_air(void)
{
	heap_len = 0;
	free_len = FLYING;
	for (unsigned i = 0; i < FLYING; i++)
		free_list[i] = i;
}

static void schedule_run(uint64_t seed)
{
	struct rng r = {seed};
	struct schedule s;
	uint64_t now = NS_PER_S;
	unsigned left;

	seed_now = seed;
	schedule_draw(&r, &s);
	clear_air();
	for (unsigned i = 0; i < s.nodes; i++)
		boot(&r, &s, now, i);
	left = s.restarts;
	restarts_draw(&r, &s, &left);
	for (unsigned i = 0; i < s.nodes; i++) {
		if (nodes[i].restart_at != XPORT_NEVER)
			nodes[i].restart_at += now;
	}
	while (!all_done(&s)) {
		now = step(&r, &s, now);
		CHECK(now < NS_PER_S + TIME_LIMIT);
	}
	for (unsigned i = 0; i < s.nodes; i++) {
		struct xport_event e;

		CHECK(!xport_poll(&nodes[i].x, now, &e));
		CHECK(nodes[i].x.pool_free == POOL);
		for (unsigned k = 0; k < s.nodes; k++) {
			total.resent += nodes[i].peers[k].stats.resent;
			total.doubled += nodes[i].peers[k].stats.doubled;
			total.resets += nodes[i].peers[k].stats.resets;
		}
	}
}

static void schedules_run(uint64_t first, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		schedule_run(first + i);
	printf("%llu schedules: %llu frames, %llu jumbo, %llu segments resent, %llu doubled, "
	       "%llu resets\n",
	       (unsigned long long)count, (unsigned long long)total.frames,
	       (unsigned long long)total.jumbo, (unsigned long long)total.resent,
	       (unsigned long long)total.doubled, (unsigned long long)total.resets);
}

static void every_message_once_and_in_order(void **state)
{
	schedules_run(1, SHORT_RUN);
	assert_true(total.resent > 0 && total.doubled > 0 && total.resets > 0 && total.jumbo > 0);
}

static uint64_t frames_for(const struct schedule *s, struct rng *r, unsigned count, size_t len)
{
	static const uint8_t bytes[WIRE_MSG_MAX];
	const struct xport_part part = {bytes, len};
	uint64_t before = total.frames;

	for (unsigned i = 0; i < count; i++)
		assert_int_equal(xport_send(&nodes[0].x, NS_PER_S, 1, WIRE_BULK, &part, 1), 0);
	transmit(r, s, NS_PER_S, 0);
	return total.frames - before;
}

/* At NS_PER_S, with nothing under way. */
static void boot_all(struct rng *r, const struct schedule *s)
{
	clear_air();
	for (unsigned i = 0; i < s->nodes; i++) {
		nodes[i].mtu = WIRE_MTU;
		nodes[i].restart_at = XPORT_NEVER;
		boot(r, s, NS_PER_S, i);
	}
}

static void what_waits_shares_frames(void **state)
{
	const size_t room = WIRE_MTU - WIRE_DATA_HEAD + sizeof(struct wire_data);
	const size_t half = room / 2 - sizeof(struct wire_data);
	struct schedule s = {.nodes = 2, .latency = 1000};
	struct rng r = {1};

	boot_all(&r, &s);
	/* With no message to send the pair only opens its session. */
	while (!nodes[0].peers[1].sealed || !nodes[1].peers[0].sealed)
		step(&r, &s, NS_PER_S);
	transmit(&r, &s, NS_PER_S, 0);
	assert_int_equal(frames_for(&s, &r, 1, 100), 1);
	assert_int_equal(frames_for(&s, &r, 10, 100), 1);
	assert_int_equal(frames_for(&s, &r, 2, half), 1);
	assert_int_equal(frames_for(&s, &r, 2, half + 1), 2);
	assert_int_equal(frames_for(&s, &r, 1, WIRE_MSG_MAX), 3);
}

static void an_acknowledgement_may_be_late(void **state)
{
	struct schedule s = {.nodes = 2,
			     .latency = 100 * NS_PER_US,
			     .messages = 100,
			     .big = 200,
			     .pace = 100 * NS_PER_US};
	struct rng r = {1};
	uint64_t now = NS_PER_S, delay;
	const struct xport_part part = {"a question", 10};
	uint8_t frame[WIRE_ETH + WIRE_MTU];
	struct xport_event e;
	size_t len;

	boot_all(&r, &s);
	/* The round trip is known, and nothing is under way any more. */
	while (!all_done(&s) ||
	       MIN(xport_deadline(&nodes[0].x), xport_deadline(&nodes[1].x)) != XPORT_NEVER)
		now = step(&r, &s, now);
	assert_int_equal(xport_send(&nodes[0].x, now, 1, WIRE_BULK, &part, 1), 0);
	len = xport_tx(&nodes[0].x, now, frame);
	xport_rx(&nodes[1].x, now, frame, len);
	assert_true(xport_poll(&nodes[1].x, now, &e) && e.kind == XPORT_MSG);
	assert_false(xport_poll(&nodes[1].x, now, &e));
	/* It is due when somebody looks, but nobody is woken for it before twice that time is over. */
	delay = xport_ack_delay(&nodes[1].peers[0]);
	assert_int_equal(xport_tx(&nodes[1].x, now, frame), 0);
	assert_int_equal(xport_deadline(&nodes[1].x), now + 3 * delay);
	assert_int_equal(xport_tx(&nodes[1].x, now + delay - 1, frame), 0);
	assert_true(xport_tx(&nodes[1].x, now + delay, frame) > 0);
	/* And who waits for it does not take it for lost by then. */
	assert_true(nodes[0].x.timer_at > now + 3 * delay);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_once_and_in_order),
		cmocka_unit_test(what_waits_shares_frames),
		cmocka_unit_test(an_acknowledgement_may_be_late),
	};

	if (argc > 1) {
		schedules_run(argc > 2 ? strtoull(argv[2], NULL, 0) : 1,
			      strtoull(argv[1], NULL, 0));
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
