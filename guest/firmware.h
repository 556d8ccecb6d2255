/*
 * What a BIOS would have left in memory: ACPI and MP tables, an interrupt vector table and BIOS
 * data area that do no harm, and a reset vector that stops the CPU.
 */
#ifndef GUEST_FIRMWARE_H
#define GUEST_FIRMWARE_H

#include "guest/pc.h"
#include "hv/base/err.h"

struct firmware {
	gpa_t rsdp;
	gpa_t mp_floating;
};

/* Writes all of it below 1 MiB. Fails when a table does not fit or the guest's RAM is not there. */
int firmware_build(const struct pc_config *config, struct firmware *out,
		   struct why *why) MUST_CHECK;

#endif
