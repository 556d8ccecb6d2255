/*
 * Nested page tables: what a guest-physical address means on this node. APM vol. 2, 15.25.
 *
 * The walker reads them as page tables of a user access, so every entry has U. Accessed and dirty bits
 * are set beforehand: the CPU then never writes to these tables. All RAM is write-back by PAT entry 0;
 * the guest's own PAT can only make it less cached (15.25.8).
 */
#include "hv/virt/nested.h"
#include "hv/svm/svm_vcpu.h"

/* APM vol. 2, 5.3 */
#define NPT_PRESENT  BIT(0)
#define NPT_WRITABLE BIT(1)
#define NPT_USER     BIT(2)
#define NPT_ACCESSED BIT(5)
#define NPT_DIRTY    BIT(6)
#define NPT_NO_EXEC  BIT(63)

static uint64_t leaf(enum npt_perm perm)
{
	return NPT_PRESENT | NPT_USER | NPT_ACCESSED | NPT_DIRTY |
	       (perm & NPT_WRITE ? NPT_WRITABLE : 0) | (perm & NPT_EXEC ? 0 : NPT_NO_EXEC);
}

static enum npt_perm perm_of(uint64_t entry)
{
	return NPT_READ | (entry & NPT_WRITABLE ? NPT_WRITE : 0) |
	       (entry & NPT_NO_EXEC ? 0 : NPT_EXEC);
}

static const struct nested_format format = {
	.present = NPT_PRESENT,
	.table = NPT_PRESENT | NPT_WRITABLE | NPT_USER | NPT_ACCESSED,
	.leaf = leaf,
	.perm = perm_of,
};

struct npt *npt_create(struct why *why)
{
	return nested_create(&format, why);
}

int npt_map(struct npt *npt, gpa_t gpa, hpa_t hpa, unsigned order, enum npt_perm perm)
{
	/* What is present can be read. */
	ASSERT(perm == NPT_NONE || perm & NPT_READ);
	ASSERT(perm == NPT_NONE || hpa >> svm_caps.phys_bits == 0);
	return nested_map(npt, gpa, hpa, order, perm);
}

int npt_map_apic(struct npt *npt, gpa_t gpa)
{
	return ERR_UNSUPPORTED; /* virt_features.apic_access_page is false */
}
