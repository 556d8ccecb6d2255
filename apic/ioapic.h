/*
 * The virtual IOAPIC: 24 pins, Intel 82093AA datasheet (290566), plus the EOI register of later ones
 * (version 0x20). A pure state machine; the caller holds whatever lock guards it and routes what comes
 * out (apic_match with APIC_NO_CPU, then apic_post_msg).
 *
 * Choices:
 * - `asserted` of ioapic_line is logical. The polarity bit is kept and read back but inverts nothing:
 *   the board is wired as the ACPI tables say.
 * - An edge while the pin is masked is lost, as the datasheet says of the mask bit (3.2.4): unmasking
 *   sends nothing until the next rising edge. Linux's timer check counts on fresh edges.
 * - A level pin sends when asserted, unmasked and without remote IRR, at any event that makes this true.
 *   Remote IRR is set as the message is sent. Changing a pin to edge clears it (the way out that
 *   kernels use where there is no EOI register).
 * - Level with a delivery mode other than fixed and lowest priority acts as edge.
 */
#ifndef APIC_IOAPIC_H
#define APIC_IOAPIC_H

#include "apic/msg.h"

#define IOAPIC_PINS        24u
#define IOAPIC_DEFAULT_GPA 0xfec00000ull

/* Offsets in the 4 KiB MMIO page. */
enum ioapic_mmio { IOAPIC_INDEX = 0x00, IOAPIC_DATA = 0x10, IOAPIC_EOI = 0x40 };

struct ioapic {
	uint64_t redir[IOAPIC_PINS]; /* 82093AA 3.2.4, remote IRR and all */
	uint32_t line;               /* bit n: pin n is asserted */
	uint8_t index;
	uint8_t id;
};

/* Messages to send now, in order. Every function that takes one overwrites it. */
struct ioapic_out {
	unsigned count;
	struct apic_msg msg[IOAPIC_PINS];
};

/* State after reset: every pin masked. `id` is its APIC id, 0 to 15. */
void ioapic_init(struct ioapic *io, uint8_t id);

/* 32-bit accesses at `offset` in the page. Unknown registers read 0 and ignore writes. */
uint32_t ioapic_read(const struct ioapic *io, uint32_t offset);
void ioapic_write(struct ioapic *io, uint32_t offset, uint32_t value, struct ioapic_out *out);

/* A device drives pin `pin` (below IOAPIC_PINS). */
void ioapic_line(struct ioapic *io, unsigned pin, bool asserted, struct ioapic_out *out);

/* A LAPIC finished a level interrupt. */
void ioapic_eoi(struct ioapic *io, uint8_t vector, struct ioapic_out *out);

#endif
