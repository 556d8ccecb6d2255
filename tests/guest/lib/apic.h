/* Local APIC and IOAPIC registers. SDM vol. 3, chapter 11 (APIC); 82093AA data sheet (IOAPIC). */
#ifndef TESTS_GUEST_LIB_APIC_H
#define TESTS_GUEST_LIB_APIC_H

#include "tests/guest/lib/cpu.h"

#define LAPIC_BASE 0xfee00000u

enum lapic_reg {
	LAPIC_ID = 0x20,
	LAPIC_VERSION = 0x30,
	LAPIC_TPR = 0x80,
	LAPIC_APR = 0x90,
	LAPIC_PPR = 0xa0,
	LAPIC_EOI = 0xb0,
	LAPIC_LDR = 0xd0,
	LAPIC_DFR = 0xe0,
	LAPIC_SVR = 0xf0,
	LAPIC_ISR = 0x100,
	LAPIC_TMR = 0x180,
	LAPIC_IRR = 0x200,
	LAPIC_ESR = 0x280,
	LAPIC_ICR = 0x300,
	LAPIC_ICR_HIGH = 0x310,
	LAPIC_LVT_TIMER = 0x320,
	LAPIC_LVT_THERMAL = 0x330,
	LAPIC_LVT_PERF = 0x340,
	LAPIC_LVT_LINT0 = 0x350,
	LAPIC_LVT_LINT1 = 0x360,
	LAPIC_LVT_ERROR = 0x370,
	LAPIC_TIMER_INITIAL = 0x380,
	LAPIC_TIMER_CURRENT = 0x390,
	LAPIC_TIMER_DIVIDE = 0x3e0,
};

#define LVT_MASKED       BIT32(16)
#define LVT_PERIODIC     BIT32(17)
#define LVT_DEADLINE     BIT32(18)
#define SVR_ENABLE       BIT32(8)
#define APIC_BASE_BSP    BIT32(8)
#define APIC_BASE_X2APIC BIT32(10)
#define APIC_BASE_ENABLE BIT32(11)

/* ICR bits. SDM vol. 3, 11.6.1 */
#define ICR_FIXED   0x000u
#define ICR_LOWEST  0x100u
#define ICR_NMI     0x400u
#define ICR_INIT    0x500u
#define ICR_STARTUP 0x600u
#define ICR_LOGICAL BIT32(11)
#define ICR_PENDING BIT32(12)
#define ICR_ASSERT  BIT32(14)
#define ICR_LEVEL   BIT32(15)
#define ICR_SELF    (1u << 18)
#define ICR_ALL     (2u << 18)
#define ICR_OTHERS  (3u << 18)

/* In the mode that IA32_APIC_BASE says; x2APIC uses MSR 0x800 + offset / 16. */
uint32_t lapic_read(unsigned reg);
void lapic_write(unsigned reg, uint32_t v);
/* `dest` is an APIC id, or a logical destination. Waits until the APIC has taken it. */
void lapic_ipi(uint32_t dest, uint32_t icr);
/* The current CPU's id, whatever the mode. */
uint32_t lapic_id(void);
bool lapic_is_x2(void);
/* True when `vector`'s bit is set in ISR, IRR or TMR, given by its first register. */
bool lapic_bit(unsigned bank, unsigned vector);
/* Software-enabled, everything masked, TPR 0, nothing in service. */
void lapic_reset(void);

static inline void lapic_eoi(void)
{
	lapic_write(LAPIC_EOI, 0);
}

#define IOAPIC_BASE 0xfec00000u

#define IOAPIC_ID      0
#define IOAPIC_VERSION 1
#define IOAPIC_ARB     2

#define RTE_LOWEST     0x100u
#define RTE_NMI        0x400u
#define RTE_EXTINT     0x700u
#define RTE_LOGICAL    BIT32(11)
#define RTE_PENDING    BIT32(12)
#define RTE_LOW        BIT32(13)
#define RTE_REMOTE_IRR BIT32(14)
#define RTE_LEVEL      BIT32(15)
#define RTE_MASKED     BIT32(16)

uint32_t ioapic_read(unsigned index);
void ioapic_write(unsigned index, uint32_t v);
uint32_t ioapic_rte(unsigned pin);
/* High half (destination id) first, so that the entry is never unmasked with an old destination. */
void ioapic_route(unsigned pin, uint32_t low, uint8_t dest);
unsigned ioapic_pins(void);
void ioapic_mask_all(void);

#endif
