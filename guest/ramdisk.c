#include "guest/ramdisk.h"
#include "hv/base/string.h"

static void submit(void *ctx, struct blk_request *r)
{
	uint8_t *at = (uint8_t *)ctx + r->sector * BLK_SECTOR;
	uint32_t len = r->count * BLK_SECTOR;

	if (r->op == BLK_READ && !blk_put(r, 0, at, len))
		return;
	if (r->op == BLK_WRITE && !blk_get(r, 0, at, len))
		return;
	blk_done(r, true);
}

/* Nothing is ever left to drop: submit answers at once. */
static void cancel(void *ctx)
{
}

static const struct blk_backend_ops ops = {.submit = submit, .cancel = cancel};

void ramdisk_init(struct blk_disk *disk, void *image, uint64_t bytes)
{
	*disk = (struct blk_disk){.ops = &ops, .ctx = image, .sectors = bytes / BLK_SECTOR};
	str_copy(disk->serial, "amalgam-ram", sizeof(disk->serial));
}
