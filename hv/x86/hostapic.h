/*
 * The host's local APIC: x2APIC where the CPU has it, else xAPIC. All functions act on the calling
 * CPU. SDM vol. 3, chapter 11. (The guest's local APIC is apic/lapic.h.)
 */
#ifndef HV_X86_HOSTAPIC_H
#define HV_X86_HOSTAPIC_H

#include "hv/base/err.h"

/* Once on the first CPU, after platform discovery and TSC calibration: picks the mode, maps the page. */
int hostapic_setup(struct why *why) MUST_CHECK;
/* On every CPU: enables it, masks the local vectors, sets spurious, error and timer vectors. */
void hostapic_init(void);

uint32_t hostapic_id(void);
bool hostapic_is_x2apic(void);

/* Fixed, edge; returns once the APIC has taken the message. Also to the calling CPU itself. */
void hostapic_ipi(uint32_t apic_id, uint8_t vector);
void hostapic_nmi(uint32_t apic_id);
void hostapic_nmi_others(void);
/* INIT, 10 ms, then SIPI twice; the CPU starts in real mode at `page` << 12. */
void hostapic_init_sipi(uint32_t apic_id, uint8_t page);
/* The same to all but the calling CPU. */
void hostapic_init_sipi_others(uint8_t page);

void hostapic_eoi(void);

/* The calling CPU takes the interrupts of the legacy PICs from now on. SDM vol. 3, 11.5.1 */
void hostapic_extint(void);

/*
 * Fires IRQ_TIMER on this CPU once when the TSC reaches the deadline; one in the past fires at once.
 * A later call replaces an earlier one. Without TSC-deadline mode it may fire late by 1 us + 1/1000.
 */
void hostapic_timer_arm(uint64_t tsc_deadline);

#endif
