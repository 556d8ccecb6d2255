#include "guest/virtio_blk.h"
#include "hv/base/assert.h"
#include "hv/base/bits.h"
#include "hv/base/log.h"
#include "hv/base/string.h"

#define QUEUE_SIZE 128

/* 5.2.3 */
#define F_SIZE_MAX   1
#define F_SEG_MAX    2
#define F_READ_ONLY  5
#define F_BLOCK_SIZE 6
#define F_FLUSH      9

/* Header and status take a piece each. A request is at most 8 MiB by these. */
#define SEGMENTS      (VIRTQ_PIECES - 2u)
#define SEGMENT_BYTES 65536u
#define BYTES_MAX     (SEGMENTS * SEGMENT_BYTES)

/* 5.2.6 */
struct header {
	uint32_t type, reserved;
	uint64_t sector;
};
ASSERT_SIZE(struct header, 16);
ASSERT_OFFSET(struct blk_config, block_size, 20);

enum type { TYPE_IN = 0, TYPE_OUT = 1, TYPE_FLUSH = 4, TYPE_GET_ID = 8 };
enum status { STATUS_OK = 0, STATUS_IOERR = 1, STATUS_UNSUPPORTED = 2 };

static void run(struct virtio_blk *blk);

/* --- Answers --- */

/* The status is the last byte the device writes, wherever the driver's pieces end. */
static void answer(struct blk_request *r, enum status status, uint32_t data_bytes)
{
	struct virtio *v = &r->blk->virtio;
	uint8_t byte = (uint8_t)status;

	r->busy = false;
	r->blk->errors += status != STATUS_OK;
	if (virtq_write(&r->chain, r->chain.in_bytes - 1, &byte, 1))
		virtio_fail(v, "the status byte of buffer %u is not in RAM", r->chain.head);
	else
		virtio_push(v, 0, r->chain.head, data_bytes + 1);
}

void blk_done(struct blk_request *r, bool good)
{
	struct virtio_blk *blk = r->blk;
	uint32_t data = good && r->op == BLK_READ ? r->count * BLK_SECTOR : 0;

	ASSERT(r->busy);
	answer(r, good ? STATUS_OK : STATUS_IOERR, data);
	run(blk);
}

static bool no_ram(struct blk_request *r)
{
	r->busy = false;
	virtio_fail(&r->blk->virtio, "buffer %u names memory that is not RAM", r->chain.head);
	return false;
}

bool blk_get(struct blk_request *r, uint32_t offset, void *buf, uint32_t len)
{
	return !virtq_read(&r->chain, sizeof(struct header) + offset, buf, len) || no_ram(r);
}

bool blk_put(struct blk_request *r, uint32_t offset, const void *buf, uint32_t len)
{
	return !virtq_write(&r->chain, offset, buf, len) || no_ram(r);
}

/* --- Requests --- */

static void submit(struct blk_request *r)
{
	r->blk->reads += r->op == BLK_READ;
	r->blk->writes += r->op == BLK_WRITE;
	r->blk->flushes += r->op == BLK_FLUSH;
	r->blk->disk.ops->submit(r->blk->disk.ctx, r);
}

/* 5.2.6.2: the driver is answered with an error when it names sectors that are not there. */
static void transfer(struct blk_request *r, enum blk_op op, uint64_t sector, uint32_t bytes)
{
	const struct blk_disk *disk = &r->blk->disk;

	r->op = op;
	r->sector = sector;
	r->count = bytes / BLK_SECTOR;
	if (bytes % BLK_SECTOR || bytes > BYTES_MAX ||
	    !range_within(sector, r->count, disk->sectors) || (op == BLK_WRITE && disk->read_only))
		answer(r, STATUS_IOERR, 0);
	else
		submit(r);
}

static void tell_serial(struct blk_request *r)
{
	uint32_t len = MIN(r->chain.in_bytes - 1, BLK_SERIAL);

	if (blk_put(r, 0, r->blk->disk.serial, len))
		answer(r, STATUS_OK, len);
}

static void take(struct blk_request *r)
{
	struct virtio *v = &r->blk->virtio;
	struct header h;

	r->busy = true;
	if (r->chain.out_bytes < sizeof(h) || !r->chain.in_bytes) {
		r->busy = false;
		virtio_fail(v,
			    "buffer %u has %u bytes to read and %u to write; "
			    "expected a header of 16 and a status byte at least",
			    r->chain.head, r->chain.out_bytes, r->chain.in_bytes);
		return;
	}
	if (virtq_read(&r->chain, 0, &h, sizeof(h))) {
		no_ram(r);
		return;
	}
	switch (h.type) {
	case TYPE_IN:
		transfer(r, BLK_READ, h.sector, r->chain.in_bytes - 1);
		break;
	case TYPE_OUT:
		transfer(r, BLK_WRITE, h.sector, r->chain.out_bytes - (uint32_t)sizeof(h));
		break;
	case TYPE_FLUSH:
		transfer(r, BLK_FLUSH, 0, 0);
		break;
	case TYPE_GET_ID:
		tell_serial(r);
		break;
	default:
		answer(r, STATUS_UNSUPPORTED, 0);
		break;
	}
}

static struct blk_request *free_request(struct virtio_blk *blk)
{
	for (unsigned i = 0; i < BLK_DEPTH; i++) {
		if (!blk->request[i].busy)
			return &blk->request[i];
	}
	return NULL;
}

/*
 * Takes requests until the queue is empty or the backend has its fill; then blk_done goes on. After
 * some of them others get their turn, however fast the driver adds more.
 */
static void run(struct virtio_blk *blk)
{
	struct blk_request *r;

	if (blk->running)
		return;
	blk->running = true;
	for (unsigned taken = 0; (r = free_request(blk)); taken++) {
		if (taken == BLK_DEPTH) {
			virtio_again(&blk->virtio, 0);
			break;
		}
		if (!virtio_pop(&blk->virtio, 0, &r->chain))
			break;
		take(r);
	}
	blk->running = false;
}

/* --- The device --- */

static struct virtio_blk *of(struct virtio *v)
{
	return container_of(v, struct virtio_blk, virtio);
}

static void on_notify(struct virtio *v, unsigned queue)
{
	run(of(v));
}

static void on_reset(struct virtio *v)
{
	struct virtio_blk *blk = of(v);

	blk->disk.ops->cancel(blk->disk.ctx);
	for (unsigned i = 0; i < BLK_DEPTH; i++)
		blk->request[i].busy = false;
}

static const struct virtio_ops ops = {.notify = on_notify, .reset = on_reset};

static const struct virtio_kind kind = {
	.name = "virtio-blk",
	.id = VIRTIO_BLK,
	.pci_class = 0x018000, /* mass storage, other */
	.queues = 1,
	.queue_size = QUEUE_SIZE,
	.ops = &ops,
};

void virtio_blk_init(struct virtio_blk *blk, const struct blk_disk *disk)
{
	uint64_t features = BIT(F_SIZE_MAX) | BIT(F_SEG_MAX) | BIT(F_BLOCK_SIZE) | BIT(F_FLUSH) |
			    (disk->read_only ? BIT(F_READ_ONLY) : 0);

	memset(blk, 0, sizeof(*blk));
	blk->disk = *disk;
	blk->config = (struct blk_config){
		.capacity = disk->sectors,
		.size_max = SEGMENT_BYTES,
		.seg_max = SEGMENTS,
		.block_size = BLK_SECTOR,
	};
	for (unsigned i = 0; i < BLK_DEPTH; i++)
		blk->request[i].blk = blk;
	virtio_init(&blk->virtio, &kind, features, &blk->config, sizeof(blk->config));
}
