#include "guest/msix.h"
#include "hv/base/assert.h"
#include "hv/base/bits.h"
#include "hv/base/string.h"

#define CAP_MSIX         0x11
#define CAP_SIZE         12
#define CAP_CONTROL_HIGH 3 /* the upper byte of message control */
#define CAP_TABLE        4
#define CAP_PENDING      8
#define CONTROL_ENABLE   0x80
#define CONTROL_MASK_ALL 0x40

#define VECTOR_MASKED 1u

ASSERT_SIZE(struct msix_vector, 16); /* 6.8.2.6 to 6.8.2.9 */

static void put32(uint8_t *at, uint32_t v)
{
	memcpy(at, &v, sizeof(v));
}

void msix_init(struct msix *m, struct pci_device *dev, unsigned count, unsigned bar, uint32_t table,
	       uint32_t pending_at)
{
	unsigned at = pci_add_capability(dev, CAP_MSIX, CAP_SIZE);

	ASSERT(count > 0 && count <= MSIX_VECTORS_MAX);
	*m = (struct msix){dev, at, count, table, pending_at, 0, {{0}}};
	dev->config[at + 2] = (uint8_t)(count - 1);
	dev->writable[at + CAP_CONTROL_HIGH] = CONTROL_ENABLE | CONTROL_MASK_ALL;
	put32(&dev->config[at + CAP_TABLE], table | bar);
	put32(&dev->config[at + CAP_PENDING], pending_at | bar);
	msix_reset(m);
}

void msix_reset(struct msix *m)
{
	m->dev->config[m->capability + CAP_CONTROL_HIGH] = 0;
	m->pending = 0;
	for (unsigned i = 0; i < m->count; i++)
		m->vector[i] = (struct msix_vector){.control = VECTOR_MASKED};
}

static uint8_t control(const struct msix *m)
{
	return m->dev->config[m->capability + CAP_CONTROL_HIGH];
}

bool msix_enabled(const struct msix *m)
{
	return control(m) & CONTROL_ENABLE;
}

static bool masked(const struct msix *m, unsigned vector)
{
	return control(m) & CONTROL_MASK_ALL || m->vector[vector].control & VECTOR_MASKED;
}

void msix_raise(struct msix *m, unsigned vector)
{
	if (vector >= m->count)
		return;
	if (masked(m, vector))
		m->pending |= BIT(vector);
	else
		pci_send_msi(m->dev, m->vector[vector].address, m->vector[vector].data);
}

/* Sends what waited and may go now. */
static void send_pending(struct msix *m)
{
	for (unsigned i = 0; msix_enabled(m) && i < m->count; i++) {
		if (!(m->pending & BIT(i)) || masked(m, i))
			continue;
		m->pending &= ~BIT(i);
		msix_raise(m, i);
	}
}

void msix_config_written(struct msix *m)
{
	send_pending(m);
}

bool msix_read(const struct msix *m, uint32_t offset, unsigned size, uint64_t *value)
{
	const uint8_t *from;

	if (offset >= m->table && range_within(offset - m->table, size, MSIX_TABLE(m->count)))
		from = (const uint8_t *)m->vector + (offset - m->table);
	else if (offset >= m->pending_at &&
		 range_within(offset - m->pending_at, size, MSIX_PENDING))
		from = (const uint8_t *)&m->pending + (offset - m->pending_at);
	else
		return false;
	*value = 0;
	memcpy(value, from, size);
	return true;
}

bool msix_write(struct msix *m, uint32_t offset, unsigned size, uint64_t value)
{
	if (offset < m->table || !range_within(offset - m->table, size, MSIX_TABLE(m->count)))
		return false;
	if (size >= 4 && is_aligned(offset, size))
		memcpy((uint8_t *)m->vector + (offset - m->table), &value, size);
	send_pending(m);
	return true;
}
