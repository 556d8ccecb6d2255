#include "tests/guest/lib/apic.h"

bool lapic_is_x2(void)
{
	return (rdmsr(MSR_APIC_BASE) & APIC_BASE_X2APIC) != 0;
}

uint32_t lapic_read(unsigned reg)
{
	if (lapic_is_x2())
		return (uint32_t)rdmsr(0x800 + reg / 16);
	return *(volatile uint32_t *)(LAPIC_BASE + reg);
}

void lapic_write(unsigned reg, uint32_t v)
{
	if (lapic_is_x2())
		wrmsr(0x800 + reg / 16, v);
	else
		*(volatile uint32_t *)(LAPIC_BASE + reg) = v;
}

void lapic_ipi(uint32_t dest, uint32_t icr)
{
	if (lapic_is_x2()) {
		wrmsr(0x800 + LAPIC_ICR / 16, (uint64_t)dest << 32 | icr);
		return;
	}
	lapic_write(LAPIC_ICR_HIGH, dest << 24);
	lapic_write(LAPIC_ICR, icr);
	while (lapic_read(LAPIC_ICR) & ICR_PENDING)
		cpu_pause();
}

uint32_t lapic_id(void)
{
	uint32_t v = lapic_read(LAPIC_ID);

	return lapic_is_x2() ? v : v >> 24;
}

bool lapic_bit(unsigned bank, unsigned vector)
{
	return lapic_read(bank + vector / 32 * 16) >> (vector % 32) & 1;
}

void lapic_reset(void)
{
	static const uint16_t lvts[] = {LAPIC_LVT_TIMER, LAPIC_LVT_LINT0, LAPIC_LVT_LINT1,
					LAPIC_LVT_ERROR};

	lapic_write(LAPIC_SVR, SVR_ENABLE | 0xff);
	for (unsigned i = 0; i < ARRAY_LEN(lvts); i++)
		lapic_write(lvts[i], LVT_MASKED);
	lapic_write(LAPIC_TIMER_INITIAL, 0);
	lapic_write(LAPIC_TPR, 0);
	for (unsigned v = 16; v < 256; v++)
		if (lapic_bit(LAPIC_ISR, v))
			lapic_eoi();
	if (!lapic_is_x2()) {
		lapic_write(LAPIC_DFR, 0xffffffff);
		lapic_write(LAPIC_LDR, 0);
	}
	lapic_write(LAPIC_ESR, 0);
}

uint32_t ioapic_read(unsigned index)
{
	*(volatile uint32_t *)IOAPIC_BASE = index;
	return *(volatile uint32_t *)(IOAPIC_BASE + 0x10);
}

void ioapic_write(unsigned index, uint32_t v)
{
	*(volatile uint32_t *)IOAPIC_BASE = index;
	*(volatile uint32_t *)(IOAPIC_BASE + 0x10) = v;
}

uint32_t ioapic_rte(unsigned pin)
{
	return ioapic_read(0x10 + 2 * pin);
}

void ioapic_route(unsigned pin, uint32_t low, uint8_t dest)
{
	ioapic_write(0x10 + 2 * pin, ioapic_rte(pin) | RTE_MASKED);
	ioapic_write(0x11 + 2 * pin, (uint32_t)dest << 24);
	ioapic_write(0x10 + 2 * pin, low);
}

unsigned ioapic_pins(void)
{
	return (ioapic_read(IOAPIC_VERSION) >> 16 & 0xff) + 1;
}

void ioapic_mask_all(void)
{
	unsigned pins = ioapic_pins();

	for (unsigned pin = 0; pin < pins; pin++)
		ioapic_route(pin, RTE_MASKED, 0);
}
