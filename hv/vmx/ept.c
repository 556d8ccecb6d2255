/*
 * Decisions. Accessed/dirty flags stay off: with them on, every guest page walk counts as a write to
 * the guest's page tables, which shared memory would pay for. All RAM is write-back and the guest's PAT
 * is ignored: no guest device reads memory behind the cache, and one memory type everywhere keeps the
 * guest's view and the hypervisor's own write-back mapping of a page from ever disagreeing.
 */
#include "hv/vmx/ept.h"

#include "hv/base/bits.h"
#include "hv/virt/nested.h"
#include "hv/vmx/vmx_insn.h"
#include "hv/vmx/vmx_vcpu.h"
#include "hv/x86/pmem.h"

/* SDM vol. 3, tables 29-1 to 29-7 */
#define EPT_PERM        7ull
#define EPT_WB          (6ull << 3)
#define EPT_IGNORE_PAT  BIT(6)
#define EPT_POINTER_WB  6ull
#define EPT_POINTER_LEN ((NESTED_LEVELS - 1) << 3)

STATIC_ASSERT(NPT_READ == 1 && NPT_WRITE == 2 && NPT_EXEC == 4, "npt_perm is EPT's bits 2:0");

static uint64_t leaf(enum npt_perm perm)
{
	return EPT_WB | EPT_IGNORE_PAT | (uint64_t)perm;
}

static enum npt_perm perm_of(uint64_t entry)
{
	return (enum npt_perm)(entry & EPT_PERM);
}

static const struct nested_format format = {
	.present = EPT_PERM,
	.table = EPT_PERM,
	.leaf = leaf,
	.perm = perm_of,
};

struct npt *ept_create(struct why *why)
{
	return nested_create(&format, why);
}

static bool perm_possible(enum npt_perm perm)
{
	/* Write without read is a misconfiguration; execute alone only where the CPU has it. */
	return !((perm & NPT_WRITE) && !(perm & NPT_READ)) &&
	       !(perm == NPT_EXEC && !(vmx_caps.ept_vpid & EPT_CAP_EXEC_ONLY));
}

int ept_map(struct npt *npt, gpa_t gpa, hpa_t hpa, unsigned order, enum npt_perm perm)
{
	ASSERT(order == 0 || (vmx_caps.ept_vpid & EPT_CAP_2M));
	ASSERT(perm_possible(perm));
	ASSERT(perm == NPT_NONE || hpa >> vmx_caps.phys_bits == 0);
	return nested_map(npt, gpa, hpa, order, perm);
}

int ept_map_apic(struct npt *npt, gpa_t gpa)
{
	/* Nothing is ever stored in this page: hardware redirects accesses to each vCPU's own page. */
	if (npt->apic_page == PMEM_NONE)
		npt->apic_page = pmem_alloc_zeroed(0);
	if (npt->apic_page == PMEM_NONE)
		return ERR_NOMEM;
	return ept_map(npt, gpa, npt->apic_page, 0, NPT_READ | NPT_WRITE);
}

void ept_flush(struct npt *npt)
{
	bool one = vmx_caps.ept_vpid & EPT_CAP_INVEPT_ONE;
	bool done = vmx_invept(one ? VMX_INV_ONE : VMX_INV_ALL, ept_pointer(npt));

	ASSERT(done);
}

uint64_t ept_pointer(const struct npt *npt)
{
	return npt->root | EPT_POINTER_LEN | EPT_POINTER_WB;
}

hpa_t ept_apic_access_page(const struct npt *npt)
{
	return npt->apic_page;
}
