/* ACPI tables for the guest PC: RSDP, RSDT, XSDT, FADT, FACS, MADT, DSDT. ACPI 6.5, chapter 5. */
#ifndef GUEST_ACPI_BUILD_H
#define GUEST_ACPI_BUILD_H

#include "guest/pc.h"
#include "hv/base/err.h"

/*
 * Writes the tables into guest RAM at [base, end), which is below 1 MiB and 64-byte aligned; the
 * RSDP is at `base`. ERR_NOMEM: too many CPUs for the space; ERR_RANGE: no RAM there.
 */
int acpi_build(const struct pc_config *config, gpa_t base, gpa_t end, struct why *why) MUST_CHECK;

#endif
