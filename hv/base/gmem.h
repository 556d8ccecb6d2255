/* Copies between guest memory and the hypervisor's, page by page through plat_gmem_acquire. */
#ifndef HV_BASE_GMEM_H
#define HV_BASE_GMEM_H

#include "hv/base/compiler.h"

/* Each returns 0, or ERR_RANGE when a byte of the range has no RAM; pages before it are done by then. */
int gmem_read(gpa_t gpa, void *buf, size_t len) MUST_CHECK;
int gmem_write(gpa_t gpa, const void *buf, size_t len) MUST_CHECK;
int gmem_fill(gpa_t gpa, uint8_t byte, size_t len) MUST_CHECK;

#endif
