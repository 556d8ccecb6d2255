/*
 * ACPI power management: the PM1a event and control blocks, the PM timer, and the reset control
 * register 0xCF9. There is no legacy mode to leave (the FADT names no SMI command port), so SCI_EN
 * always reads 1. ACPI 6.5, 4.8.3; 82371SB data sheet, 2.5.5.
 */
#ifndef GUEST_PM_H
#define GUEST_PM_H

#include "hv/base/compiler.h"

#define PM_TIMER_HZ   3579545u
#define PM_TIMER_BITS 32u
/* Offsets in the block at LAYOUT_PM_PORT. */
#define PM_EVT        0x0u
#define PM_CNT        0x4u
#define PM_TMR        0x8u
#define PM_PORTS      0xcu
#define PM_S5_TYPE    5u

struct pm {
	uint16_t status, enable, control;
	uint64_t epoch;                /* ns of timer value 0 */
	uint64_t flips;                /* of the timer's top bit, acted on */
	uint8_t reset_control;         /* port 0xcf9 */
	bool off_wanted, reset_wanted; /* until the PC acts on them */
};

void pm_init(struct pm *p, uint64_t now);

/* [offset, offset + size) within the PM block; 1, 2 or 4 bytes. */
uint32_t pm_read(struct pm *p, unsigned offset, unsigned size, uint64_t now);
void pm_write(struct pm *p, unsigned offset, unsigned size, uint32_t value, uint64_t now);

/* Port 0xcf9. */
uint8_t pm_reset_read(const struct pm *p);
void pm_reset_write(struct pm *p, uint8_t value);

/* Presses the power button: an SCI when the guest asked for it. */
void pm_power_button(struct pm *p);

void pm_tick(struct pm *p, uint64_t now);
bool pm_sci(const struct pm *p);
uint64_t pm_next_event(const struct pm *p);

#endif
