/*
 * Intel gigabit cards with legacy descriptors: 82540EM/82545EM (e1000), 82574L and the PCH's I217 to
 * I219 (e1000e). Sections are of the "PCI/PCI-X Family of Gigabit Ethernet Controllers Software
 * Developer's Manual" (8254x SDM) unless another one is named.
 */
#include <stdatomic.h>

#include "hv/base/string.h"
#include "net/drivers/nic.h"

/* 13.4: registers behind BAR 0. */
#define REG_CTRL   0x0000
#define REG_STATUS 0x0008
#define REG_EERD   0x0014
#define REG_ICR    0x00c0
#define REG_ITR    0x00c4
#define REG_IMS    0x00d0
#define REG_IMC    0x00d8
#define REG_RCTL   0x0100
#define REG_TCTL   0x0400
#define REG_TIPG   0x0410
#define REG_RDBAL  0x2800
#define REG_RDBAH  0x2804
#define REG_RDLEN  0x2808
#define REG_RDH    0x2810
#define REG_RDT    0x2818
#define REG_RDTR   0x2820
#define REG_RADV   0x282c
#define REG_TDBAL  0x3800
#define REG_TDBAH  0x3804
#define REG_TDLEN  0x3808
#define REG_TDH    0x3810
#define REG_TDT    0x3818
#define REG_TIDV   0x3820
#define REG_MTA    0x5200
#define REG_RAL    0x5400
#define REG_RAH    0x5404

#define MTA_WORDS 128
#define RAR_COUNT 15

#define CTRL_ASDE  BIT(5)
#define CTRL_SLU   BIT(6)
#define CTRL_RST   BIT(26)
#define CTRL_LOST  (BIT(3) | BIT(7) | BIT(30) | BIT(31)) /* LRST, ILOS, VME, PHY_RST: off */
#define STATUS_LU  BIT(1)
#define EERD_START BIT(0)
#define RAH_AV     BIT(31)

#define RCTL_EN     BIT(1)
#define RCTL_UPE    BIT(3)
#define RCTL_LPE    BIT(5)
#define RCTL_MPE    BIT(4)
#define RCTL_BAM    BIT(15)
#define RCTL_8192   (2u << 16 | BIT(25)) /* BSIZE 10 with BSEX */
#define RCTL_SECRC  BIT(26)
#define TCTL_EN     BIT(1)
#define TCTL_PSP    BIT(3)
#define TCTL_CT     (0x0fu << 4)
#define TCTL_COLD   (0x40u << 12)
#define TIPG_COPPER 0x0060200a

#define INT_TXDW   BIT(0)
#define INT_LSC    BIT(2)
#define INT_RXDMT0 BIT(4)
#define INT_RXO    BIT(6)
#define INT_RXT0   BIT(7)

/* 3.2.3: receive descriptor. */
struct e1000_rx {
	uint64_t address;
	uint16_t length, checksum;
	uint8_t status, errors;
	uint16_t special;
};
ASSERT_SIZE(struct e1000_rx, 16);
#define RX_DD     0x01
#define RX_EOP    0x02
#define RX_ERRORS 0x97 /* CE, SE, SEQ, CXE, RXE; the checksum errors of IP and TCP are not ours */

/* 3.3.3: legacy transmit descriptor. */
struct e1000_tx {
	uint64_t address;
	uint16_t length;
	uint8_t cso, command, status, css;
	uint16_t special;
};
ASSERT_SIZE(struct e1000_tx, 16);
#define TX_EOP  0x01
#define TX_IFCS 0x02
#define TX_RS   0x08
#define TX_DD   0x01

static uint32_t reg_read(struct nic *nic, uint32_t reg)
{
	return nic->hw->read(nic->hw->ctx, 0, reg, 4);
}

static void reg_write(struct nic *nic, uint32_t reg, uint32_t value)
{
	nic->hw->write(nic->hw->ctx, 0, reg, 4, value);
}

/* --- Reset and address --- */

static int reset(struct nic *nic, struct why *why)
{
	reg_write(nic, REG_IMC, ~0u);
	reg_write(nic, REG_RCTL, 0);
	reg_write(nic, REG_TCTL, TCTL_PSP);
	nic->hw->delay_us(nic->hw->ctx, 10000); /* 14.5: let the DMA of a frame on the way end */
	if (!(nic->id->flags & E1000_NO_RESET)) {
		reg_write(nic, REG_CTRL, reg_read(nic, REG_CTRL) | CTRL_RST);
		for (unsigned i = 0;; i++) {
			nic->hw->delay_us(nic->hw->ctx, 1000);
			if (!(reg_read(nic, REG_CTRL) & CTRL_RST))
				break;
			if (i == 100)
				return why_set(why, ERR_TIMEOUT,
					       "network card %s does not come out of reset within "
					       "100 ms; power the machine off and on",
					       nic->id->name);
		}
		nic->hw->delay_us(nic->hw->ctx, 5000); /* 14.3: the EEPROM is read again */
	}
	reg_write(nic, REG_IMC, ~0u);
	(void)reg_read(nic, REG_ICR);
	return 0;
}

/* 13.4.4, and 82574 datasheet 10.2.2.3: the fields of EERD moved between the families. */
static int eeprom_word(struct nic *nic, unsigned word, uint16_t *value)
{
	bool old = nic->id->flags & E1000_OLD_EERD;
	uint32_t done = old ? (uint32_t)BIT(4) : (uint32_t)BIT(1);

	reg_write(nic, REG_EERD, EERD_START | word << (old ? 8 : 2));
	for (unsigned i = 0; i < 1000; i++) {
		uint32_t v = reg_read(nic, REG_EERD);

		if (v & done) {
			*value = (uint16_t)(v >> 16);
			return 0;
		}
		nic->hw->delay_us(nic->hw->ctx, 10);
	}
	return ERR_TIMEOUT;
}

static bool mac_good(const uint8_t *mac)
{
	static const uint8_t zero[NIC_MAC];

	return !(mac[0] & 1) && memcmp(mac, zero, NIC_MAC) != 0;
}

static int mac_read(struct nic *nic, struct why *why)
{
	uint32_t low = reg_read(nic, REG_RAL), high = reg_read(nic, REG_RAH);

	memcpy(nic->mac, &low, 4);
	memcpy(nic->mac + 4, &high, 2);
	if ((high & RAH_AV) && mac_good(nic->mac))
		return 0;
	for (unsigned i = 0; i < 3 && !(nic->id->flags & E1000_NO_EERD); i++) {
		uint16_t word;

		if (eeprom_word(nic, i, &word) != 0)
			break;
		memcpy(nic->mac + 2 * i, &word, 2);
		if (i == 2 && mac_good(nic->mac))
			return 0;
	}
	return why_set(why, ERR_INVALID,
		       "network card %s has no usable MAC address, neither in its registers nor "
		       "in its EEPROM; set one with the vendor's tool",
		       nic->id->name);
}

static void address_write(struct nic *nic, unsigned i, const uint8_t mac[NIC_MAC])
{
	uint32_t low, high = 0;

	memcpy(&low, mac, 4);
	memcpy(&high, mac + 4, 2);
	reg_write(nic, REG_RAL + 8 * i, low);
	reg_write(nic, REG_RAH + 8 * i, high | (uint32_t)RAH_AV);
}

/* 13.5: our address alone, and with RCTL.MPE every multicast; the transport sends broadcasts. */
static void filters(struct nic *nic)
{
	address_write(nic, 0, nic->mac);
	for (unsigned i = 1; i < RAR_COUNT && !(nic->id->flags & E1000_NO_EERD); i++) {
		reg_write(nic, REG_RAL + 8 * i, 0);
		reg_write(nic, REG_RAH + 8 * i, 0);
	}
	for (unsigned i = 0; i < MTA_WORDS && !(nic->id->flags & E1000_NO_EERD); i++)
		reg_write(nic, REG_MTA + 4 * i, 0);
}

/* Cards whose further addresses are the firmware's take everything instead. */
static void e1000_add_mac(struct nic *nic, const uint8_t mac[NIC_MAC])
{
	if (nic->id->flags & E1000_NO_EERD)
		reg_write(nic, REG_RCTL, reg_read(nic, REG_RCTL) | (uint32_t)RCTL_UPE);
	else
		address_write(nic, 1, mac);
}

/* --- Receiving --- */

static void rx_post(struct nic *nic, unsigned slot, unsigned buffer)
{
	struct e1000_rx *d = &nic->e1000.rx_ring[slot];

	nic->e1000.rx_slot[slot] = (uint16_t)buffer;
	d->address = nic->hw->bus(nic->hw->ctx, nic_rx_at(nic, buffer));
	d->length = 0;
	d->errors = 0;
	d->status = 0;
}

/* Fills empty slots; the card stops one slot before the tail, so one always stays empty. */
static void e1000_rx_refill(struct nic *nic)
{
	struct e1000 *e = &nic->e1000;
	bool moved = false;

	while ((e->rx_tail + 1) % NIC_RING_MAX != e->rx_next) {
		int buffer = nic_buffer_get(nic);

		if (buffer < 0)
			break;
		rx_post(nic, e->rx_tail, (unsigned)buffer);
		e->rx_tail = (e->rx_tail + 1) % NIC_RING_MAX;
		moved = true;
	}
	if (!moved)
		return;
	atomic_thread_fence(memory_order_release); /* descriptors before the tail */
	reg_write(nic, REG_RDT, e->rx_tail);
}

static void rx_start(struct nic *nic)
{
	struct e1000 *e = &nic->e1000;
	uint64_t ring;

	e->rx_ring = nic_mem(nic, NIC_RING_MAX * sizeof(*e->rx_ring), PAGE_SIZE);
	memset(e->rx_ring, 0, NIC_RING_MAX * sizeof(*e->rx_ring));
	ring = nic->hw->bus(nic->hw->ctx, e->rx_ring);
	e->rx_next = e->rx_tail = 0;
	e->rx_skip = false;
	reg_write(nic, REG_RDBAL, (uint32_t)ring);
	reg_write(nic, REG_RDBAH, (uint32_t)(ring >> 32));
	reg_write(nic, REG_RDLEN, NIC_RING_MAX * sizeof(*e->rx_ring));
	reg_write(nic, REG_RDH, 0);
	reg_write(nic, REG_RDT, 0);
	reg_write(nic, REG_RDTR, 0);
	reg_write(nic, REG_RADV, 0);
	reg_write(nic, REG_RCTL,
		  (uint32_t)(RCTL_EN | RCTL_BAM | RCTL_MPE | RCTL_SECRC |
			     (nic->mtu > NIC_MTU ? RCTL_LPE | RCTL_8192 : 0)));
	e1000_rx_refill(nic);
}

/* Judges the descriptor the card just handed back; true when it is one whole good frame. */
static bool rx_take(struct nic *nic, const struct e1000_rx *d, uint16_t *len)
{
	struct e1000 *e = &nic->e1000;
	bool end = d->status & RX_EOP, skip = e->rx_skip;

	*len = d->length;
	e->rx_skip = !end;
	if (skip || !end || (d->errors & RX_ERRORS)) {
		nic->stats.rx_errors += end;
		return false;
	}
	if (*len < NIC_ETH || *len > nic->buffer_size) {
		nic->stats.bad_descriptors++;
		return false;
	}
	return true;
}

static bool e1000_rx_next(struct nic *nic, struct nic_frame *frame)
{
	struct e1000 *e = &nic->e1000;

	while (e->rx_next != e->rx_tail) {
		struct e1000_rx *d = &e->rx_ring[e->rx_next];
		unsigned buffer = e->rx_slot[e->rx_next];
		uint8_t status = __atomic_load_n(&d->status, __ATOMIC_ACQUIRE);
		struct e1000_rx copy;
		uint16_t len;
		bool good;

		if (!(status & RX_DD))
			return false;
		copy = *d; /* judged on one reading */
		copy.status = status;
		good = rx_take(nic, &copy, &len);
		e->rx_next = (e->rx_next + 1) % NIC_RING_MAX;
		if (!good) {
			nic_buffer_put(nic, buffer);
			e1000_rx_refill(nic);
			continue;
		}
		frame->data = nic_rx_at(nic, buffer);
		frame->len = len;
		frame->buffer = (uint16_t)buffer;
		e1000_rx_refill(nic);
		return true;
	}
	return false;
}

/* --- Sending --- */

static void tx_start(struct nic *nic)
{
	struct e1000 *e = &nic->e1000;
	uint64_t ring;

	e->tx_ring = nic_mem(nic, NIC_RING_MAX * sizeof(*e->tx_ring), PAGE_SIZE);
	memset(e->tx_ring, 0, NIC_RING_MAX * sizeof(*e->tx_ring));
	ring = nic->hw->bus(nic->hw->ctx, e->tx_ring);
	e->tx_next = e->tx_done = 0;
	reg_write(nic, REG_TDBAL, (uint32_t)ring);
	reg_write(nic, REG_TDBAH, (uint32_t)(ring >> 32));
	reg_write(nic, REG_TDLEN, NIC_RING_MAX * sizeof(*e->tx_ring));
	reg_write(nic, REG_TDH, 0);
	reg_write(nic, REG_TDT, 0);
	reg_write(nic, REG_TIDV, 0);
	reg_write(nic, REG_TIPG, TIPG_COPPER);
	reg_write(nic, REG_TCTL, (uint32_t)(TCTL_EN | TCTL_PSP | TCTL_CT | TCTL_COLD));
}

static uint8_t *e1000_tx_buffer(struct nic *nic)
{
	struct e1000 *e = &nic->e1000;

	while (e->tx_done != e->tx_next &&
	       (__atomic_load_n(&e->tx_ring[e->tx_done].status, __ATOMIC_ACQUIRE) & TX_DD))
		e->tx_done = (e->tx_done + 1) % NIC_RING_MAX;
	if ((e->tx_next + 1) % NIC_RING_MAX == e->tx_done)
		return NULL;
	return nic_tx_at(nic, e->tx_next);
}

static void e1000_tx_send(struct nic *nic, uint16_t len)
{
	struct e1000 *e = &nic->e1000;
	struct e1000_tx *d = &e->tx_ring[e->tx_next];

	d->address = nic->hw->bus(nic->hw->ctx, nic_tx_at(nic, e->tx_next));
	d->length = len;
	d->cso = d->css = 0;
	d->special = 0;
	d->status = 0;
	d->command = TX_EOP | TX_IFCS | TX_RS;
	e->tx_next = (e->tx_next + 1) % NIC_RING_MAX;
}

static void e1000_tx_kick(struct nic *nic)
{
	atomic_thread_fence(memory_order_release);
	reg_write(nic, REG_TDT, nic->e1000.tx_next);
}

/* --- Card --- */

static void e1000_link(struct nic *nic)
{
	static const unsigned mbit[] = {10, 100, 1000, 1000};
	uint32_t status = reg_read(nic, REG_STATUS);

	nic->link = status & STATUS_LU;
	nic->mbit = nic->link ? mbit[bits_get(status, 7, 6)] : 0;
}

static int e1000_start(struct nic *nic, struct why *why)
{
	int err = reset(nic, why);

	if (err == 0)
		err = mac_read(nic, why);
	if (err)
		return err;
	if (nic->id->flags & E1000_NO_JUMBO)
		nic->mtu = NIC_MTU;
	reg_write(nic, REG_CTRL,
		  (uint32_t)((reg_read(nic, REG_CTRL) & ~CTRL_LOST) | CTRL_SLU | CTRL_ASDE));
	filters(nic);
	reg_write(nic, REG_ITR, 0); /* an interrupt per frame: latency is what we are here for */
	rx_start(nic);
	tx_start(nic);
	return 0;
}

static void e1000_stop(struct nic *nic)
{
	reg_write(nic, REG_IMC, ~0u);
	reg_write(nic, REG_RCTL, 0);
	reg_write(nic, REG_TCTL, TCTL_PSP);
	nic->hw->delay_us(nic->hw->ctx, 10000);
}

static void e1000_irq(struct nic *nic, bool on)
{
	reg_write(nic, on ? REG_IMS : REG_IMC,
		  (uint32_t)(INT_RXT0 | INT_RXO | INT_RXDMT0 | INT_LSC));
}

static unsigned e1000_events(struct nic *nic)
{
	uint32_t cause = reg_read(nic, REG_ICR);
	unsigned events = 0;

	if (cause & (INT_RXT0 | INT_RXO | INT_RXDMT0))
		events |= NIC_EVENT_RX;
	if (cause & INT_LSC)
		events |= NIC_EVENT_LINK;
	if (cause & INT_TXDW)
		events |= NIC_EVENT_TX;
	return events;
}

const struct nic_ops e1000_ops = {
	.name = "e1000",
	.start = e1000_start,
	.stop = e1000_stop,
	.tx_buffer = e1000_tx_buffer,
	.tx_send = e1000_tx_send,
	.tx_kick = e1000_tx_kick,
	.rx = e1000_rx_next,
	.rx_refill = e1000_rx_refill,
	.link = e1000_link,
	.add_mac = e1000_add_mac,
	.irq = e1000_irq,
	.events = e1000_events,
};
