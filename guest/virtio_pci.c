/*
 * A virtio device's registers on PCI. Notifications and the interrupt status are in I/O space, where
 * an exit needs no decoding, and the driver's first choice; all of them are in one page of memory as
 * well. VIRTIO 1.2, 4.1.
 */
#include "guest/virtio.h"
#include "hv/base/assert.h"
#include "hv/base/bits.h"
#include "hv/base/string.h"

#define VENDOR_VIRTIO   0x1af4
#define DEVICE_MODERN   0x1040 /* plus the device id. 4.1.2.1 */
#define REVISION_MODERN 1

#define IO_BAR       0u
#define IO_SIZE      16u
#define IO_NOTIFY    0u
#define IO_ISR       4u
#define MEM_BAR      1u
#define MEM_SIZE     PAGE_SIZE
#define MEM_COMMON   0x000u
#define MEM_ISR      0x080u
#define MEM_NOTIFY   0x0c0u
#define MEM_DEVICE   0x100u
#define MEM_DEVICES  0x100u
#define MEM_VECTORS  0x800u
#define MEM_PENDING  0xc00u
#define NOTIFY_BYTES 4u

/* 4.1.4: vendor capabilities that say where a structure is. */
#define CAP_VENDOR      0x09
#define CAP_SIZE        16u
#define CAP_LENGTH      2u
#define CAP_TYPE        3u
#define CAP_BAR         4u
#define CAP_OFFSET      8u
#define CAP_BYTES       12u
#define CAP_NOTIFY_MULT 16u
#define CAP_WINDOW_DATA 16u
enum cap_type { CAP_COMMON = 1, CAP_NOTIFY = 2, CAP_ISR = 3, CAP_DEVICE = 4, CAP_WINDOW = 5 };

/* 4.1.4.3 */
struct common {
	uint32_t offered_select, offered, accepted_select, accepted;
	uint16_t config_vector, queues;
	uint8_t status, generation;
	uint16_t queue_select, queue_size, queue_vector, queue_enable, queue_notify;
	uint64_t queue_desc, queue_avail, queue_used;
};
ASSERT_SIZE(struct common, 56);
ASSERT_OFFSET(struct common, queue_select, 22);

static struct virtio *of(struct pci_device *dev)
{
	return container_of(dev, struct virtio, pci);
}

/* --- Common configuration --- */

static uint64_t common_read(const struct virtio *v, uint32_t offset, unsigned size)
{
	struct common c = {
		.offered_select = v->offered_select,
		.offered = v->offered_select < 2 ? (uint32_t)(v->offered >> 32 * v->offered_select)
						 : 0,
		.accepted_select = v->accepted_select,
		.accepted = v->accepted_select < 2
				    ? (uint32_t)(v->accepted >> 32 * v->accepted_select)
				    : 0,
		.config_vector = v->config_vector,
		.queues = (uint16_t)v->kind->queues,
		.status = v->status,
		.generation = v->generation,
		.queue_select = v->queue_select,
	};
	uint64_t value = 0;

	if (v->queue_select < v->kind->queues) {
		const struct virtq *q = &v->queue[v->queue_select];

		c.queue_size = q->size;
		c.queue_vector = v->vector[v->queue_select];
		c.queue_enable = q->enabled;
		c.queue_desc = q->desc;
		c.queue_avail = q->avail;
		c.queue_used = q->used;
	}
	if (range_within(offset, size, sizeof(c)))
		memcpy(&value, (const uint8_t *)&c + offset, size);
	return value;
}

/* A vector that is not there reads back as none. 4.1.5.1.2 */
static uint16_t vector(const struct virtio *v, uint64_t value)
{
	return value < v->msix.count ? (uint16_t)value : 0xffff;
}

/* One of the ring addresses, whole or by halves. */
static void set_address(struct virtq *q, uint32_t offset, unsigned size, uint64_t value)
{
	gpa_t *const address[] = {&q->desc, &q->avail, &q->used};
	uint32_t from = offset - offsetof(struct common, queue_desc);

	if (size >= 4 && is_aligned(offset, size) && from / 8 < ARRAY_LEN(address))
		memcpy((uint8_t *)address[from / 8] + from % 8, &value, size);
}

/* A queue that runs stays as it is. */
static void queue_write(struct virtio *v, uint32_t offset, unsigned size, uint64_t value)
{
	struct virtq *q = virtio_selected(v);

	if (!q || q->enabled)
		return;
	switch (offset) {
	case offsetof(struct common, queue_size):
		q->size = (uint16_t)MIN(value, v->kind->queue_size);
		break;
	case offsetof(struct common, queue_vector):
		v->vector[v->queue_select] = vector(v, value);
		break;
	case offsetof(struct common, queue_enable):
		if (value == 1)
			virtio_enable_queue(v);
		break;
	default:
		set_address(q, offset, size, value);
		break;
	}
}

/* Drivers use each field's own width, 4.1.3.1, so its offset is enough. */
static void common_write(struct virtio *v, uint32_t offset, unsigned size, uint64_t value)
{
	switch (offset) {
	case offsetof(struct common, offered_select):
		v->offered_select = (uint32_t)value;
		break;
	case offsetof(struct common, accepted_select):
		v->accepted_select = (uint32_t)value;
		break;
	case offsetof(struct common, accepted):
		virtio_accept(v, (uint32_t)value);
		break;
	case offsetof(struct common, config_vector):
		v->config_vector = vector(v, value);
		break;
	case offsetof(struct common, status):
		virtio_set_status(v, (uint8_t)value);
		break;
	case offsetof(struct common, queue_select):
		v->queue_select = (uint16_t)value;
		break;
	default:
		queue_write(v, offset, size, value);
		break;
	}
}

static uint64_t device_read(const struct virtio *v, uint32_t offset, unsigned size)
{
	uint64_t value = 0;

	if (offset < v->config_size)
		memcpy(&value, (const uint8_t *)v->config + offset,
		       MIN(size, v->config_size - offset));
	return value;
}

/* --- The BARs --- */

static uint64_t bar_read(struct pci_device *dev, unsigned bar, uint32_t offset, unsigned size,
			 uint64_t now)
{
	struct virtio *v = of(dev);
	uint64_t value = 0;

	if (offset == (bar == IO_BAR ? IO_ISR : MEM_ISR))
		return virtio_take_isr(v);
	if (bar == IO_BAR || msix_read(&v->msix, offset, size, &value))
		return value;
	if (offset >= MEM_DEVICE && offset < MEM_DEVICE + MEM_DEVICES)
		return device_read(v, offset - MEM_DEVICE, size);
	return common_read(v, offset, size);
}

static void bar_write(struct pci_device *dev, unsigned bar, uint32_t offset, unsigned size,
		      uint64_t value, uint64_t now)
{
	struct virtio *v = of(dev);

	if (offset == (bar == IO_BAR ? IO_NOTIFY : MEM_NOTIFY))
		virtio_notify(v, (uint16_t)value);
	else if (bar == MEM_BAR && !msix_write(&v->msix, offset, size, value))
		common_write(v, offset, size, value);
}

/* --- The window in configuration space, for firmware that maps no BARs. 4.1.4.9 --- */

static uint32_t get32(const struct virtio *v, unsigned offset)
{
	uint32_t value;

	memcpy(&value, &v->pci.config[offset], sizeof(value));
	return value;
}

/* Where the window points to; false: to no register. */
static bool window(const struct virtio *v, unsigned *bar, uint32_t *offset, unsigned *size)
{
	*bar = v->pci.config[v->window + CAP_BAR];
	*offset = get32(v, v->window + CAP_OFFSET);
	*size = get32(v, v->window + CAP_BYTES);
	return *bar <= MEM_BAR && (*size == 1 || *size == 2 || *size == 4) &&
	       is_aligned(*offset, *size) && range_within(*offset, *size, v->pci.bar[*bar].size);
}

static bool touches_window(const struct virtio *v, unsigned offset, unsigned size)
{
	return offset + size > v->window + CAP_WINDOW_DATA &&
	       offset < v->window + CAP_WINDOW_DATA + 4;
}

static void config_reading(struct pci_device *dev, unsigned at, unsigned length)
{
	struct virtio *v = of(dev);
	uint32_t offset, value;
	unsigned bar, size;

	if (!touches_window(v, at, length) || !window(v, &bar, &offset, &size))
		return;
	value = (uint32_t)bar_read(dev, bar, offset, size, 0);
	memcpy(&dev->config[v->window + CAP_WINDOW_DATA], &value, size);
}

static void config_written(struct pci_device *dev, unsigned at, unsigned length)
{
	struct virtio *v = of(dev);
	uint32_t offset;
	unsigned bar, size;

	msix_config_written(&v->msix);
	if (touches_window(v, at, length) && window(v, &bar, &offset, &size))
		bar_write(dev, bar, offset, size,
			  get32(v, v->window + CAP_WINDOW_DATA) & BITS(8 * size - 1, 0), 0);
}

/* --- Set-up --- */

static void pci_was_reset(struct pci_device *dev)
{
	struct virtio *v = of(dev);

	msix_reset(&v->msix);
	virtio_reset(v);
}

static void on_tick(struct pci_device *dev)
{
	virtio_tick(of(dev));
}

static const struct pci_device_ops pci_ops = {
	.bar_read = bar_read,
	.bar_write = bar_write,
	.config_reading = config_reading,
	.config_written = config_written,
	.tick = on_tick,
	.reset = pci_was_reset,
};

static unsigned add_cap(struct virtio *v, enum cap_type type, unsigned bar, uint32_t offset,
			uint32_t bytes, unsigned extra)
{
	unsigned at = pci_add_capability(&v->pci, CAP_VENDOR, CAP_SIZE + extra);
	uint8_t *cap = &v->pci.config[at];

	cap[CAP_LENGTH] = (uint8_t)(CAP_SIZE + extra);
	cap[CAP_TYPE] = (uint8_t)type;
	cap[CAP_BAR] = (uint8_t)bar;
	memcpy(cap + CAP_OFFSET, &offset, sizeof(offset));
	memcpy(cap + CAP_BYTES, &bytes, sizeof(bytes));
	return at;
}

/* A multiplier of 0: one address for all queues, the value written names the queue. 4.1.4.4 */
static void add_caps(struct virtio *v)
{
	unsigned at;

	add_cap(v, CAP_COMMON, MEM_BAR, MEM_COMMON, sizeof(struct common), 0);
	add_cap(v, CAP_NOTIFY, IO_BAR, IO_NOTIFY, NOTIFY_BYTES, sizeof(uint32_t));
	add_cap(v, CAP_ISR, IO_BAR, IO_ISR, 1, 0);
	if (v->config_size)
		add_cap(v, CAP_DEVICE, MEM_BAR, MEM_DEVICE, v->config_size, 0);
	add_cap(v, CAP_NOTIFY, MEM_BAR, MEM_NOTIFY, NOTIFY_BYTES, sizeof(uint32_t));
	add_cap(v, CAP_ISR, MEM_BAR, MEM_ISR, 1, 0);
	at = add_cap(v, CAP_WINDOW, 0, 0, 0, sizeof(uint32_t));
	v->window = at;
	memset(&v->pci.writable[at + CAP_BAR], 0xff, 1);
	memset(&v->pci.writable[at + CAP_OFFSET], 0xff, CAP_WINDOW_DATA + 4 - CAP_OFFSET);
}

void virtio_pci_init(struct virtio *v)
{
	uint16_t id = (uint16_t)v->kind->id;

	ASSERT(v->config_size <= MEM_DEVICES);
	pci_device_init(&v->pci, v->kind->name, VENDOR_VIRTIO, (uint16_t)(DEVICE_MODERN + id),
			v->kind->pci_class, REVISION_MODERN);
	v->pci.ops = &pci_ops;
	v->pci.config[PCI_INTERRUPT_PIN] = 1;
	v->pci.config[PCI_SUBSYSTEM] = VENDOR_VIRTIO & 0xff;
	v->pci.config[PCI_SUBSYSTEM + 1] = VENDOR_VIRTIO >> 8;
	v->pci.config[PCI_SUBSYSTEM + 2] = (uint8_t)id;
	v->pci.bar[IO_BAR] = (struct pci_bar){PCI_BAR_IO, IO_SIZE, false};
	v->pci.bar[MEM_BAR] = (struct pci_bar){PCI_BAR_MEM32, MEM_SIZE, false};
	add_caps(v);
	msix_init(&v->msix, &v->pci, v->kind->queues + 1, MEM_BAR, MEM_VECTORS, MEM_PENDING);
}
