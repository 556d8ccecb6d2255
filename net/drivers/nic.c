#include "net/drivers/nic.h"

#include "hv/base/fmt.h"
#include "hv/base/string.h"

#define PCI_ID          0x00
#define PCI_COMMAND     0x04
#define PCI_STATUS      0x06
#define PCI_CAPS        0x34
#define PCI_CMD_IO      0x1
#define PCI_CMD_MEM     0x2
#define PCI_CMD_MASTER  0x4
#define PCI_CMD_NO_INTX 0x400
#define PCI_STATUS_CAPS 0x10
#define PCI_CAP_MSI     0x05
#define MSI_CTL_ENABLE  0x1
#define MSI_CTL_64      0x80

// clang-format off
static const struct nic_id known[] = {
	{0x8086, 0x100e, E1000_OLD_EERD, &e1000_ops, "82540EM"},
	{0x8086, 0x100f, E1000_OLD_EERD, &e1000_ops, "82545EM"},
	{0x8086, 0x10d3, 0,              &e1000_ops, "82574L"},
	{0x8086, 0x153a, E1000_NO_EERD,                  &e1000_ops, "I217-LM"},
	{0x8086, 0x153b, E1000_NO_EERD,                  &e1000_ops, "I217-V"},
	{0x8086, 0x155a, E1000_NO_EERD,                  &e1000_ops, "I218-LM"},
	{0x8086, 0x1559, E1000_NO_EERD,                  &e1000_ops, "I218-V"},
	{0x8086, 0x15a0, E1000_NO_EERD,                  &e1000_ops, "I218-LM(2)"},
	{0x8086, 0x15a1, E1000_NO_EERD,                  &e1000_ops, "I218-V(2)"},
	{0x8086, 0x15a2, E1000_NO_EERD,                  &e1000_ops, "I218-LM(3)"},
	{0x8086, 0x15a3, E1000_NO_EERD,                  &e1000_ops, "I218-V(3)"},
	{0x8086, 0x156f, E1000_NO_EERD | E1000_NO_RESET, &e1000_ops, "I219-LM"},
	{0x8086, 0x1570, E1000_NO_EERD | E1000_NO_RESET, &e1000_ops, "I219-V"},
	{0x8086, 0x15b7, E1000_NO_EERD | E1000_NO_RESET, &e1000_ops, "I219-LM(2)"},
	{0x8086, 0x15b8, E1000_NO_EERD | E1000_NO_RESET, &e1000_ops, "I219-V(2)"},
	{0x1af4, 0x1000, 0,              &virtio_nic_ops, "virtio-net"},
	{0x1af4, 0x1041, 0,              &virtio_nic_ops, "virtio-net 1.0"},
};
// clang-format on

static int unknown(uint16_t vendor, uint16_t device, struct why *why)
{
	char list[160];
	size_t n = 0;

	for (unsigned i = 0; i < ARRAY_LEN(known) && n < sizeof(list); i++) {
		/* Siblings in brackets add nothing to the sentence. */
		if (strchr(known[i].name, '(') == NULL)
			n += fmt_print(list + n, sizeof(list) - n, "%s%s", n ? ", " : "",
				       known[i].name);
	}
	return why_set(why, ERR_UNSUPPORTED, "network card %04x:%04x is not known; known are %s",
		       vendor, device, list);
}

int nic_probe(struct nic *nic, const struct nic_hw *hw, struct why *why)
{
	uint32_t id = hw->config_read(hw->ctx, PCI_ID, 4);

	memset(nic, 0, sizeof(*nic));
	nic->hw = hw;
	for (unsigned i = 0; i < ARRAY_LEN(known); i++) {
		if (id == (known[i].vendor | (uint32_t)known[i].device << 16)) {
			nic->id = &known[i];
			return 0;
		}
	}
	return unknown((uint16_t)id, (uint16_t)(id >> 16), why);
}

void *nic_mem(struct nic *nic, size_t size, size_t align)
{
	size_t pad = (size_t)(align_up((uintptr_t)nic->mem, align) - (uintptr_t)nic->mem);
	void *out = nic->mem + pad;

	ASSERT(nic->mem_left >= pad + size);
	nic->mem += pad + size;
	nic->mem_left -= pad + size;
	return out;
}

int nic_start(struct nic *nic, void *mem, size_t size, uint16_t mtu, struct why *why)
{
	uint32_t command = nic->hw->config_read(nic->hw->ctx, PCI_COMMAND, 2);

	ASSERT(mtu >= NIC_MTU && mtu <= NIC_MTU_JUMBO && size >= NIC_MEMORY(mtu));
	nic->hw->config_write(nic->hw->ctx, PCI_COMMAND, 2,
			      command | PCI_CMD_IO | PCI_CMD_MEM | PCI_CMD_MASTER);
	nic->mem = mem;
	nic->mem_left = size;
	nic->mtu = mtu;
	nic->buffer_size = mtu > NIC_MTU ? NIC_BUFFER_JUMBO : NIC_BUFFER;
	nic->rx_buffers = nic_mem(nic, (size_t)NIC_RX_BUFFERS * nic->buffer_size, PAGE_SIZE);
	nic->tx_buffers = nic_mem(nic, (size_t)NIC_RING_MAX * nic->buffer_size, PAGE_SIZE);
	nic->rx_free_count = 0;
	memset(&nic->stats, 0, sizeof(nic->stats));
	for (unsigned i = NIC_RX_BUFFERS; i-- > 0;) {
		nic->rx_held[i] = false;
		nic->rx_free[nic->rx_free_count++] = (uint16_t)i;
	}
	int err = nic->id->ops->start(nic, why);

	nic->started = err == 0;
	if (nic->started)
		nic->id->ops->link(nic);
	return err;
}

void nic_stop(struct nic *nic)
{
	uint32_t command;

	if (!nic->started)
		return;
	nic->id->ops->stop(nic);
	command = nic->hw->config_read(nic->hw->ctx, PCI_COMMAND, 2);
	nic->hw->config_write(nic->hw->ctx, PCI_COMMAND, 2, command & ~(uint32_t)PCI_CMD_MASTER);
	nic->started = false;
}

int nic_buffer_get(struct nic *nic)
{
	unsigned buffer;

	if (nic->rx_free_count == 0) {
		nic->stats.rx_starved++;
		return -1;
	}
	buffer = nic->rx_free[--nic->rx_free_count];
	nic->rx_held[buffer] = true;
	return (int)buffer;
}

void nic_buffer_put(struct nic *nic, unsigned buffer)
{
	ASSERT(buffer < NIC_RX_BUFFERS && nic->rx_held[buffer]);
	nic->rx_held[buffer] = false;
	nic->rx_free[nic->rx_free_count++] = (uint16_t)buffer;
}

uint8_t *nic_tx_buffer(struct nic *nic)
{
	uint8_t *buffer = nic->id->ops->tx_buffer(nic);

	nic->stats.tx_full += buffer == NULL;
	return buffer;
}

void nic_tx_send(struct nic *nic, size_t len)
{
	ASSERT(nic_fits(nic, len));
	nic->stats.tx_frames++;
	nic->stats.tx_bytes += len;
	nic->id->ops->tx_send(nic, (uint16_t)len);
}

void nic_tx_kick(struct nic *nic)
{
	nic->id->ops->tx_kick(nic);
}

bool nic_send(struct nic *nic, const void *frame, size_t len)
{
	uint8_t *buffer;

	if (!nic_fits(nic, len)) {
		nic->stats.tx_unfit++;
		return true;
	}
	buffer = nic_tx_buffer(nic);
	if (!buffer)
		return false;
	memcpy(buffer, frame, len);
	nic_tx_send(nic, len);
	nic_tx_kick(nic);
	return true;
}

bool nic_rx(struct nic *nic, struct nic_frame *frame)
{
	if (!nic->id->ops->rx(nic, frame))
		return false;
	nic->stats.rx_frames++;
	nic->stats.rx_bytes += frame->len;
	return true;
}

void nic_rx_done(struct nic *nic, unsigned buffer)
{
	nic_buffer_put(nic, buffer);
	nic->id->ops->rx_refill(nic);
}

bool nic_link(struct nic *nic)
{
	bool before = nic->link;

	nic->id->ops->link(nic);
	nic->stats.link_changes += before != nic->link;
	return before != nic->link;
}

void nic_add_mac(struct nic *nic, const uint8_t mac[NIC_MAC])
{
	if (nic->id->ops->add_mac)
		nic->id->ops->add_mac(nic, mac);
}

void nic_irq(struct nic *nic, bool on)
{
	nic->id->ops->irq(nic, on);
}

unsigned nic_events(struct nic *nic)
{
	return nic->id->ops->events(nic);
}

unsigned nic_cap(const struct nic *nic, uint8_t id, unsigned from)
{
	const struct nic_hw *hw = nic->hw;
	unsigned at;

	if (!(hw->config_read(hw->ctx, PCI_STATUS, 2) & PCI_STATUS_CAPS))
		return 0;
	at = hw->config_read(hw->ctx, from ? from + 1 : PCI_CAPS, 1) & 0xfc;
	/* 48 capabilities fill configuration space; a longer chain runs in a circle. */
	for (unsigned i = 0; at >= 0x40 && i < 48; i++) {
		if (hw->config_read(hw->ctx, at, 1) == id)
			return at;
		at = hw->config_read(hw->ctx, at + 1, 1) & 0xfc;
	}
	return 0;
}

int nic_msi(struct nic *nic, uint64_t address, uint16_t data)
{
	const struct nic_hw *hw = nic->hw;
	unsigned cap = nic_cap(nic, PCI_CAP_MSI, 0);
	uint32_t control, command;

	if (cap == 0)
		return ERR_UNSUPPORTED;
	control = hw->config_read(hw->ctx, cap + 2, 2);
	hw->config_write(hw->ctx, cap + 4, 4, (uint32_t)address);
	if (control & MSI_CTL_64) {
		hw->config_write(hw->ctx, cap + 8, 4, (uint32_t)(address >> 32));
		hw->config_write(hw->ctx, cap + 12, 2, data);
	} else {
		hw->config_write(hw->ctx, cap + 8, 2, data);
	}
	/* One message: bits 6:4 zero. */
	hw->config_write(hw->ctx, cap + 2, 2, (control & ~0x70u) | MSI_CTL_ENABLE);
	command = hw->config_read(hw->ctx, PCI_COMMAND, 2);
	hw->config_write(hw->ctx, PCI_COMMAND, 2, command | PCI_CMD_NO_INTX);
	return 0;
}
