#include "hv/x86/resident.h"

#include "hv/base/assert.h"
#include "hv/x86/cpu.h"
#include "hv/x86/pmem.h"

STATIC_ASSERT(sizeof(struct xstate_area) <= PAGE_SIZE, "a vCPU has a page for it");

int resident_create(struct resident *r, struct why *why)
{
	hpa_t page = pmem_alloc_zeroed(0);

	if (page == PMEM_NONE)
		return why_set(why, ERR_NOMEM, "no memory for a guest's FPU state");
	r->area = pmem_virt(page);
	return 0;
}

void resident_save(struct resident *r)
{
	xstate_save(r->area);
	breakpoints_get(r->dr);
}

void resident_load(const struct resident *r)
{
	xstate_restore(r->area);
	breakpoints_set(r->dr);
}
