#include "net/aoe/aoe.h"
#include "hv/base/assert.h"
#include "hv/base/bits.h"
#include "hv/base/string.h"

/* AoE r11, 2: common header behind Ethernet's. Multi-byte fields are big-endian. */
struct header {
	uint8_t dst[AOE_MAC], src[AOE_MAC];
	uint8_t type[2];
	uint8_t flags; /* version in the upper half */
	uint8_t error;
	uint8_t shelf[2];
	uint8_t slot, command;
	uint8_t tag[4];
};
ASSERT_SIZE(struct header, 24);

#define VERSION        0x10
#define VERSION_MASK   0xf0
#define FLAG_RESPONSE  0x08
#define FLAG_ERROR     0x04
#define COMMAND_ATA    0
#define COMMAND_CONFIG 1

/* 3.1 */
struct ata {
	uint8_t flags, error, count, command;
	uint8_t lba[6], reserved[2];
};
ASSERT_SIZE(struct ata, 12);
#define ATA_FLAG_LBA48 0x40
#define ATA_FLAG_WRITE 0x01
#define ATA_LBA_MODE   0xe0 /* the device register of a 28-bit command */
#define ATA_ERROR      0x01 /* status */
#define ATA_FAULT      0x20

/* 3.2; ccmd 0 reads the configuration */
struct config {
	uint8_t buffers[2], firmware[2];
	uint8_t sectors, command;
	uint8_t length[2];
};
ASSERT_SIZE(struct config, 8);

enum ata_command {
	ATA_READ = 0x20,
	ATA_READ_EXT = 0x24,
	ATA_WRITE = 0x30,
	ATA_WRITE_EXT = 0x34,
	ATA_FLUSH = 0xe7,
	ATA_FLUSH_EXT = 0xea,
	ATA_IDENTIFY = 0xec,
};

/* ATA8-ACS, 7.16.7: words of the identification */
#define ID_SECTORS28     60
#define ID_COMMANDS      83
#define ID_SECTORS48     100
#define ID_HAS_LBA48     0x0400
#define ID_HAS_FLUSH     0x1000
#define ID_HAS_FLUSH_EXT 0x2000

#define FRAME_MIN  60 /* what Ethernet pads to */
#define ATA_AT     sizeof(struct header)
#define DATA_AT    (ATA_AT + sizeof(struct ata))
#define QUERY_NS   (500 * NS_PER_MS)
#define RTO_FIRST  (200 * NS_PER_MS)
#define RTO_MIN    (20 * NS_PER_MS)
#define RTO_MAX    (2 * NS_PER_S)
#define WINDOW_MIN 2u
#define TRIES_LOST 4 /* from then on the target may be elsewhere */
#define SLOT_BITS  8 /* of a tag; the rest is a sequence number */

static const uint8_t broadcast[AOE_MAC] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static uint32_t get_be(const uint8_t *at, unsigned size)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < size; i++)
		v = v << 8 | at[i];
	return v;
}

static void put_be(uint8_t *at, unsigned size, uint32_t v)
{
	for (unsigned i = 0; i < size; i++)
		at[i] = (uint8_t)(v >> 8 * (size - 1 - i));
}

void aoe_init(struct aoe *a, const struct aoe_config *config, uint64_t now)
{
	memset(a, 0, sizeof(*a));
	a->config = *config;
	a->rto = RTO_FIRST;
	a->query_due = now;
	list_init(&a->queue);
	list_init(&a->done);
}

/* --- Requests and their frames --- */

static struct aoe_frame *new_frame(struct aoe *a, struct aoe_io *io)
{
	for (unsigned i = 0; i < AOE_FRAMES; i++) {
		struct aoe_frame *f = &a->frame[i];

		if (f->used)
			continue;
		*f = (struct aoe_frame){.used = true, .send = true, .io = io};
		f->tag = a->sequence++ << SLOT_BITS | i;
		a->in_flight++;
		if (io)
			io->frames++;
		return f;
	}
	return NULL;
}

static void free_frame(struct aoe *a, struct aoe_frame *f)
{
	if (f->io)
		f->io->frames--;
	f->used = false;
	a->in_flight--;
}

static void free_frames_of(struct aoe *a, const struct aoe_io *io)
{
	for (unsigned i = 0; i < AOE_FRAMES; i++) {
		if (a->frame[i].used && a->frame[i].io == io)
			free_frame(a, &a->frame[i]);
	}
}

void aoe_submit(struct aoe *a, struct aoe_io *io)
{
	io->failed = false;
	io->issued = io->frames = 0;
	list_push_back(&a->queue, &io->link);
}

struct aoe_io *aoe_done(struct aoe *a)
{
	struct list *node = list_pop_front(&a->done);

	return node ? container_of(node, struct aoe_io, link) : NULL;
}

static void finish(struct aoe *a, struct aoe_io *io, bool failed)
{
	free_frames_of(a, io);
	io->failed = failed;
	a->stats.errors += failed;
	list_remove(&io->link);
	list_push_back(&a->done, &io->link);
}

/* The link of a request whose frames are all made is in no list. */
static bool all_issued(const struct aoe_io *io)
{
	return list_empty(&io->link);
}

void aoe_cancel(struct aoe *a)
{
	for (unsigned i = 0; i < AOE_FRAMES; i++) {
		if (a->frame[i].used && a->frame[i].io)
			free_frame(a, &a->frame[i]);
	}
	while (list_pop_front(&a->queue))
		;
	while (list_pop_front(&a->done))
		;
}

/* The next piece of the oldest request that has one, when the target can take another frame. */
static struct aoe_frame *issue(struct aoe *a)
{
	struct aoe_frame *f;
	struct aoe_io *io;

	if (a->state != AOE_READY || a->in_flight >= a->window || list_empty(&a->queue))
		return NULL;
	io = container_of(a->queue.next, struct aoe_io, link);
	f = new_frame(a, io);
	if (!f)
		return NULL;
	f->offset = io->issued;
	f->sectors = MIN(a->per_frame, io->count - io->issued);
	io->issued += f->sectors;
	if (io->issued == io->count)
		list_remove(&io->link);
	return f;
}

/* --- Time --- */

/* RFC 6298's estimate, 2.2 and 2.3. */
static void sample_rtt(struct aoe *a, uint64_t rtt)
{
	uint64_t off = rtt > a->rtt ? rtt - a->rtt : a->rtt - rtt;

	if (!a->rtt) {
		a->rtt = rtt;
		a->rtt_var = rtt / 2;
	} else {
		a->rtt_var = (3 * a->rtt_var + off) / 4;
		a->rtt = (7 * a->rtt + rtt) / 8;
	}
	a->rto = MIN(MAX(a->rtt + 4 * a->rtt_var, RTO_MIN), RTO_MAX);
}

/* An answer in time lets one more frame out per round; a loss halves them. */
static void window_grow(struct aoe *a)
{
	if (++a->grown < a->window)
		return;
	a->grown = 0;
	a->window = MIN(a->window + 1, a->buffers);
}

/* The longer time-out stays until an answer to a frame sent once tells better: RFC 6298, 5.5. */
static void on_loss(struct aoe *a)
{
	a->rto = MIN(2 * a->rto, RTO_MAX);
	a->grown = 0;
	a->window = MAX(a->window / 2, 1u);
}

static void give_up(struct aoe *a, struct aoe_frame *f, uint64_t now)
{
	if (f->io) {
		finish(a, f->io, true);
		return;
	}
	free_frame(a, f);
	a->state = AOE_SEEKING;
	a->query_due = now;
}

/* What was not answered in time is sent again, or given up. */
static void run_timers(struct aoe *a, uint64_t now)
{
	bool lost = false;

	for (unsigned i = 0; i < AOE_FRAMES; i++) {
		struct aoe_frame *f = &a->frame[i];

		if (!f->used || f->send || now < f->due)
			continue;
		lost = true;
		if (now - f->first >= a->config.dead_ns) {
			give_up(a, f, now);
			continue;
		}
		f->send = true;
		a->stats.resent++;
		if (f->tries >= TRIES_LOST && !a->seek_again) {
			a->seek_again = true;
			a->query_due = now;
		}
	}
	if (lost)
		on_loss(a);
}

uint64_t aoe_deadline(const struct aoe *a)
{
	uint64_t due = a->state == AOE_SEEKING || a->seek_again ? a->query_due : UINT64_MAX;

	for (unsigned i = 0; i < AOE_FRAMES; i++) {
		const struct aoe_frame *f = &a->frame[i];

		if (f->used)
			due = MIN(due, f->send ? 0 : f->due);
	}
	return due;
}

/* --- Out --- */

static struct header *put_header(const struct aoe *a, void *buf, const uint8_t *dst,
				 uint8_t command, uint32_t tag)
{
	struct header *h = buf;

	memset(buf, 0, FRAME_MIN);
	memcpy(h->dst, dst, AOE_MAC);
	memcpy(h->src, a->config.mac, AOE_MAC);
	put_be(h->type, 2, AOE_ETHERTYPE);
	h->flags = VERSION;
	put_be(h->shelf, 2, a->config.shelf);
	h->slot = a->config.slot;
	h->command = command;
	put_be(h->tag, 4, tag);
	return h;
}

static size_t put_query(struct aoe *a, uint64_t now, void *buf)
{
	a->query_due = now + QUERY_NS;
	a->query_tag = a->sequence++ << SLOT_BITS | AOE_FRAMES;
	put_header(a, buf, broadcast, COMMAND_CONFIG, a->query_tag);
	return FRAME_MIN;
}

static uint8_t ata_command(const struct aoe *a, const struct aoe_io *io)
{
	if (!io)
		return ATA_IDENTIFY;
	if (io->op == AOE_FLUSH)
		return a->flush;
	if (io->op == AOE_READ)
		return a->lba48 ? ATA_READ_EXT : ATA_READ;
	return a->lba48 ? ATA_WRITE_EXT : ATA_WRITE;
}

static void put_ata(const struct aoe *a, const struct aoe_frame *f, struct ata *ata)
{
	uint64_t lba = f->io ? f->io->sector + f->offset : 0;
	bool transfer = f->io && f->io->op != AOE_FLUSH;

	ata->command = ata_command(a, f->io);
	ata->count = (uint8_t)(f->io ? f->sectors : 1);
	if (!transfer)
		return;
	for (unsigned i = 0; i < 6; i++)
		ata->lba[i] = (uint8_t)(lba >> 8 * i);
	if (a->lba48)
		ata->flags = ATA_FLAG_LBA48;
	else
		ata->lba[3] = (uint8_t)((ata->lba[3] & 0x0f) | ATA_LBA_MODE);
	if (f->io->op == AOE_WRITE)
		ata->flags |= ATA_FLAG_WRITE;
}

/* 0: the owner has no bytes for it, so the request has failed. */
static size_t put_frame(struct aoe *a, struct aoe_frame *f, uint64_t now, void *buf)
{
	uint32_t bytes = f->io && f->io->op == AOE_WRITE ? f->sectors * AOE_SECTOR : 0;

	put_header(a, buf, a->target, COMMAND_ATA, f->tag);
	put_ata(a, f, (struct ata *)((uint8_t *)buf + ATA_AT));
	if (bytes && !a->config.data->get(a->config.ctx, f->io, f->offset * AOE_SECTOR,
					  (uint8_t *)buf + DATA_AT, bytes)) {
		finish(a, f->io, true);
		return 0;
	}
	if (!f->tries)
		f->first = now;
	f->send = false;
	f->due = now + a->rto;
	f->tries++;
	return MAX(DATA_AT + bytes, (size_t)FRAME_MIN);
}

static struct aoe_frame *to_send(struct aoe *a)
{
	for (unsigned i = 0; i < AOE_FRAMES; i++) {
		if (a->frame[i].used && a->frame[i].send)
			return &a->frame[i];
	}
	return NULL;
}

/* A target without a flush has nothing to flush. */
static void skip_flushes(struct aoe *a)
{
	list_for_each_safe (node, &a->queue) {
		struct aoe_io *io = container_of(node, struct aoe_io, link);

		if (io->op == AOE_FLUSH && a->state == AOE_READY && !a->flush)
			finish(a, io, false);
	}
}

size_t aoe_tx(struct aoe *a, uint64_t now, void *buf)
{
	struct aoe_frame *f;
	size_t len = 0;

	run_timers(a, now);
	skip_flushes(a);
	if ((a->state == AOE_SEEKING || a->seek_again) && now >= a->query_due)
		len = put_query(a, now, buf);
	while (!len && ((f = to_send(a)) || (f = issue(a))))
		len = put_frame(a, f, now, buf);
	a->stats.frames_out += len > 0;
	return len;
}

/* --- In --- */

/* The target answers again, maybe from elsewhere: what waits for it is sent at once. */
static void resend_all(struct aoe *a)
{
	for (unsigned i = 0; i < AOE_FRAMES; i++) {
		struct aoe_frame *f = &a->frame[i];

		if (!f->used || !f->tries)
			continue;
		f->send = true;
		f->tries = 2; /* more than once, but not yet lost */
	}
}

/* Our question is answered: here is the target, and this is what it can take. */
static void on_config(struct aoe *a, const struct header *h, size_t len)
{
	const struct config *c = (const struct config *)((const uint8_t *)h + ATA_AT);
	unsigned sectors, fit = (a->config.mtu + AOE_ETH - (unsigned)DATA_AT) / AOE_SECTOR;

	if (len < ATA_AT + sizeof(*c) || get_be(h->tag, 4) != a->query_tag ||
	    (a->state != AOE_SEEKING && !a->seek_again)) {
		a->stats.ignored++;
		return;
	}
	memcpy(a->target, h->src, AOE_MAC);
	/* One that says nothing takes two sectors, which any Ethernet carries. */
	sectors = c->sectors ? c->sectors : 2;
	a->per_frame = MIN(sectors, fit);
	a->buffers = MIN(MAX(get_be(c->buffers, 2), 1u), (unsigned)AOE_FRAMES);
	a->window = MIN(MAX(a->window, WINDOW_MIN), a->buffers);
	if (a->seek_again)
		resend_all(a);
	a->seek_again = false;
	if (a->state == AOE_SEEKING && new_frame(a, NULL))
		a->state = AOE_IDENTIFYING;
}

static uint16_t word(const uint8_t *data, unsigned i)
{
	return (uint16_t)(data[2 * i] | data[2 * i + 1] << 8);
}

static uint64_t words(const uint8_t *data, unsigned first, unsigned count)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < count; i++)
		v |= (uint64_t)word(data, first + i) << 16 * i;
	return v;
}

static void on_identified(struct aoe *a, const uint8_t *data)
{
	uint16_t has = word(data, ID_COMMANDS);

	a->lba48 = has & ID_HAS_LBA48;
	a->sectors = a->lba48 ? words(data, ID_SECTORS48, 4) : words(data, ID_SECTORS28, 2);
	a->flush = has & ID_HAS_FLUSH_EXT ? ATA_FLUSH_EXT : has & ID_HAS_FLUSH ? ATA_FLUSH : 0;
	a->state = AOE_READY;
}

/* The bytes an answer has to bring. */
static uint32_t expected_bytes(const struct aoe_frame *f)
{
	if (!f->io)
		return AOE_SECTOR;
	return f->io->op == AOE_READ ? f->sectors * AOE_SECTOR : 0;
}

static void on_answer(struct aoe *a, struct aoe_frame *f, bool good, const uint8_t *data)
{
	struct aoe_io *io = f->io;

	if (!io) {
		free_frame(a, f);
		if (good)
			on_identified(a, data);
		else
			a->state = AOE_SEEKING;
		return;
	}
	if (good && io->op == AOE_READ)
		good = a->config.data->put(a->config.ctx, io, f->offset * AOE_SECTOR, data,
					   f->sectors * AOE_SECTOR);
	if (!good) {
		finish(a, io, true);
		return;
	}
	free_frame(a, f);
	if (all_issued(io) && !io->frames)
		finish(a, io, false);
}

static void on_ata(struct aoe *a, uint64_t now, const struct header *h, size_t len)
{
	const struct ata *ata = (const struct ata *)((const uint8_t *)h + ATA_AT);
	uint32_t tag = get_be(h->tag, 4), slot = tag & (BIT(SLOT_BITS) - 1);
	struct aoe_frame *f = &a->frame[slot % AOE_FRAMES];
	bool bad = h->flags & FLAG_ERROR;

	/* Late, doubled, damaged or from a stranger: the real answer may yet come. */
	if (slot >= AOE_FRAMES || !f->used || f->tag != tag || !f->tries || len < DATA_AT ||
	    memcmp(h->src, a->target, AOE_MAC)) {
		a->stats.ignored++;
		return;
	}
	bad |= (ata->command & (ATA_ERROR | ATA_FAULT)) != 0;
	if (!bad && len < DATA_AT + expected_bytes(f)) {
		a->stats.ignored++;
		return;
	}
	/* Of a frame sent twice nobody knows which one is answered. */
	if (f->tries == 1)
		sample_rtt(a, now - f->first);
	window_grow(a);
	on_answer(a, f, !bad, (const uint8_t *)h + DATA_AT);
}

void aoe_rx(struct aoe *a, uint64_t now, const void *frame, size_t len)
{
	const struct header *h = frame;

	a->stats.frames_in++;
	if (len < sizeof(*h) || get_be(h->type, 2) != AOE_ETHERTYPE ||
	    (h->flags & VERSION_MASK) != VERSION || !(h->flags & FLAG_RESPONSE) ||
	    memcmp(h->dst, a->config.mac, AOE_MAC) || get_be(h->shelf, 2) != a->config.shelf ||
	    h->slot != a->config.slot)
		a->stats.ignored++;
	else if (h->command == COMMAND_CONFIG)
		on_config(a, h, len);
	else if (h->command == COMMAND_ATA)
		on_ata(a, now, h, len);
}
