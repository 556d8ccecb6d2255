#include "hv/x86/resident.h"

#include "hv/x86/cpu.h"
#include "hv/x86/pmem.h"

#define LEAF_XSAVE 0xdu
#define XCR0_FIRST 2u /* components below are in the area's legacy part */

/* In the standard form every component has its place, whatever others there are. SDM vol. 1, 13.4.3 */
static bool fits(uint64_t xcr0)
{
	for (unsigned i = XCR0_FIRST; i < 63; i++) {
		struct cpuid_regs c;

		if (!(xcr0 & BIT(i)))
			continue;
		c = cpuid(LEAF_XSAVE, i);
		if ((uint64_t)c.ebx + c.eax > PAGE_SIZE)
			return false;
	}
	return true;
}

int resident_create(struct resident *r, uint64_t xcr0_all, struct why *why)
{
	hpa_t page = pmem_alloc_zeroed(0);

	if (page == PMEM_NONE)
		return why_set(why, ERR_NOMEM, "no memory for a guest's FPU state");
	if (!fits(xcr0_all))
		return why_set(why, ERR_UNSUPPORTED,
			       "the state that XSAVE has to cover here takes more than %u bytes",
			       (unsigned)PAGE_SIZE);
	*r = (struct resident){.xcr0_all = xcr0_all, .area = pmem_virt(page)};
	return 0;
}

/* What the guest has in components that it has switched off for now is kept, so all are on meanwhile. */
void resident_save(struct resident *r)
{
	if (r->xcr0_all) {
		r->xcr0 = xgetbv(0);
		if (r->xcr0 != r->xcr0_all)
			xsetbv(0, r->xcr0_all);
		xsave(r->area, r->xcr0_all);
	} else {
		fxsave(r->area);
	}
	__asm__ volatile("mov %%dr0, %0" : "=r"(r->dr[0]));
	__asm__ volatile("mov %%dr1, %0" : "=r"(r->dr[1]));
	__asm__ volatile("mov %%dr2, %0" : "=r"(r->dr[2]));
	__asm__ volatile("mov %%dr3, %0" : "=r"(r->dr[3]));
}

void resident_load(const struct resident *r)
{
	if (r->xcr0_all) {
		xsetbv(0, r->xcr0_all);
		xrstor(r->area, r->xcr0_all);
		if (r->xcr0 != r->xcr0_all)
			xsetbv(0, r->xcr0);
	} else {
		fxrstor(r->area);
	}
	__asm__ volatile("mov %0, %%dr0" ::"r"(r->dr[0]));
	__asm__ volatile("mov %0, %%dr1" ::"r"(r->dr[1]));
	__asm__ volatile("mov %0, %%dr2" ::"r"(r->dr[2]));
	__asm__ volatile("mov %0, %%dr3" ::"r"(r->dr[3]));
}
