/*
 * virtio-net over PCI, legacy (I/O BAR) and modern. Sections are of "Virtual I/O Device (VIRTIO)
 * Version 1.1". Every frame takes two descriptors, header and data, which each version allows.
 */
#include <stdatomic.h>

#include "hv/base/string.h"
#include "net/drivers/nic.h"

/* 2.6.5: descriptor. */
struct vring_desc {
	uint64_t address;
	uint32_t len;
	uint16_t flags, next;
};
ASSERT_SIZE(struct vring_desc, 16);
#define DESC_NEXT  1
#define DESC_WRITE 2

/* 2.6.6 */
struct vring_avail {
	uint16_t flags, index;
	uint16_t ring[];
};
ASSERT_SIZE(struct vring_avail, 4);
#define AVAIL_NO_INTERRUPT 1

/* 2.6.8 */
struct vring_used_elem {
	uint32_t id, len;
};
struct vring_used {
	uint16_t flags, index;
	struct vring_used_elem ring[];
};
ASSERT_SIZE(struct vring_used, 4);
#define USED_NO_NOTIFY 1

/* 4.1.4: a vendor capability that points into a BAR. */
#define CAP_VENDOR      0x09
#define CAP_TYPE        3
#define CAP_BAR         4
#define CAP_OFFSET      8
#define CAP_NOTIFY_MULT 16
enum cap_type { CAP_COMMON = 1, CAP_NOTIFY = 2, CAP_ISR = 3, CAP_DEVICE = 4 };

/* 4.1.4.3: common configuration. */
#define COMMON_DEVICE_FEATURE_SELECT 0
#define COMMON_DEVICE_FEATURE        4
#define COMMON_DRIVER_FEATURE_SELECT 8
#define COMMON_DRIVER_FEATURE        12
#define COMMON_STATUS                20
#define COMMON_QUEUE_SELECT          22
#define COMMON_QUEUE_SIZE            24
#define COMMON_QUEUE_ENABLE          28
#define COMMON_QUEUE_NOTIFY_OFF      30
#define COMMON_QUEUE_DESC            32
#define COMMON_QUEUE_AVAIL           40
#define COMMON_QUEUE_USED            48

/* 4.1.4.8: legacy registers in BAR 0. */
#define LEGACY_DEVICE_FEATURES 0
#define LEGACY_DRIVER_FEATURES 4
#define LEGACY_QUEUE_PFN       8
#define LEGACY_QUEUE_SIZE      12
#define LEGACY_QUEUE_SELECT    14
#define LEGACY_QUEUE_NOTIFY    16
#define LEGACY_STATUS          18
#define LEGACY_ISR             19
#define LEGACY_CONFIG          20

/* 2.1 */
#define STATUS_ACKNOWLEDGE 1
#define STATUS_DRIVER      2
#define STATUS_DRIVER_OK   4
#define STATUS_FEATURES_OK 8

/* 5.1.3 and 6 */
#define F_MAC       5
#define F_STATUS    16
#define F_VERSION_1 32

#define QUEUE_RX   0
#define QUEUE_TX   1
#define HDR_LEGACY 10 /* 5.1.6: without num_buffers, as mergeable buffers are not taken */
#define HDR_MODERN 12
#define ISR_QUEUE  1
#define ISR_CONFIG 2
#define QUEUE_MAX \
	1024 /* legacy devices choose the size themselves; this much memory is set aside */

static uint32_t rd(struct nic *nic, unsigned bar, uint32_t offset, unsigned size)
{
	return nic->hw->read(nic->hw->ctx, bar, offset, size);
}

static void wr(struct nic *nic, unsigned bar, uint32_t offset, unsigned size, uint32_t value)
{
	nic->hw->write(nic->hw->ctx, bar, offset, size, value);
}

static void common_write(struct nic *nic, uint32_t offset, unsigned size, uint32_t value)
{
	wr(nic, nic->virtio.common_bar, nic->virtio.common + offset, size, value);
}

static uint32_t common_read(struct nic *nic, uint32_t offset, unsigned size)
{
	return rd(nic, nic->virtio.common_bar, nic->virtio.common + offset, size);
}

static uint8_t status_get(struct nic *nic)
{
	return (uint8_t)(nic->virtio.modern ? common_read(nic, COMMON_STATUS, 1)
					    : rd(nic, 0, LEGACY_STATUS, 1));
}

static void status_set(struct nic *nic, uint8_t status)
{
	if (nic->virtio.modern)
		common_write(nic, COMMON_STATUS, 1, status);
	else
		wr(nic, 0, LEGACY_STATUS, 1, status);
}

/* --- Where things are --- */

/* Finds the modern register blocks; false: the device is a legacy one. */
static bool find_modern(struct nic *nic)
{
	const struct nic_hw *hw = nic->hw;
	struct virtio_nic *v = &nic->virtio;
	unsigned seen = 0;

	for (unsigned cap = nic_cap(nic, CAP_VENDOR, 0), i = 0; cap && i < 48;
	     cap = nic_cap(nic, CAP_VENDOR, cap), i++) {
		unsigned type = hw->config_read(hw->ctx, cap + CAP_TYPE, 1);
		uint8_t bar = (uint8_t)hw->config_read(hw->ctx, cap + CAP_BAR, 1);
		uint32_t offset = hw->config_read(hw->ctx, cap + CAP_OFFSET, 4);

		if (bar > 5 || type < CAP_COMMON || type > CAP_DEVICE || (seen & 1u << type))
			continue; /* 4.1.4: the first of a kind counts, unknown kinds are skipped */
		seen |= 1u << type;
		if (type == CAP_COMMON) {
			v->common_bar = bar;
			v->common = offset;
		} else if (type == CAP_ISR) {
			v->isr_bar = bar;
			v->isr = offset;
		} else if (type == CAP_DEVICE) {
			v->device_bar = bar;
			v->device = offset;
		} else {
			v->notify_bar = bar;
			v->notify = offset;
			v->notify_mult = hw->config_read(hw->ctx, cap + CAP_NOTIFY_MULT, 4);
		}
	}
	return seen == (1u << CAP_COMMON | 1u << CAP_NOTIFY | 1u << CAP_ISR | 1u << CAP_DEVICE);
}

static int features(struct nic *nic, struct why *why)
{
	uint32_t want = (uint32_t)(BIT(F_MAC) | BIT(F_STATUS)), have;

	if (!nic->virtio.modern) {
		have = rd(nic, 0, LEGACY_DEVICE_FEATURES, 4);
		wr(nic, 0, LEGACY_DRIVER_FEATURES, 4, have & want);
		return 0;
	}
	common_write(nic, COMMON_DEVICE_FEATURE_SELECT, 4, 0);
	have = common_read(nic, COMMON_DEVICE_FEATURE, 4);
	common_write(nic, COMMON_DRIVER_FEATURE_SELECT, 4, 0);
	common_write(nic, COMMON_DRIVER_FEATURE, 4, have & want);
	common_write(nic, COMMON_DRIVER_FEATURE_SELECT, 4, 1);
	common_write(nic, COMMON_DRIVER_FEATURE, 4, (uint32_t)BIT(F_VERSION_1 - 32));
	status_set(nic, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
	if (status_get(nic) & STATUS_FEATURES_OK)
		return 0;
	return why_set(why, ERR_UNSUPPORTED,
		       "the virtio network card refuses version 1.0 without further features; "
		       "configure the virtual machine with a plain virtio-net or an e1000");
}

/* --- Queues --- */

static int queue_start(struct nic *nic, struct vring *q, unsigned index, struct why *why)
{
	bool modern = nic->virtio.modern;
	size_t desc_bytes, avail_bytes, total;
	uint8_t *mem;
	uint64_t bus;

	wr(nic, modern ? nic->virtio.common_bar : 0,
	   modern ? nic->virtio.common + COMMON_QUEUE_SELECT : LEGACY_QUEUE_SELECT, 2, index);
	q->size = (uint16_t)(modern ? common_read(nic, COMMON_QUEUE_SIZE, 2)
				    : rd(nic, 0, LEGACY_QUEUE_SIZE, 2));
	if (q->size < 2 || q->size > QUEUE_MAX || (q->size & (q->size - 1)))
		return why_set(why, ERR_UNSUPPORTED,
			       "the virtio network card has queues of %u entries; "
			       "expected a power of two from 2 to %u",
			       q->size, QUEUE_MAX);
	/* 2.6.2: one layout that serves both versions: used ring on the next page. */
	desc_bytes = q->size * sizeof(struct vring_desc);
	avail_bytes = sizeof(struct vring_avail) + (q->size + 1u) * 2;
	total = align_up(desc_bytes + avail_bytes, PAGE_SIZE) + sizeof(struct vring_used) +
		q->size * sizeof(struct vring_used_elem) + 2;
	mem = nic_mem(nic, total, PAGE_SIZE);
	memset(mem, 0, total);
	q->desc = (struct vring_desc *)mem;
	q->avail = (struct vring_avail *)(mem + desc_bytes);
	q->used = (const struct vring_used *)(mem + align_up(desc_bytes + avail_bytes, PAGE_SIZE));
	q->pairs = (uint16_t)MIN(q->size / 2, NIC_RING_MAX);
	q->used_seen = q->avail_next = q->free_count = 0;
	q->avail->flags = AVAIL_NO_INTERRUPT;
	for (uint16_t i = q->pairs; i-- > 0;) {
		q->posted[i] = false;
		q->free[q->free_count++] = i;
	}
	bus = nic->hw->bus(nic->hw->ctx, mem);
	if (!modern) {
		nic->virtio.notify_bar = 0;
		q->notify = LEGACY_QUEUE_NOTIFY;
		wr(nic, 0, LEGACY_QUEUE_PFN, 4, (uint32_t)(bus >> PAGE_SHIFT));
		return 0;
	}
	q->notify = nic->virtio.notify +
		    common_read(nic, COMMON_QUEUE_NOTIFY_OFF, 2) * nic->virtio.notify_mult;
	const struct {
		uint32_t at;
		const void *what;
	} parts[] = {{COMMON_QUEUE_DESC, q->desc},
		     {COMMON_QUEUE_AVAIL, q->avail},
		     {COMMON_QUEUE_USED, q->used}};

	for (unsigned i = 0; i < ARRAY_LEN(parts); i++) {
		bus = nic->hw->bus(nic->hw->ctx, parts[i].what);
		common_write(nic, parts[i].at, 4, (uint32_t)bus);
		common_write(nic, parts[i].at + 4, 4, (uint32_t)(bus >> 32));
	}
	common_write(nic, COMMON_QUEUE_ENABLE, 2, 1);
	return 0;
}

/* Makes the pair's two descriptors available; the device sees them once the index moves. */
static void queue_post(struct nic *nic, struct vring *q, uint16_t pair, uint8_t *frame,
		       uint32_t len, uint16_t flags)
{
	struct vring_desc *d = &q->desc[2 * pair];
	uint8_t hdr = nic->virtio.hdr_len;

	d[0].address = nic->hw->bus(nic->hw->ctx, frame);
	d[0].len = hdr;
	d[0].flags = flags | DESC_NEXT;
	d[0].next = (uint16_t)(2 * pair + 1);
	d[1].address = d[0].address + hdr;
	d[1].len = len;
	d[1].flags = flags;
	d[1].next = 0;
	q->posted[pair] = true;
	q->avail->ring[q->avail_next % q->size] = (uint16_t)(2 * pair);
	q->avail_next++;
}

static void queue_kick(struct nic *nic, struct vring *q, uint16_t index)
{
	if (q->avail->index == q->avail_next)
		return;
	__atomic_store_n(&q->avail->index, q->avail_next, __ATOMIC_RELEASE);
	/* 2.6.13.4.1: the index before the look at the flag. */
	atomic_thread_fence(memory_order_seq_cst);
	if (!(__atomic_load_n(&q->used->flags, __ATOMIC_RELAXED) & USED_NO_NOTIFY))
		wr(nic, nic->virtio.notify_bar, q->notify, 2, index);
}

/* The next pair the device is done with and how much it wrote; false when there is none. */
static bool queue_used(struct nic *nic, struct vring *q, uint16_t *pair, uint32_t *len)
{
	uint16_t index = __atomic_load_n(&q->used->index, __ATOMIC_ACQUIRE);

	if ((uint16_t)(index - q->used_seen) > q->size) {
		nic->stats
			.bad_descriptors++; /* more than there are: nothing of it can be believed */
		q->used_seen = index;
	}
	while (q->used_seen != index) {
		const struct vring_used_elem *e = &q->used->ring[q->used_seen % q->size];
		uint32_t id = e->id;

		*len = e->len;
		q->used_seen++;
		if (id % 2 == 0 && id / 2 < q->pairs && q->posted[id / 2]) {
			*pair = (uint16_t)(id / 2);
			q->posted[*pair] = false;
			q->free[q->free_count++] = *pair;
			return true;
		}
		nic->stats.bad_descriptors++;
	}
	return false;
}

/* --- Frames --- */

/* The header lies in front of the frame in the same buffer; see hdr_len. */
static void virtio_rx_refill(struct nic *nic)
{
	struct vring *q = &nic->virtio.rx;
	uint32_t len = (uint32_t)nic->buffer_size - nic->virtio.hdr_len;

	while (q->free_count > 0) {
		int buffer = nic_buffer_get(nic);
		uint16_t pair;

		if (buffer < 0)
			break;
		pair = q->free[--q->free_count];
		q->buffer[pair] = (uint16_t)buffer;
		queue_post(nic, q, pair, nic_rx_at(nic, (unsigned)buffer), len, DESC_WRITE);
	}
	queue_kick(nic, q, QUEUE_RX);
}

static bool virtio_rx(struct nic *nic, struct nic_frame *frame)
{
	struct vring *q = &nic->virtio.rx;
	unsigned hdr = nic->virtio.hdr_len;
	uint16_t pair;
	uint32_t len;

	while (queue_used(nic, q, &pair, &len)) {
		unsigned buffer = q->buffer[pair];

		if (len < hdr + NIC_ETH || len > nic->buffer_size) {
			nic->stats.bad_descriptors++;
			nic_buffer_put(nic, buffer);
			virtio_rx_refill(nic);
			continue;
		}
		frame->data = nic_rx_at(nic, buffer) + hdr;
		frame->len = (uint16_t)(len - hdr);
		frame->buffer = (uint16_t)buffer;
		virtio_rx_refill(nic);
		return true;
	}
	return false;
}

static uint8_t *virtio_tx_buffer(struct nic *nic)
{
	struct virtio_nic *v = &nic->virtio;
	uint16_t pair;
	uint32_t len;

	if (v->tx_pair == NIC_RING_MAX) {
		while (queue_used(nic, &v->tx, &pair, &len))
			;
		if (v->tx.free_count == 0)
			return NULL;
		v->tx_pair = v->tx.free[--v->tx.free_count];
	}
	return nic_tx_at(nic, v->tx_pair) + v->hdr_len;
}

static void virtio_tx_send(struct nic *nic, uint16_t len)
{
	struct virtio_nic *v = &nic->virtio;
	uint8_t *buffer = nic_tx_at(nic, v->tx_pair);

	ASSERT(v->tx_pair < NIC_RING_MAX);
	memset(buffer, 0, v->hdr_len); /* no offload asked */
	queue_post(nic, &v->tx, v->tx_pair, buffer, len, 0);
	v->tx_pair = NIC_RING_MAX;
}

static void virtio_tx_kick(struct nic *nic)
{
	queue_kick(nic, &nic->virtio.tx, QUEUE_TX);
}

/* --- Card --- */

static uint32_t device_read(struct nic *nic, uint32_t offset, unsigned size)
{
	const struct virtio_nic *v = &nic->virtio;

	return v->modern ? rd(nic, v->device_bar, v->device + offset, size)
			 : rd(nic, 0, LEGACY_CONFIG + offset, size);
}

static void virtio_link(struct nic *nic)
{
	/* 5.1.4: mac, then status; without F_STATUS the field reads as link up in every device known. */
	nic->link = device_read(nic, NIC_MAC, 2) & 1;
	nic->mbit = nic->link ? 10000 : 0;
}

static int virtio_start(struct nic *nic, struct why *why)
{
	struct virtio_nic *v = &nic->virtio;
	int err;

	v->modern = find_modern(nic);
	v->hdr_len = v->modern ? HDR_MODERN : HDR_LEGACY;
	v->tx_pair = NIC_RING_MAX;
	status_set(nic, 0);
	for (unsigned i = 0; status_get(nic) != 0; i++) {
		if (i == 100)
			return why_set(why, ERR_TIMEOUT,
				       "the virtio network card does not come out "
				       "of reset within 100 ms");
		nic->hw->delay_us(nic->hw->ctx, 1000);
	}
	status_set(nic, STATUS_ACKNOWLEDGE);
	status_set(nic, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	err = features(nic, why);
	if (err == 0)
		err = queue_start(nic, &v->rx, QUEUE_RX, why);
	if (err == 0)
		err = queue_start(nic, &v->tx, QUEUE_TX, why);
	if (err)
		return err;
	for (unsigned i = 0; i < NIC_MAC; i++)
		nic->mac[i] = (uint8_t)device_read(nic, i, 1);
	status_set(nic, (uint8_t)(STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_DRIVER_OK |
				  (v->modern ? STATUS_FEATURES_OK : 0)));
	virtio_rx_refill(nic);
	return 0;
}

static void virtio_stop(struct nic *nic)
{
	status_set(nic, 0);
}

static void virtio_irq(struct nic *nic, bool on)
{
	nic->virtio.rx.avail->flags = on ? 0 : AVAIL_NO_INTERRUPT;
}

static unsigned virtio_events(struct nic *nic)
{
	const struct virtio_nic *v = &nic->virtio;
	uint32_t isr = v->modern ? rd(nic, v->isr_bar, v->isr, 1) : rd(nic, 0, LEGACY_ISR, 1);

	return (isr & ISR_QUEUE ? NIC_EVENT_RX : 0) | (isr & ISR_CONFIG ? NIC_EVENT_LINK : 0);
}

const struct nic_ops virtio_nic_ops = {
	.name = "virtio-net",
	.start = virtio_start,
	.stop = virtio_stop,
	.tx_buffer = virtio_tx_buffer,
	.tx_send = virtio_tx_send,
	.tx_kick = virtio_tx_kick,
	.rx = virtio_rx,
	.rx_refill = virtio_rx_refill,
	.link = virtio_link,
	.irq = virtio_irq,
	.events = virtio_events,
};
