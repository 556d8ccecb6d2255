/* The MultiProcessor tables for the guest PC. Intel MultiProcessor Specification 1.4, chapter 4. */
#ifndef GUEST_MPTABLE_BUILD_H
#define GUEST_MPTABLE_BUILD_H

#include "guest/pc.h"
#include "hv/base/err.h"

/*
 * Writes the tables into guest RAM at [base, end), 16-byte aligned; the floating pointer is at
 * `base`. CPUs with APIC IDs above 254 are left out: the format has 8 bits. Errors as in
 * acpi_build.
 */
int mptable_build(const struct pc_config *config, gpa_t base, gpa_t end,
		  struct why *why) MUST_CHECK;

#endif
