/* What the CPU's part of hv/base/plat.h is given by those above it. */
#ifndef HV_X86_PLAT_X86_H
#define HV_X86_PLAT_X86_H

#include "hv/base/types.h"

/*
 * plat_panic() hands what is wrong and where to `fn`, which ends the node. Given before anything can fail:
 * what panics stands under the log, and who reports it above.
 */
void plat_panic_by(void (*fn)(const char *text, uintptr_t at, uintptr_t rbp));

#endif
