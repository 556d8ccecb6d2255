/* The end of a node that is broken: what happened, where, and what is known. */
#ifndef HV_X86_PANIC_H
#define HV_X86_PANIC_H

#include "hv/base/compiler.h"

struct irq_frame;

/* Reports an exception of the core's own and stops the node. */
NORETURN void panic_exception(const struct irq_frame *f);

/* For plat_panic(): reports what is wrong, found at `at` in the frame `rbp`, and stops the node. */
NORETURN void panic_report(const char *text, uintptr_t at, uintptr_t rbp);

/* In the NMI handler: halts for good when smp_stop_others() or a panic asks for it. */
void panic_stop_if_asked(void);
/* Makes every other CPU halt at its next NMI. */
void panic_ask_stop(void);

#endif
