/* Makes each CPU's own structure, stacks and descriptor tables, and loads them. */
#ifndef HV_X86_PCPU_SETUP_H
#define HV_X86_PCPU_SETUP_H

#include "hv/x86/pcpu.h"

/* CPUs that are up, numbered 0 .. pcpu_count() - 1. */
unsigned pcpu_count(void);

/* Loads GDT, TSS, GS base, IDT and the control registers (WP, NX, NE ...) of the calling CPU. */
void pcpu_load(struct pcpu *p);

/*
 * Makes the next CPU's structure and stacks; the same one again until it is committed. NULL: no memory, or
 * full.
 */
struct pcpu *pcpu_create(void);
/* The CPU runs: it counts from now on. */
void pcpu_commit(struct pcpu *p);
/* For CPU 0, whose structure is older than the page allocator. */
bool pcpu_give_stacks(struct pcpu *p);

#endif
