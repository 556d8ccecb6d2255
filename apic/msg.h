/*
 * An interrupt message, as it travels between IOAPIC, LAPICs and nodes. SDM vol. 3, 11.6.1
 * (interrupt command register), 11.10 and 11.11 (what an IOAPIC and MSI write).
 */
#ifndef APIC_MSG_H
#define APIC_MSG_H

#include "hv/base/err.h"

/* Numbered as the delivery-mode field of ICR, LVT, IOAPIC and MSI. SDM vol. 3, figure 11-12 */
enum apic_delivery {
	APIC_FIXED = 0,
	APIC_LOWEST = 1,
	APIC_SMI = 2,
	APIC_RESERVED = 3,
	APIC_NMI = 4,
	APIC_INIT = 5,
	APIC_STARTUP = 6,
	APIC_EXTINT = 7,
};

/* Numbered as ICR[19:18]. */
enum apic_shorthand { APIC_TO_DEST = 0, APIC_TO_SELF = 1, APIC_TO_ALL = 2, APIC_TO_OTHERS = 3 };

/*
 * Broadcast, in both destination modes. A sender with 8-bit destinations (xAPIC mode, IOAPIC) turns
 * its 0xff into this, so that 0xff from an x2APIC sender can mean APIC id 255.
 */
#define APIC_DEST_ALL 0xffffffffu

struct apic_msg {
	enum apic_delivery kind;
	enum apic_shorthand shorthand;
	uint32_t dest;
	uint8_t vector;     /* FIXED, LOWEST, STARTUP */
	bool logical;       /* `dest` is a logical destination */
	bool level_trigger; /* its EOI goes to the IOAPICs */
	bool assert;        /* false with level_trigger: a de-assertion, which nobody acts on */
};

/* The destination of an 8-bit sender in the form above. */
static inline uint32_t apic_dest_from8(uint8_t dest)
{
	return dest == 0xff ? APIC_DEST_ALL : dest;
}

/*
 * What a device's MSI write asks for; ERR_INVALID when the address is not an APIC's. The redirection
 * hint makes a fixed message a lowest-priority one. SDM vol. 3, 11.11
 */
static inline int apic_msg_from_msi(uint64_t address, uint32_t data, struct apic_msg *out)
{
	if (address >> 20 != 0xfee)
		return ERR_INVALID;
	*out = (struct apic_msg){
		.kind = (enum apic_delivery)(data >> 8 & 7),
		.dest = apic_dest_from8((uint8_t)(address >> 12)),
		.vector = (uint8_t)data,
		.logical = address >> 2 & 1,
		.level_trigger = data >> 15 & 1,
		.assert = !(data >> 15 & 1) || data >> 14 & 1,
	};
	if (out->kind == APIC_FIXED && address >> 3 & 1)
		out->kind = APIC_LOWEST;
	return 0;
}

#endif
