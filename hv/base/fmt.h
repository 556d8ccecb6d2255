/*
 * printf for the hypervisor: %d %i %u %x %X %o %c %s %p %% with the flags - 0 #, +, space, width,
 * precision (also *), and the lengths hh h l ll z t j. No floating point.
 */
#ifndef HV_BASE_FMT_H
#define HV_BASE_FMT_H

#include "hv/base/compiler.h"

/*
 * Both return the length the whole text would have; `size` counts the closing NUL, which is always written
 * when size > 0.
 */
size_t fmt_print(char *buf, size_t size, const char *fmt, ...) PRINTF(3, 4);
size_t fmt_vprint(char *buf, size_t size, const char *fmt, va_list ap) PRINTF(3, 0);

#endif
