/*
 * The names of the core's functions, for the backtrace. tools/symtab.py makes the table after the first link.
 */
#ifndef HV_X86_SYMBOLS_H
#define HV_X86_SYMBOLS_H

#include "hv/base/compiler.h"

/* The function that holds `va` and the offset in it; NULL when it is none of ours. */
const char *symbols_find(uint64_t va, uint64_t *offset);

#endif
