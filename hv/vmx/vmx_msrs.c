/* Guest MSRs that live in the VMCS, or in the CPU itself because the hypervisor has no use for them. */
#include "hv/virt/msr_kind.h"
#include "hv/vmx/vmx_insn.h"
#include "hv/vmx/vmx_vcpu.h"
#include "hv/x86/cpu.h"

/* Of the CPU itself: what the guest may put there without a #GP in the hypervisor. */
static const struct cpu_msr {
	uint32_t msr;
	enum msr_kind kind;
} cpu_msrs[] = {
	{MSR_KERNEL_GS_BASE, MSR_KIND_ADDRESS}, {MSR_STAR, MSR_KIND_ANY},
	{MSR_LSTAR, MSR_KIND_ADDRESS},          {MSR_CSTAR, MSR_KIND_ADDRESS},
	{MSR_SFMASK, MSR_KIND_LOW_HALF},        {MSR_TSC_AUX, MSR_KIND_LOW_HALF},
};

STATIC_ASSERT(ARRAY_LEN(cpu_msrs) == VMX_CPU_MSRS, "vmx_vcpu.h has room for them");

static bool valid(uint64_t value, enum msr_kind kind)
{
	return msr_kind_allows(kind, value, vmx_caps.linear_bits);
}

/* NULL when `msr` is none of them, or this CPU does not have it. */
static const struct cpu_msr *find(uint32_t msr)
{
	if (msr == MSR_TSC_AUX && !(vmx_caps.word[WORD_PROC2] & PROC2_RDTSCP))
		return NULL;
	for (unsigned i = 0; i < ARRAY_LEN(cpu_msrs); i++)
		if (cpu_msrs[i].msr == msr)
			return &cpu_msrs[i];
	return NULL;
}

int vmx_msr_get(struct virt_vcpu *v, uint32_t msr, uint64_t *value)
{
	switch (msr) {
	case MSR_PAT:
		*value = vmread64(VMCS_GUEST_PAT);
		return 0;
	case MSR_FS_BASE:
		*value = vmreadn(VMCS_GUEST_FS_BASE);
		return 0;
	case MSR_GS_BASE:
		*value = vmreadn(VMCS_GUEST_GS_BASE);
		return 0;
	case MSR_SYSENTER_CS:
		*value = vmread32(VMCS_GUEST_SYSENTER_CS);
		return 0;
	case MSR_SYSENTER_ESP:
		*value = vmreadn(VMCS_GUEST_SYSENTER_ESP);
		return 0;
	case MSR_SYSENTER_EIP:
		*value = vmreadn(VMCS_GUEST_SYSENTER_EIP);
		return 0;
	}
	if (!find(msr))
		return ERR_NOTFOUND;
	*value = rdmsr(msr);
	return 0;
}

static int cpu_msr_set(uint32_t msr, uint64_t value)
{
	const struct cpu_msr *m = find(msr);

	if (!m)
		return ERR_NOTFOUND;
	if (!valid(value, m->kind))
		return ERR_INVALID;
	wrmsr(msr, value);
	return 0;
}

static int address_set(enum vmcs_field_natural field, uint64_t value)
{
	if (!valid(value, MSR_KIND_ADDRESS))
		return ERR_INVALID;
	vmwriten(field, value);
	return 0;
}

int vmx_msr_set(struct virt_vcpu *v, uint32_t msr, uint64_t value)
{
	switch (msr) {
	case MSR_PAT:
		if (!vmx_pat_valid(value))
			return ERR_INVALID;
		vmwrite64(VMCS_GUEST_PAT, value);
		return 0;
	case MSR_FS_BASE:
		return address_set(VMCS_GUEST_FS_BASE, value);
	case MSR_GS_BASE:
		return address_set(VMCS_GUEST_GS_BASE, value);
	case MSR_SYSENTER_CS:
		vmwrite32(VMCS_GUEST_SYSENTER_CS, (uint32_t)value);
		return 0;
	case MSR_SYSENTER_ESP:
		return address_set(VMCS_GUEST_SYSENTER_ESP, value);
	case MSR_SYSENTER_EIP:
		return address_set(VMCS_GUEST_SYSENTER_EIP, value);
	}
	return cpu_msr_set(msr, value);
}

void vmx_msrs_reset(void)
{
	for (unsigned i = 0; i < ARRAY_LEN(cpu_msrs); i++)
		if (find(cpu_msrs[i].msr))
			wrmsr(cpu_msrs[i].msr, 0);
}

void vmx_msrs_save(uint64_t *values)
{
	for (unsigned i = 0; i < ARRAY_LEN(cpu_msrs); i++)
		if (find(cpu_msrs[i].msr))
			values[i] = rdmsr(cpu_msrs[i].msr);
}

void vmx_msrs_load(const uint64_t *values)
{
	for (unsigned i = 0; i < ARRAY_LEN(cpu_msrs); i++)
		if (find(cpu_msrs[i].msr))
			wrmsr(cpu_msrs[i].msr, values[i]);
}

uint64_t vmx_dr6_get(void)
{
	uint64_t value;

	__asm__ volatile("mov %%dr6, %0" : "=r"(value));
	return value;
}

void vmx_dr6_set(uint64_t value)
{
	__asm__ volatile("mov %0, %%dr6" ::"r"(value));
}

/* DR0-DR3 and DR6 are the guest's at all times; DR7 is in the VMCS. SDM vol. 3, table 10-1 */
void vmx_dr_reset(void)
{
	__asm__ volatile("mov %0, %%dr0; mov %0, %%dr1; mov %0, %%dr2; mov %0, %%dr3" ::"r"(0ull));
	vmx_dr6_set(DR6_RESET);
}

void vmx_tsc_offset_set(struct virt_vcpu *v, uint64_t offset)
{
	vmwrite64(VMCS_TSC_OFFSET, offset);
}
