/* Leaving 32-bit protected mode for a while. Both keep the caller's registers and its IDT. */
#ifndef TESTS_GUEST_LIB_REAL_H
#define TESTS_GUEST_LIB_REAL_H

#include "hv/base/compiler.h"

/*
 * Runs 16-bit code linked below 64 KiB in real mode until its near return. It may use all registers
 * but SP; all segments start as 0, interrupts off, vector table at 0. Paging must be off.
 */
void real_call(uint32_t entry);

/*
 * Runs 64-bit code below 4 GiB in long mode until its near return, with RDI = arg; yields RAX's low
 * half. Identity page tables for the first 4 GiB at `pml4`. Interrupts off, an IDT of the caller's.
 */
uint32_t long_call(uint32_t entry, uint32_t arg, uint32_t pml4);

#endif
