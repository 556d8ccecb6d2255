#include "hv/dev/netdisk.h"
#include "hv/base/assert.h"
#include "hv/base/log.h"
#include "hv/base/string.h"
#include "hv/cluster/link.h"
#include "hv/cluster/wire.h"
#include "hv/x86/tsc.h"
#include "net/aoe/aoe.h"

#define MTU_MAX  4400 /* the most that mtu= takes */
#define FIND_NS  (10 * NS_PER_S)
#define DEAD_NS  (60 * NS_PER_S)
#define QUIET_NS (1 * NS_PER_S)
/* While answers are awaited; the wire is looked at as often. */
#define BUSY_NS  (50 * NS_PER_US)

/* Frames that came and wait for netdisk_poll(); one CPU puts them in and takes them out. */
struct came {
	uint16_t len;
	uint8_t bytes[AOE_FRAME_MAX(MTU_MAX)];
};

static struct {
	struct aoe aoe;
	struct aoe_io io[BLK_DEPTH]; /* one for each request of the device */
	struct came came[AOE_FRAMES];
	unsigned head, tail; /* count frames; wrap freely */
	uint8_t out[AOE_FRAME_MAX(MTU_MAX)];
	void (*wake)(void);
	bool open;
} net;

/* --- The backend's side --- */

static bool data_get(void *ctx, struct aoe_io *io, uint32_t offset, void *buf, uint32_t len)
{
	return blk_get(io->owner, offset, buf, len);
}

static bool data_put(void *ctx, struct aoe_io *io, uint32_t offset, const void *buf, uint32_t len)
{
	return blk_put(io->owner, offset, buf, len);
}

static const struct aoe_data_ops data_ops = {data_get, data_put};

static void submit(void *ctx, struct blk_request *r)
{
	static const enum aoe_op op[] = {
		[BLK_READ] = AOE_READ, [BLK_WRITE] = AOE_WRITE, [BLK_FLUSH] = AOE_FLUSH};
	struct aoe_io *io = &net.io[r - r->blk->request];

	*io = (struct aoe_io){op[r->op], r->sector, r->count, r, false, {NULL, NULL}, 0, 0};
	aoe_submit(&net.aoe, io);
	net.wake();
}

static void cancel(void *ctx)
{
	aoe_cancel(&net.aoe);
}

static const struct blk_backend_ops backend_ops = {.submit = submit, .cancel = cancel};

/* --- The wire's side --- */

bool netdisk_frame(const void *frame, size_t len)
{
	const uint8_t *type = (const uint8_t *)frame + 2 * AOE_MAC;
	struct came *c = &net.came[net.head % AOE_FRAMES];

	/* One that is not for the node's address may be the guest's own. */
	if (!net.open || len < AOE_ETH || type[0] << 8 != (AOE_ETHERTYPE & 0xff00) ||
	    type[1] != (AOE_ETHERTYPE & 0xff) || memcmp(frame, net.aoe.config.mac, AOE_MAC))
		return false;
	/* What there is no room for is asked for again. */
	if (len > sizeof(c->bytes) || net.head - net.tail == AOE_FRAMES)
		return true;
	c->len = (uint16_t)len;
	memcpy(c->bytes, frame, len);
	net.head++;
	net.wake();
	return true;
}

static void receive(void)
{
	for (; net.tail != net.head; net.tail++) {
		const struct came *c = &net.came[net.tail % AOE_FRAMES];

		aoe_rx(&net.aoe, tsc_now_ns(), c->bytes, c->len);
	}
}

static void transmit(void)
{
	size_t len;

	while ((len = aoe_tx(&net.aoe, tsc_now_ns(), net.out)) > 0)
		link_send_frame(net.out, len);
}

/* A request whose buffer was no good has been dropped by the device already. */
static bool answer(void)
{
	struct aoe_io *io = aoe_done(&net.aoe);
	struct blk_request *r = io ? io->owner : NULL;

	if (r && r->busy)
		blk_done(r, !io->failed);
	return r != NULL;
}

uint64_t netdisk_poll(void)
{
	uint64_t now, due;

	receive();
	do
		transmit();
	while (answer());
	now = tsc_now_ns();
	due = aoe_deadline(&net.aoe);
	due = due > now ? due - now : 0;
	return MIN(due, net.aoe.in_flight ? BUSY_NS : QUIET_NS);
}

void netdisk_report(struct report *r)
{
	const struct aoe *a = &net.aoe;

	report_line(r, LOG_DEV,
		    "AoE: %llu frames out, %llu in, %llu sent again, %llu ignored, %llu requests "
		    "failed; round trip %llu us, time-out %llu us, window %u",
		    (unsigned long long)a->stats.frames_out, (unsigned long long)a->stats.frames_in,
		    (unsigned long long)a->stats.resent, (unsigned long long)a->stats.ignored,
		    (unsigned long long)a->stats.errors, (unsigned long long)(a->rtt / 1000),
		    (unsigned long long)(a->rto / 1000), a->window);
}

/* --- Set-up --- */

static bool number(const char **text, unsigned most, unsigned *value)
{
	const char *p = *text;

	for (*value = 0; *p >= '0' && *p <= '9' && *value <= most; p++)
		*value = *value * 10 + (unsigned)(*p - '0');
	if (p == *text || *value > most)
		return false;
	*text = p;
	return true;
}

static bool parse(const char *name, unsigned *shelf, unsigned *slot)
{
	return number(&name, 0xfffe, shelf) && *name++ == '.' && number(&name, 0xfe, slot) &&
	       *name == '\0';
}

int netdisk_open(const char *name, struct blk_disk *disk, void (*wake)(void), struct why *why)
{
	uint64_t end = tsc_now_ns() + FIND_NS;
	struct aoe_config config = {.mtu = wire_mtu(), .dead_ns = DEAD_NS, .data = &data_ops};
	unsigned shelf, slot;

	if (!parse(name, &shelf, &slot))
		return why_set(why, ERR_INVALID,
			       "disk 'aoe:%s' is wrong; expected a shelf and a slot, as aoe:1.2",
			       name);
	config.shelf = (uint16_t)shelf;
	config.slot = (uint8_t)slot;
	memcpy(config.mac, wire_mac(), AOE_MAC);
	ASSERT(config.mtu <= MTU_MAX);
	net.wake = wake;
	net.open = true;
	aoe_init(&net.aoe, &config, tsc_now_ns());
	while (net.aoe.state != AOE_READY && tsc_now_ns() < end) {
		link_poll();
		netdisk_poll();
	}
	if (net.aoe.state != AOE_READY)
		return why_set(why, ERR_TIMEOUT,
			       "no AoE target answers as shelf %u, slot %u within 10 s; is it "
			       "running on this network?",
			       shelf, slot);
	*disk = (struct blk_disk){.ops = &backend_ops, .sectors = net.aoe.sectors};
	str_copy(disk->serial, name, sizeof(disk->serial));
	log_info(LOG_DEV,
		 "the guest has a disk of %llu KiB on AoE target %s, which takes %u frames of %u "
		 "sectors",
		 (unsigned long long)(net.aoe.sectors / 2), name, net.aoe.buffers,
		 net.aoe.per_frame);
	return 0;
}
