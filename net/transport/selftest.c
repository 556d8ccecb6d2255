#include "net/transport/selftest.h"

#include "hv/base/fmt.h"
#include "hv/base/string.h"

/* Of 64 messages in bulk one is a page with its header, the others are small; one of 4 is urgent. */
#define PAGE_EVERY   64
#define URGENT_EVERY 4
#define STEP         0x9e3779b97f4a7c15ull /* odd, with about as many ones as zeros */

/* Splitmix64: content that any node can make again from who, whom and which. */
static uint64_t mix(uint64_t z)
{
	z += STEP;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static uint32_t share(const struct selftest *t, unsigned channel)
{
	uint32_t urgent = t->messages / URGENT_EVERY;

	return channel == WIRE_URGENT ? urgent : t->messages - urgent;
}

/* What a message is made of: from, to, channel and index decide its length and its first word. */
struct content {
	size_t len;
	uint64_t word;
};

static struct content content(unsigned from, unsigned to, unsigned channel, uint32_t index)
{
	uint64_t word =
		mix((uint64_t)from << 48 | (uint64_t)to << 40 | (uint64_t)channel << 32 | index);
	bool page = channel == WIRE_BULK && index % PAGE_EVERY == 0;

	return (struct content){.len = page ? WIRE_MSG_MAX : 8 + word % 120, .word = word};
}

/* Each further word is a step away from the last: what goes astray stands out, and making it is cheap. */
static void content_fill(uint64_t buf[WIRE_MSG_MAX / 8], const struct content *c)
{
	uint64_t word = c->word;

	for (size_t i = 0; 8 * i < c->len; i++, word += STEP)
		buf[i] = word;
}

static bool content_is(const void *data, const struct content *c)
{
	const uint8_t *p = data, *last = p + c->len / 8 * 8;
	uint64_t word = c->word, got;

	for (; p < last; p += 8, word += STEP) {
		memcpy(&got, p, sizeof(got));
		if (got != word)
			return false;
	}
	return memcmp(p, &word, c->len % 8) == 0;
}

void selftest_init(struct selftest *t, unsigned self, unsigned count, uint32_t messages,
		   uint64_t now)
{
	memset(t, 0, sizeof(*t));
	t->self = self;
	t->count = count;
	t->messages = messages;
	t->started = now;
}

static void wrong(struct selftest *t, unsigned node, const char *what, unsigned channel,
		  uint32_t index)
{
	if (t->wrong++ == 0)
		fmt_print(t->first_wrong, sizeof(t->first_wrong),
			  "from node %u, channel %u, message %u: %s", node, channel, index, what);
}

void selftest_event(struct selftest *t, const struct xport_event *event)
{
	struct selftest_peer *p = &t->peers[event->node];
	struct content want;
	uint32_t index;

	if (event->kind == XPORT_DOWN) {
		wrong(t, event->node, "the session ended", 0, 0);
		return;
	}
	if (event->kind != XPORT_MSG)
		return;
	index = p->got[event->channel]++;
	t->bytes_in += event->len;
	if (index == share(t, event->channel) && event->channel == WIRE_URGENT)
		p->through = true;
	else if (index >= share(t, event->channel))
		wrong(t, event->node, "one too many", event->channel, index);
	want = content(event->node, t->self, event->channel, index);
	if (event->len != want.len)
		wrong(t, event->node, "wrong length", event->channel, index);
	else if (!content_is(event->data, &want))
		wrong(t, event->node, "wrong content", event->channel, index);
}

static bool send_next(struct selftest *t, struct xport *x, unsigned node, unsigned channel,
		      uint64_t now)
{
	static uint64_t buf[WIRE_MSG_MAX / 8];
	uint32_t *sent = &t->peers[node].sent[channel];
	struct content c = content(t->self, node, channel, *sent);
	struct xport_part part = {buf, c.len};

	if (!xport_room(x, node, channel, c.len))
		return false;
	content_fill(buf, &c);
	if (xport_send(x, now, node, channel, &part, 1) != 0)
		return false;
	++*sent;
	return true;
}

static void send_to(struct selftest *t, struct xport *x, unsigned node, uint64_t now)
{
	struct selftest_peer *p = &t->peers[node];

	for (unsigned c = 0; c < WIRE_CHANNELS; c++) {
		while (p->sent[c] < share(t, c) && send_next(t, x, node, c, now))
			;
	}
	if (t->exchanged && !p->told)
		p->told = send_next(t, x, node, WIRE_URGENT, now);
}

static bool peer_done(const struct selftest *t, const struct xport *x, unsigned node)
{
	const struct selftest_peer *p = &t->peers[node];

	for (unsigned c = 0; c < WIRE_CHANNELS; c++) {
		if (p->sent[c] < share(t, c) || p->got[c] < share(t, c))
			return false;
	}
	return xport_idle(x, node);
}

void selftest_run(struct selftest *t, struct xport *x, uint64_t now)
{
	unsigned done = 1, through = 1; /* this node */

	if (t->finished)
		return;
	for (unsigned i = 0; i < t->count; i++) {
		if (i == t->self)
			continue;
		send_to(t, x, i, now);
		done += peer_done(t, x, i);
		through += t->peers[i].told && t->peers[i].through;
	}
	if (done < t->count)
		return;
	if (!t->exchanged)
		t->exchanged = MAX(now, 1ull);
	if (through == t->count)
		t->finished = MAX(now, 1ull);
}

void selftest_describe(const struct selftest *t, char *buf, size_t size)
{
	uint64_t us = (t->exchanged - t->started) / 1000;

	if (t->wrong)
		fmt_print(buf, size, "wire self-test failed: %llu messages wrong, first %s",
			  (unsigned long long)t->wrong, t->first_wrong);
	else if (!t->finished)
		fmt_print(buf, size, "wire self-test is not finished");
	else
		fmt_print(buf, size,
			  "wire self-test passed: %u messages each way with each of %u nodes "
			  "in %llu ms, %llu MB/s in",
			  t->messages, t->count - 1, (unsigned long long)(us / 1000),
			  (unsigned long long)(t->bytes_in / MAX(us, 1ull)));
}
