/*
 * The MP tables, for firmware without ACPI. MultiProcessor Specification 1.4, chapter 4. Pure, like acpi.h.
 */
#ifndef HV_X86_MPTABLE_H
#define HV_X86_MPTABLE_H

#include "hv/x86/acpi.h"

/* Finds and reads the tables; true when *pf got a CPU list. A bad table is named in the log and skipped. */
bool mptable_read(const struct phys_reader *mem, struct platform *pf);

#endif
