#include "hv/dev/netdisk.h"
#include "hv/base/log.h"
#include "hv/base/string.h"

#define FIND_NS  (10 * NS_PER_S)
#define DEAD_NS  (60 * NS_PER_S)
#define QUIET_NS (1 * NS_PER_S)
/* While answers are awaited; the wire is looked at as often. */
#define BUSY_NS  (50 * NS_PER_US)

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
	struct netdisk *n = ctx;
	struct aoe_io *io = &n->io[r - r->blk->request];

	*io = (struct aoe_io){op[r->op], r->sector, r->count, r, false, {NULL, NULL}, 0, 0};
	aoe_submit(&n->aoe, io);
	n->lan->wake(n->lan->owner);
}

static void cancel(void *ctx)
{
	struct netdisk *n = ctx;

	aoe_cancel(&n->aoe);
}

static const struct blk_backend_ops backend_ops = {.submit = submit, .cancel = cancel};

/* --- The wire's side --- */

bool netdisk_frame(struct netdisk *n, const void *frame, size_t len)
{
	const uint8_t *type = (const uint8_t *)frame + 2 * AOE_MAC;

	/* One that is not for the node's address may be the guest's own. */
	if (len < AOE_ETH || (type[0] << 8 | type[1]) != AOE_ETHERTYPE ||
	    memcmp(frame, n->aoe.config.mac, AOE_MAC))
		return false;
	/* What there is no room for is asked for again. */
	if (frame_ring_put(&n->came, frame, len))
		n->lan->wake(n->lan->owner);
	return true;
}

static void receive(struct netdisk *n)
{
	const struct frame_slot *came;

	/* More may come meanwhile: the wire is served while guest memory is waited for. */
	for (unsigned i = 0; i < AOE_FRAMES && (came = frame_ring_first(&n->came)); i++) {
		aoe_rx(&n->aoe, n->lan->now(), came->bytes, came->len);
		frame_ring_drop(&n->came);
	}
}

static void transmit(struct netdisk *n)
{
	size_t len;

	while ((len = aoe_tx(&n->aoe, n->lan->now(), n->out)) > 0)
		n->lan->send(n->lan->ctx, n->out, len);
}

/* A request whose buffer was no good has been dropped by the device already. */
static bool answer(struct netdisk *n)
{
	struct aoe_io *io = aoe_done(&n->aoe);
	struct blk_request *r = io ? io->owner : NULL;

	if (r && r->busy)
		blk_done(r, !io->failed);
	return r != NULL;
}

uint64_t netdisk_poll(struct netdisk *n)
{
	unsigned answers = 0;
	uint64_t now, due;

	receive(n);
	transmit(n);
	/* Each answer may bring a request of the guest's, and some are answered at once: then in turns. */
	for (; answers < BLK_DEPTH && answer(n); answers++)
		transmit(n);
	if (answers == BLK_DEPTH)
		return 0;
	now = n->lan->now();
	due = aoe_deadline(&n->aoe);
	due = due > now ? due - now : 0;
	return MIN(due, n->aoe.in_flight ? BUSY_NS : QUIET_NS);
}

void netdisk_report(const struct netdisk *n, struct report *r)
{
	const struct aoe *a = &n->aoe;

	report_line(r, LOG_DEV,
		    "AoE: %llu frames out, %llu in, %llu sent again, %llu ignored, "
		    "%llu requests failed; round trip %llu us, time-out %llu us, window %u",
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

/* True once the target has told its size. */
static bool find(struct netdisk *n)
{
	uint64_t end = n->lan->now() + FIND_NS;

	while (n->aoe.state != AOE_READY && n->lan->now() < end) {
		n->lan->poll(n->lan->ctx);
		netdisk_poll(n);
	}
	return n->aoe.state == AOE_READY;
}

int netdisk_open(struct netdisk *n, const struct lan *lan, const char *name, struct blk_disk *disk,
		 struct why *why)
{
	struct aoe_config config = {
		.mtu = MIN(lan->mtu, NETDISK_MTU_MAX), .dead_ns = DEAD_NS, .data = &data_ops};
	unsigned shelf, slot;

	if (!parse(name, &shelf, &slot))
		return why_set(why, ERR_INVALID,
			       "disk 'aoe:%s' is wrong; expected a shelf and a slot, as aoe:1.2",
			       name);
	config.shelf = (uint16_t)shelf;
	config.slot = (uint8_t)slot;
	memcpy(config.mac, lan->mac, AOE_MAC);
	n->lan = lan;
	frame_ring_init(&n->came, n->slots, AOE_FRAMES, NETDISK_FRAME);
	aoe_init(&n->aoe, &config, lan->now());
	if (!find(n))
		return why_set(why, ERR_TIMEOUT,
			       "no AoE target answers as shelf %u, slot %u within 10 s; "
			       "is it running on this network?",
			       shelf, slot);
	*disk = (struct blk_disk){.ops = &backend_ops, .ctx = n, .sectors = n->aoe.sectors};
	str_copy(disk->serial, name, sizeof(disk->serial));
	log_info(LOG_DEV,
		 "the guest has a disk of %llu KiB on AoE target %s, "
		 "which takes %u frames of %u sectors",
		 (unsigned long long)(n->aoe.sectors / 2), name, n->aoe.buffers, n->aoe.per_frame);
	return 0;
}
