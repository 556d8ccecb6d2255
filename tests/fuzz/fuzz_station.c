/*
 * Two stations with the fuzzer between them: what the one sends may be delivered late, twice, never, to the
 * end of another life, changed in any byte and sealed again, or cut. Input: records of an operation byte and
 * two more. As long as no frame was changed and no node began anew, messages arrive in order and once.
 */
#include <stdlib.h>
#include <string.h>

#include "net/transport/station.h"

#define AIR  16
#define POOL 6
#define BEAT (10 * NS_PER_MS)

struct end {
	struct station s;
	struct xport_peer peers[2];
	struct xport_buf pool[POOL];
	uint32_t sent[WIRE_CHANNELS], got[WIRE_CHANNELS];
};

struct flying {
	unsigned to;
	size_t len;
	uint8_t bytes[WIRE_ETH + WIRE_MTU_MAX];
};

static struct end ends[2];
static struct flying air[AIR];
static unsigned flying, lives;
static uint64_t now;
static bool honest;

static void boot(unsigned i, unsigned mtu)
{
	struct cluster_config c = {.name = "lab",
				   .mac = {2, 0, 0, 0, 0, (uint8_t)(i + 1)},
				   .nodes = 2,
				   .cpus = 1,
				   .tsc_khz = 1000000,
				   .tsc_invariant = true,
				   .life = ++lives,
				   .beat_ns = BEAT,
				   .lost_ns = 20 * BEAT};

	memset(ends[i].sent, 0, sizeof(ends[i].sent));
	memset(ends[i].got, 0, sizeof(ends[i].got));
	station_init(&ends[i].s, &c, (uint16_t)mtu, ends[i].peers, 2, ends[i].pool, POOL, now);
}

static void message(struct end *e, const struct xport_event *m)
{
	uint32_t index = 0;

	if (m->len == 0 || m->len > WIRE_MSG_MAX || m->channel >= WIRE_CHANNELS)
		abort();
	memcpy(&index, m->data, MIN(sizeof(index), (size_t)m->len));
	if (honest && (m->len < sizeof(index) || index != e->got[m->channel]++))
		abort();
}

static void events(struct end *e)
{
	struct station_event event;

	while (station_poll(&e->s, now, &event)) {
		if (event.kind == STATION_WIRE && event.wire.kind == XPORT_MSG)
			message(e, &event.wire);
		else if (event.kind == STATION_WIRE && event.wire.kind == XPORT_DOWN && honest)
			abort();
		else if (event.kind == STATION_CLUSTER &&
			 memchr(event.cluster.text, 0, sizeof(event.cluster.text)) == NULL)
			abort();
	}
	if (e->s.open && e->s.xport.pool_free > POOL)
		abort();
}

static void transmit(unsigned from)
{
	static uint8_t frame[WIRE_ETH + WIRE_MTU_MAX];
	size_t len;

	for (unsigned i = 0; (len = station_tx(&ends[from].s, now, frame)) > 0; i++) {
		if (i > 5000 || len > (size_t)WIRE_ETH + ends[from].s.mtu)
			abort();
		if (flying == AIR)
			continue; /* lost */
		air[flying].to = !from;
		air[flying].len = len;
		memcpy(air[flying++].bytes, frame, len);
	}
	events(&ends[from]);
}

static void deliver(unsigned k, bool stays)
{
	struct flying *f = &air[k];
	/* On the heap, so that a read behind the frame is seen. */
	uint8_t *exact = malloc(f->len);

	memcpy(exact, f->bytes, f->len);
	station_rx(&ends[f->to].s, now, exact, f->len);
	events(&ends[f->to]);
	free(exact);
	if (stays)
		return;
	memmove(f, f + 1, (flying - k - 1) * sizeof(*f));
	flying--;
}

/* Another byte, maybe another length, under a seal that is right again. */
static void change(struct flying *f, unsigned at, unsigned value, bool seal)
{
	struct wire_head *head = (struct wire_head *)(f->bytes + WIRE_ETH);
	uint64_t sum;

	honest = false;
	f->bytes[at % f->len] = (uint8_t)value;
	if (!seal || head->length < sizeof(*head) || head->length > f->len - WIRE_ETH)
		return;
	sum = wire_frame_sum(f->bytes);
	memset(head->tag, 0, sizeof(head->tag));
	memcpy(head->tag, &sum, sizeof(sum));
}

static void post(unsigned from, unsigned channel, size_t len)
{
	static uint8_t bytes[WIRE_MSG_MAX];
	struct end *e = &ends[from];
	struct xport_part part = {bytes, MAX(len, sizeof(e->sent[0]))};

	if (!e->s.open || e->s.cluster.self > 1)
		return;
	memcpy(bytes, &e->sent[channel], sizeof(e->sent[0]));
	if (xport_send(&e->s.xport, now, !e->s.cluster.self, (enum wire_channel)channel, &part,
		       1) == 0)
		e->sent[channel]++;
}

/* Nothing is lost and nobody waits, for so many rounds. */
static void calm(unsigned rounds)
{
	for (; rounds > 0; rounds--) {
		transmit(0);
		transmit(1);
		while (flying > 0)
			deliver(0, false);
		now += NS_PER_MS;
	}
}

static void step(const uint8_t *op)
{
	struct flying *f = flying ? &air[op[1] % flying] : NULL;

	switch (op[0] & 15) {
	case 0:
		now += (uint64_t)op[1] << (op[2] & 31);
		break;
	case 1:
	case 2:
		transmit(op[0] & 1);
		break;
	case 3:
	case 4:
		if (f)
			deliver(op[1] % flying, (op[0] & 15) == 3);
		break;
	case 5:
		if (f)
			change(f, op[2] | (op[0] & 0x30) << 4, op[1], op[0] & 0x80);
		break;
	case 6:
		if (f && f->len > 1)
			f->len -= op[2] % (f->len - 1);
		break;
	case 7:
		post(op[1] & 1, op[1] >> 1 & 1, (size_t)op[2] << (op[1] >> 2 & 7) & 0xfff);
		break;
	case 8:
		station_heard(&ends[op[1] & 1].s, now);
		break;
	case 9:
		honest = false;
		if (op[1] & 2)
			station_stop(&ends[op[1] & 1].s, "the fuzzer says so");
		else
			boot(op[1] & 1, op[2] & 1 ? WIRE_MTU : 4400);
		break;
	default:
		calm(op[1]);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	now = NS_PER_S;
	flying = lives = 0;
	honest = true;
	boot(0, WIRE_MTU);
	boot(1, 4400);
	for (; size >= 3; data += 3, size -= 3)
		step(data);
	return 0;
}
