/*
 * What of a guest lives in the CPU itself, whatever its vendor, because the hypervisor has no use for it: the
 * x87, SSE and AVX registers, XCR0, and the breakpoints' addresses. A vCPU that has its CPU to itself leaves
 * it there; where several take turns it goes to memory and back.
 */
#ifndef HV_X86_RESIDENT_H
#define HV_X86_RESIDENT_H

#include "hv/base/err.h"
#include "hv/x86/xstate.h"

struct resident {
	struct xstate_area *area; /* a page */
	uint64_t dr[4];
};

/* xstate_init() has been called. What the calling CPU has now is the guest's to begin with. */
int resident_create(struct resident *r, struct why *why) MUST_CHECK;

void resident_save(struct resident *r);
void resident_load(const struct resident *r);

#endif
