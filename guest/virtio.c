#include "guest/virtio.h"
#include "hv/base/bits.h"
#include "hv/base/fmt.h"
#include "hv/base/log.h"
#include "hv/base/string.h"

/* 2.1 */
#define STATUS_DRIVER_OK   0x04u
#define STATUS_FEATURES_OK 0x08u
#define STATUS_NEEDS_RESET 0x40u

/* 4.1.4.5 */
#define ISR_QUEUE  1u
#define ISR_CONFIG 2u

#define NO_VECTOR       0xffffu
/* A driver that fails the device over and over does not fill the log. */
#define FAILURES_LOGGED 8u

#define COMMON_FEATURES \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_INDIRECT_DESC) | BIT(VIRTIO_F_EVENT_IDX))

static void clear(struct virtio *v)
{
	v->accepted = 0;
	v->offered_select = v->accepted_select = 0;
	v->status = v->isr = 0;
	v->queue_select = 0;
	v->config_vector = NO_VECTOR;
	v->again = 0;
	for (unsigned i = 0; i < v->kind->queues; i++) {
		v->queue[i] = (struct virtq){.size = v->kind->queue_size};
		v->vector[i] = NO_VECTOR;
	}
	pci_set_intx(&v->pci, false);
}

void virtio_init(struct virtio *v, const struct virtio_kind *kind, uint64_t features,
		 const void *config, uint32_t config_size)
{
	*v = (struct virtio){
		.kind = kind,
		.config = config,
		.config_size = config_size,
		.offered = features | COMMON_FEATURES,
	};
	virtio_pci_init(v);
	clear(v);
}

void virtio_reset(struct virtio *v)
{
	if (v->kind->ops->reset)
		v->kind->ops->reset(v);
	clear(v);
}

/* --- Interrupts --- */

static void interrupt(struct virtio *v, uint16_t vector, uint8_t reason)
{
	if (msix_enabled(&v->msix)) {
		msix_raise(&v->msix, vector);
		return;
	}
	v->isr |= reason;
	pci_set_intx(&v->pci, true);
}

uint8_t virtio_take_isr(struct virtio *v)
{
	uint8_t isr = v->isr;

	v->isr = 0;
	pci_set_intx(&v->pci, false);
	return isr;
}

void virtio_config_changed(struct virtio *v)
{
	v->generation++;
	if (v->status & STATUS_DRIVER_OK)
		interrupt(v, v->config_vector, ISR_CONFIG);
}

/* 2.1.2: a driver that was running is told. */
void virtio_fail(struct virtio *v, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	if (v->status & STATUS_NEEDS_RESET)
		return;
	v->status |= STATUS_NEEDS_RESET;
	if (v->failures++ < FAILURES_LOGGED) {
		va_start(ap, fmt);
		fmt_vprint(text, sizeof(text), fmt, ap);
		va_end(ap);
		log_warn(LOG_DEV, "%s stops until its driver resets it: %s", v->kind->name, text);
	}
	virtio_config_changed(v);
}

/* --- Starting --- */

/* The bits of the half that accepted_select names; no change once they are agreed on. 2.2.1 */
void virtio_accept(struct virtio *v, uint32_t bits)
{
	unsigned shift = v->accepted_select * 32;

	if (v->accepted_select > 1 || v->status & STATUS_FEATURES_OK)
		return;
	v->accepted = (v->accepted & ~(BITS(31, 0) << shift)) | (uint64_t)bits << shift;
}

static bool features_fit(const struct virtio *v)
{
	return !(v->accepted & ~v->offered) && virtio_has(v, VIRTIO_F_VERSION_1);
}

/* What came in before is looked at now. */
static void start(struct virtio *v)
{
	for (unsigned i = 0; i < v->kind->queues; i++)
		virtio_again(v, i);
}

/* Bits are only ever added, but by a reset. 2.1.1 */
void virtio_set_status(struct virtio *v, uint8_t status)
{
	uint8_t fresh = status & (uint8_t)~v->status;

	if (!status) {
		virtio_reset(v);
		return;
	}
	if (fresh & STATUS_FEATURES_OK && !features_fit(v)) {
		if (v->failures++ < FAILURES_LOGGED)
			log_warn(LOG_DEV,
				 "%s refuses its driver's features %#llx; "
				 "it offers %#llx and needs VIRTIO_F_VERSION_1 (bit 32)",
				 v->kind->name, (unsigned long long)v->accepted,
				 (unsigned long long)v->offered);
		fresh &= (uint8_t)~STATUS_FEATURES_OK;
	}
	v->status |= fresh & (uint8_t)~STATUS_NEEDS_RESET;
	if (fresh & STATUS_DRIVER_OK)
		start(v);
}

struct virtq *virtio_selected(struct virtio *v)
{
	return v->queue_select < v->kind->queues ? &v->queue[v->queue_select] : NULL;
}

void virtio_enable_queue(struct virtio *v)
{
	struct virtq *q = virtio_selected(v);
	struct why why;

	if (!q || q->enabled)
		return;
	if (!(v->status & STATUS_FEATURES_OK)) {
		virtio_fail(v, "queue %u was enabled before FEATURES_OK", v->queue_select);
		return;
	}
	q->indirect = virtio_has(v, VIRTIO_F_INDIRECT_DESC);
	q->event_idx = virtio_has(v, VIRTIO_F_EVENT_IDX);
	if (virtq_start(q, &why))
		virtio_fail(v, "queue %u: %s", v->queue_select, why.text);
}

/* --- Running --- */

bool virtio_ready(const struct virtio *v, unsigned queue)
{
	return v->status & STATUS_DRIVER_OK && !(v->status & STATUS_NEEDS_RESET) &&
	       v->queue[queue].enabled;
}

void virtio_notify(struct virtio *v, unsigned queue)
{
	if (queue < v->kind->queues && virtio_ready(v, queue))
		v->kind->ops->notify(v, queue);
}

void virtio_again(struct virtio *v, unsigned queue)
{
	v->again |= 1u << queue;
	v->pci.work = true;
}

void virtio_tick(struct virtio *v)
{
	unsigned again = v->again;

	v->again = 0;
	for (; again; again &= again - 1)
		virtio_notify(v, bit_lowest(again));
}

bool virtio_pop(struct virtio *v, unsigned queue, struct virtq_chain *chain)
{
	struct why why;
	int got;

	if (!virtio_ready(v, queue))
		return false;
	got = virtq_pop(&v->queue[queue], chain, &why);
	if (got < 0)
		virtio_fail(v, "queue %u: %s", queue, why.text);
	return got > 0;
}

void virtio_push(struct virtio *v, unsigned queue, uint16_t head, uint32_t written)
{
	bool wanted;
	struct why why;

	if (!virtio_ready(v, queue))
		return;
	if (virtq_push(&v->queue[queue], head, written, &wanted, &why))
		virtio_fail(v, "queue %u: %s", queue, why.text);
	else if (wanted)
		interrupt(v, v->vector[queue], ISR_QUEUE);
}
