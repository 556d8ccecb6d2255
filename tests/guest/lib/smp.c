#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/acpi.h"
#include "tests/guest/lib/apic.h"
#include "tests/guest/lib/pc.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/trap.h"
#include "hv/base/string.h"

uint8_t cpu_stacks[MAX_CPUS][STACK_SIZE] ALIGNED(STACK_SIZE);
unsigned cpu_count;

/* Where a started CPU finds its stack; one CPU starts at a time. */
extern uint32_t ap_stack;
void ap_main(void);

static void add_cpu(uint32_t apic_id)
{
	if (apic_id == lapic_id() || cpu_count == MAX_CPUS)
		return;
	cpu_get(cpu_count)->index = cpu_count;
	cpu_get(cpu_count)->apic_id = apic_id;
	cpu_count++;
}

/* ACPI 6.3, 5.2.12.2: processor local APIC entries that are enabled. */
static bool find_madt(void)
{
	const struct acpi_header *madt = acpi_find("APIC");
	const uint8_t *p, *end;

	if (!madt)
		return false;
	end = (const uint8_t *)madt + madt->length;
	for (p = (const uint8_t *)(madt + 1) + 8; p + 1 < end && p[1] >= 2; p += p[1])
		if (p[0] == 0 && (p[4] & 1))
			add_cpu(p[3]);
	return true;
}

/* MultiProcessor Specification 1.4, 4.1 to 4.3. */
static void find_mp(void)
{
	for (uint32_t at = 0xe0000; at < 0x100000; at += 16) {
		const uint8_t *table, *p;
		uint16_t entries;

		if (memcmp((const void *)at, "_MP_", 4) || !acpi_sum_ok((const void *)at, 16))
			continue;
		memcpy(&table, (const void *)(at + 4), 4);
		if (!table || memcmp(table, "PCMP", 4))
			continue;
		memcpy(&entries, table + 34, 2);
		for (p = table + 44; entries--; p += *p == 0 ? 20 : 8)
			if (*p == 0 && (p[3] & 1))
				add_cpu(p[1]);
		return;
	}
}

void smp_find(void)
{
	cpu_get(0)->apic_id = lapic_id();
	cpu_get(0)->online = 1;
	cpu_count = 1;
	if (!find_madt())
		find_mp();
}

void ap_main(void)
{
	struct cpu *me = cpu_self();

	trap_setup_cpu(me->index);
	lapic_reset();
	me->online = 1;
	for (;;) {
		if (me->work) {
			me->work(me->arg);
			fence();
			me->work = NULL;
		}
		cpu_pause();
	}
}

bool smp_start(unsigned index)
{
	struct cpu *c = cpu_get(index);

	if (c->online)
		return true;
	ap_stack = (uint32_t)cpu_stacks[index] + STACK_SIZE;
	c->work = NULL;
	lapic_ipi(c->apic_id, ICR_INIT | ICR_ASSERT | ICR_LEVEL);
	delay_us(10000);
	lapic_ipi(c->apic_id, ICR_STARTUP | ICR_ASSERT | LOW_CODE >> 12);
	if (!WAIT(c->online, 20)) {
		lapic_ipi(c->apic_id, ICR_STARTUP | ICR_ASSERT | LOW_CODE >> 12);
		(void)WAIT(c->online, 5000);
	}
	return c->online != 0;
}

void smp_start_all(unsigned least)
{
	if (cpu_count < least)
		test_skip("needs %u CPUs, the machine has %u", least, cpu_count);
	for (unsigned i = 1; i < cpu_count; i++)
		REQUIRE(smp_start(i), "CPU %u (APIC id %u) does not start", i, cpu_get(i)->apic_id);
}

void smp_call(unsigned index, void (*fn)(void *arg), void *arg)
{
	struct cpu *c = cpu_get(index);

	c->arg = arg;
	c->work = fn;
}

bool smp_done(unsigned index)
{
	return !cpu_get(index)->work;
}

void smp_wait(unsigned index, unsigned timeout_ms)
{
	REQUIRE(WAIT(smp_done(index), timeout_ms), "CPU %u is not done after %u ms", index,
		timeout_ms);
}

void smp_stop(unsigned index)
{
	struct cpu *c = cpu_get(index);

	lapic_ipi(c->apic_id, ICR_INIT | ICR_ASSERT | ICR_LEVEL);
	delay_us(10000);
	c->online = 0;
	c->work = NULL;
}
