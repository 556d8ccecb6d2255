/*
 * Bring-up order of a node's own hardware.
 *
 * entry.S runs x86_start() on the loader's tables; it sets up, in this order: CPU 0's pcpu, GDT and IDT,
 * the log's serial reader (option serial=), the final page tables, the page allocator, CPU 0's final
 * stack, the screen; then it calls hv_main() there. hv_main calls x86_init() and, when it wants them,
 * smp_start().
 */
#ifndef HV_X86_X86_H
#define HV_X86_X86_H

#include "boot/handoff.h"
#include "hv/base/err.h"

/*
 * The core's main function, in hv/main.c. The handoff is in the direct map and stays as long as the
 * node runs, as do the boot files it lists. Never returns.
 */
void hv_main(struct handoff *handoff);

/* TSC rate, platform tables, CPU 0's local APIC. */
int x86_init(struct handoff *handoff, struct why *why) MUST_CHECK;

/* Options hv/x86 reads by itself; hv/main.c lists them in its table so that they count as known. */
#define X86_OPT_SERIAL_HELP "off, com1 to com4, or the port as 0x3f8; com1 if not given"

/* Provokes one of page, stack, div, assert, nmi, to see that the panic path reports it. */
int panic_test(const char *kind, struct why *why);

#endif
