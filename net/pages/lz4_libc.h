/* What LZ4 takes from a C library, given to its source with -include. */
#ifndef NET_PAGES_LZ4_LIBC_H
#define NET_PAGES_LZ4_LIBC_H

#include "hv/base/string.h"

#define LZ4_memcpy  memcpy
#define LZ4_memmove memmove
#define LZ4_memset  memset

#endif
