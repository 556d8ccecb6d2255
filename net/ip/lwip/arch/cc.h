/* lwIP's view of the compiler and of the platform below it: no C library. */
#ifndef NET_IP_LWIP_ARCH_CC_H
#define NET_IP_LWIP_ARCH_CC_H

#include "hv/base/plat.h"
#include "hv/base/string.h"

#define LWIP_NO_INTTYPES_H 1
#define LWIP_NO_UNISTD_H   1
#define LWIP_NO_CTYPE_H    1

/* <limits.h> may promise it without giving it. */
typedef long ssize_t;
#ifndef SSIZE_MAX
#define SSIZE_MAX LONG_MAX
#endif

#define X8_F  "02x"
#define U16_F "u"
#define S16_F "d"
#define X16_F "x"
#define U32_F "u"
#define S32_F "d"
#define X32_F "x"
#define SZT_F "zu"

#define BYTE_ORDER 1234 /* LITTLE_ENDIAN, as lwip/arch.h has it */

#define LWIP_PLATFORM_DIAG(x)
#define LWIP_PLATFORM_ASSERT(text) plat_panic("lwIP: %s", text)

uint32_t netip_random(void);
#define LWIP_RAND() netip_random()

#endif
