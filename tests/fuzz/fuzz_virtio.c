/*
 * A hostile driver against each virtio device: descriptors, rings, registers and notifications at
 * random, with a backend that answers when the input says so. The first byte picks device and
 * features; then steps of eight bytes. All guest memory is given back after each of them.
 */
#include <stdlib.h>
#include <string.h>

#include "guest/lan_rules.h"
#include "guest/virtio_blk.h"
#include "guest/virtio_console.h"
#include "guest/virtio_net.h"
#include "tests/host/plat.h"
#include "tests/host/virtio_rig.h"

#define SECTORS 256
#define TABLE   0x10000 /* where indirect tables are likely */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct virtio_blk blk;
static struct virtio_net net;
static struct virtio_console console;
static struct rig rig;
static struct blk_request *waiting[BLK_DEPTH];
static unsigned waiting_count;
static unsigned room;
static uint8_t image[SECTORS * BLK_SECTOR];

static void submit(void *ctx, struct blk_request *r)
{
	if (waiting_count == BLK_DEPTH || r->sector + r->count > SECTORS)
		abort();
	waiting[waiting_count++] = r;
}

static void cancel(void *ctx)
{
	waiting_count = 0;
}

static void answer(bool good)
{
	struct blk_request *r;
	uint8_t *at;

	if (!waiting_count)
		return;
	r = waiting[--waiting_count];
	at = image + r->sector * BLK_SECTOR;
	if (r->op == BLK_READ && !blk_put(r, 0, at, r->count * BLK_SECTOR))
		return;
	if (r->op == BLK_WRITE && !blk_get(r, 0, at, r->count * BLK_SECTOR))
		return;
	blk_done(r, good);
}

static size_t take(void *ctx, const uint8_t *bytes, size_t count)
{
	size_t n = MIN(count, room);

	room -= (unsigned)n;
	return n;
}

/* As the network card's backend does; a frame of exactly its length, for the sanitizer. */
static bool send(void *ctx, const void *frame, size_t len)
{
	static const struct lan_rules rules = {{2, 0, 0, 0, 0, 1}, 1500, 0x88b5, false};
	uint8_t *copy;

	if (len < 14 || len > VIRTIO_NET_FRAME)
		abort();
	copy = malloc(len);
	memcpy(copy, frame, len);
	if (lan_out(&rules, copy, len) == LAN_PASSES &&
	    (copy[6] != 2 || lan_type(copy, len) == LAN_TYPE_AOE))
		abort();
	free(copy);
	return room & 1;
}

static struct virtio *device(unsigned kind)
{
	static const struct blk_backend_ops ops = {submit, cancel};
	static const uint8_t mac[] = {2, 0, 0, 0, 0, 1};
	const struct blk_disk disk = {.ops = &ops, .sectors = SECTORS, .serial = "fuzz"};

	waiting_count = 0;
	room = 0;
	virtio_blk_init(&blk, &disk);
	virtio_net_init(&net, mac, send, NULL);
	virtio_console_init(&console, take, NULL);
	return kind == 0 ? &blk.virtio : kind == 1 ? &net.virtio : &console.virtio;
}

static uint32_t get32(const uint8_t *s)
{
	uint32_t v;

	memcpy(&v, s, sizeof(v));
	return v;
}

/* Host events: bytes and frames arrive, the sink has room, the backend answers. */
static void host_event(const uint8_t *s)
{
	room = s[2];
	if (rig.dev == &blk.virtio)
		answer(s[2] & 1);
	else if (rig.dev == &net.virtio && s[2] & 2)
		virtio_net_link(&net, s[3] & 1);
	else if (rig.dev == &net.virtio && s[2] & 4)
		virtio_net_resume(&net);
	else if (rig.dev == &net.virtio)
		virtio_net_rx(&net, image, get32(s + 3) % (VIRTIO_NET_FRAME + 2));
	else if (s[2] & 1)
		virtio_console_resume(&console);
	else
		virtio_console_rx(&console, image, s[3]);
	pc_pci_sync(&rig.pc, 0);
}

/* A descriptor, of the queue or of a table: index, flags and next, length, address up to 2 MiB. */
static void put_desc(const struct rig_queue *q, const uint8_t *s, bool indirect)
{
	gpa_t at = (indirect ? TABLE : q->desc) + 16u * (s[1] & 7);
	gpa_t gpa = (gpa_t)(s[6] | s[7] << 8) << 5;
	uint32_t len = s[4] | (uint32_t)s[5] << 8;

	rig_desc_at(at,
		    s[3] & 0x80   ? ~gpa
		    : s[3] & 0x40 ? TABLE
				  : gpa,
		    s[3] & 0x20 ? ~len : len, s[2] & 7, s[3] & 15);
}

static void step(const uint8_t *s)
{
	unsigned queue = (s[0] >> 7) % rig.dev->kind->queues;
	struct rig_queue *q = &rig.queue[queue];
	uint16_t head;
	uint32_t len;

	switch (s[0] & 15) {
	case 0 ... 2:
		put_desc(q, s, false);
		break;
	case 3:
		put_desc(q, s, true);
		break;
	case 4 ... 5:
		rig_offer(q, s[1] & 15);
		break;
	case 6 ... 7:
		rig_notify(&rig, queue);
		break;
	case 8 ... 9:
		host_event(s);
		break;
	case 10:
		rig_common_set(&rig, s[1] & 63, 1u << s[2] % 4, get32(s + 4));
		break;
	case 11:
		rig_config_set(&rig, s[1] & 0xfc, 4, get32(s + 4));
		break;
	case 12:
		q->offered = (uint16_t)get32(s + 4);
		break;
	case 13:
		/* anywhere in memory: rings, headers of requests */
		memcpy(host_ram() + (get32(s + 1) & 0x1ffff), s + 4, 4);
		break;
	case 14:
		while (rig_take(q, &head, &len))
			;
		rig_tick(&rig);
		break;
	default:
		rig_start(&rig, RIG_VERSION_1 | (uint64_t)(s[1] & 3) << 28,
			  (uint16_t)(8u << s[2] % 3));
		break;
	}
	if (host_ram_held())
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	rig_init(&rig, device(data[0] % 3));
	rig_start(&rig, RIG_VERSION_1 | (uint64_t)(data[0] >> 6) << 28, 8);
	for (data++, size--; size >= 8; data += 8, size -= 8) {
		/* A driver may move the BARs; its notifications then go nowhere, as they should. */
		step(data);
	}
	return 0;
}
