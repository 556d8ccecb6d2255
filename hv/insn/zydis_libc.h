/*
 * What Zydis's decoder takes from a C library, given to its sources with -include. Its own stand-ins for
 * machines without one go byte by byte, which was two thirds of the cost of an emulated access.
 */
#ifndef HV_INSN_ZYDIS_LIBC_H
#define HV_INSN_ZYDIS_LIBC_H

#include "hv/base/string.h"

#define ZYAN_CUSTOM_LIBC
#define ZYAN_MEMCPY memcpy
#define ZYAN_MEMSET memset

#endif
