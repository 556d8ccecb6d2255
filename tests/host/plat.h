/* The platform of host tests: guest memory is an array, panics are expected or fatal. */
#ifndef TESTS_HOST_PLAT_H
#define TESTS_HOST_PLAT_H

#include <setjmp.h>

#include "hv/base/types.h"

/* Gives the tests guest RAM [0, size); contents are zero. Frees what was there before. */
void host_ram_reset(size_t size);
uint8_t *host_ram(void);

/* Does the calling CPU hold a page of guest memory? */
bool host_ram_held(void);

/* When set, called before each acquire; another CPU's doing can be put there. Gone with the RAM. */
extern void (*host_gmem_hook)(gpa_t gpa, bool write);

/* What plat_cpu() answers, below 8; 0 unless a test changes it. */
extern unsigned host_cpu;

/* Set `host_panic_expected` and setjmp(host_panic_jump) to survive a plat_panic. */
extern bool host_panic_expected;
extern jmp_buf host_panic_jump;

/* The log's clock. */
extern uint64_t host_log_ns;

#endif
