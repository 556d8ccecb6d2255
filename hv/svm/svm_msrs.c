/* Guest MSRs that live in the VMCB, or in the CPU itself because the hypervisor has no use for them. */
#include "hv/svm/svm_vcpu.h"
#include "hv/virt/msr_kind.h"
#include "hv/x86/cpu.h"

/* Of those in the VMCB. */
static const struct row {
	uint32_t msr;
	uint16_t offset; /* in struct vmcb_save */
	enum msr_kind kind;
} rows[] = {
	{MSR_PAT, offsetof(struct vmcb_save, pat), MSR_KIND_ANY},
	{MSR_FS_BASE, offsetof(struct vmcb_save, fs.base), MSR_KIND_ADDRESS},
	{MSR_GS_BASE, offsetof(struct vmcb_save, gs.base), MSR_KIND_ADDRESS},
	{MSR_KERNEL_GS_BASE, offsetof(struct vmcb_save, kernel_gs_base), MSR_KIND_ADDRESS},
	{MSR_STAR, offsetof(struct vmcb_save, star), MSR_KIND_ANY},
	{MSR_LSTAR, offsetof(struct vmcb_save, lstar), MSR_KIND_ADDRESS},
	{MSR_CSTAR, offsetof(struct vmcb_save, cstar), MSR_KIND_ADDRESS},
	{MSR_SFMASK, offsetof(struct vmcb_save, sfmask), MSR_KIND_LOW_HALF},
	{MSR_SYSENTER_CS, offsetof(struct vmcb_save, sysenter_cs), MSR_KIND_LOW_HALF},
	{MSR_SYSENTER_ESP, offsetof(struct vmcb_save, sysenter_esp), MSR_KIND_ADDRESS},
	{MSR_SYSENTER_EIP, offsetof(struct vmcb_save, sysenter_eip), MSR_KIND_ADDRESS},
};

static uint64_t *slot(struct svm_vcpu *x, const struct row *row)
{
	return (uint64_t *)((uint8_t *)&x->vmcb->save + row->offset);
}

static const struct row *find(uint32_t msr)
{
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].msr == msr)
			return &rows[i];
	return NULL;
}

static bool valid(uint64_t value, enum msr_kind kind)
{
	return msr_kind_allows(kind, value, svm_caps.linear_bits);
}

int svm_msr_get(struct virt_vcpu *v, uint32_t msr, uint64_t *value)
{
	const struct row *row = find(msr);

	if (row)
		*value = *slot(v->vendor, row);
	else if (msr == MSR_TSC_AUX && svm_caps.rdtscp)
		*value = rdmsr(msr);
	else
		return ERR_NOTFOUND;
	return 0;
}

int svm_msr_set(struct virt_vcpu *v, uint32_t msr, uint64_t value)
{
	const struct row *row = find(msr);

	if (row) {
		if (!valid(value, row->kind))
			return ERR_INVALID;
		*slot(v->vendor, row) = value;
	} else if (msr == MSR_TSC_AUX && svm_caps.rdtscp) {
		if (!valid(value, MSR_KIND_LOW_HALF))
			return ERR_INVALID;
		wrmsr(msr, value);
	} else {
		return ERR_NOTFOUND;
	}
	return 0;
}

void svm_msrs_reset(struct svm_vcpu *x)
{
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].msr != MSR_PAT)
			*slot(x, &rows[i]) = 0;
	if (svm_caps.rdtscp)
		wrmsr(MSR_TSC_AUX, 0);
}

void svm_tsc_offset_set(struct virt_vcpu *v, uint64_t offset)
{
	struct svm_vcpu *x = v->vendor;

	x->vmcb->control.tsc_offset = offset;
}
