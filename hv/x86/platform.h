/*
 * What this node's firmware tells of its hardware: ACPI tables, else the MP tables, else nothing.
 * Discovery reads tables; it runs no ACPI code.
 */
#ifndef HV_X86_PLATFORM_H
#define HV_X86_PLATFORM_H

#include "hv/base/compiler.h"
#include "hv/base/err.h"

#define PLATFORM_CPUS    256
#define PLATFORM_IOAPICS 16

enum platform_source { PLATFORM_NO_TABLES, PLATFORM_ACPI, PLATFORM_MP };

struct platform_ioapic {
	uint32_t id;
	uint32_t gsi_base;
	hpa_t base;
};

/* ACPI 6.4, 5.2.3.2; reduced to what power off and reset need. */
struct platform_gas {
	uint8_t space;    /* 0 memory, 1 I/O ports, 2 PCI configuration */
	uint64_t address; /* 0: not there */
};

struct platform {
	enum platform_source source; /* of the CPU list */
	unsigned cpu_count;          /* enabled CPUs in apic_ids; 0: no table lists them */
	uint32_t apic_ids[PLATFORM_CPUS];
	unsigned cpus_left_out; /* listed beyond PLATFORM_CPUS */
	unsigned ioapic_count;
	struct platform_ioapic ioapics[PLATFORM_IOAPICS];
	hpa_t lapic_base; /* 0: not told */

	bool acpi;
	uint32_t pm1a_cnt, pm1b_cnt; /* I/O ports, 0: none */
	uint32_t pm_timer;           /* I/O port, 0: none */
	bool pm_timer_32bit;
	uint32_t smi_cmd; /* I/O port, with the value that turns ACPI mode on; 0: none */
	uint8_t acpi_enable;
	bool s5_known;
	uint8_t s5_slp_typ_a, s5_slp_typ_b;
	struct platform_gas reset;
	uint8_t reset_value;
	hpa_t mcfg_base; /* PCI memory-mapped configuration, segment 0; 0: none */
	uint8_t mcfg_first_bus, mcfg_last_bus;
};

struct handoff;

/* Reads the tables and logs what it found. Always succeeds: a table that is bad is named and skipped. */
void platform_discover(const struct handoff *handoff);
const struct platform *platform_get(void);

/* Both return only if the machine is still on after all known ways were tried. */
void platform_poweroff(void);
void platform_reset(void);

#endif
