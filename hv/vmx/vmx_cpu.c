/* VT-x of one physical CPU: finding, switching on and off. */
#include "hv/base/log.h"
#include "hv/base/string.h"
#include "hv/virt/preflight.h"
#include "hv/vmx/vmx_insn.h"
#include "hv/vmx/vmx_vcpu.h"
#include "hv/x86/cpu.h"
#include "hv/x86/pcpu.h"
#include "hv/x86/pmem.h"

/* Capability registers, as offsets from IA32_VMX_BASIC. SDM vol. 3, appendix A */
#define VMX_MSR(n)              (MSR_VMX_BASIC + (n))
#define MSR_VMX_PIN             VMX_MSR(0x1)
#define MSR_VMX_PROC            VMX_MSR(0x2)
#define MSR_VMX_EXIT            VMX_MSR(0x3)
#define MSR_VMX_ENTRY           VMX_MSR(0x4)
#define MSR_VMX_MISC            VMX_MSR(0x5)
#define MSR_VMX_CR0_FIXED0      VMX_MSR(0x6)
#define MSR_VMX_CR0_FIXED1      VMX_MSR(0x7)
#define MSR_VMX_CR4_FIXED0      VMX_MSR(0x8)
#define MSR_VMX_CR4_FIXED1      VMX_MSR(0x9)
#define MSR_VMX_PROC2           VMX_MSR(0xb)
#define MSR_VMX_EPT_VPID        VMX_MSR(0xc)
#define VMX_TRUE_CONTROL_OFFSET 0xcu /* MSR_VMX_PIN + this is the "true" one, and so on */

#define BASIC_TRUE_CONTROLS BIT(55)

struct vmx_caps vmx_caps;

static hpa_t vmxon_regions[PCPU_MAX]; /* 0: none yet */

static uint64_t word_msr(uint64_t basic, uint32_t msr)
{
	return rdmsr(basic & BASIC_TRUE_CONTROLS ? msr + VMX_TRUE_CONTROL_OFFSET : msr);
}

static void read_vmx_msrs(struct vmx_raw *raw)
{
	raw->feature_control = rdmsr(MSR_FEATURE_CONTROL);
	raw->basic = rdmsr(MSR_VMX_BASIC);
	raw->word[WORD_PIN] = word_msr(raw->basic, MSR_VMX_PIN);
	raw->word[WORD_PROC] = word_msr(raw->basic, MSR_VMX_PROC);
	raw->word[WORD_EXIT] = word_msr(raw->basic, MSR_VMX_EXIT);
	raw->word[WORD_ENTRY] = word_msr(raw->basic, MSR_VMX_ENTRY);
	raw->misc = rdmsr(MSR_VMX_MISC);
	raw->cr0_fixed0 = rdmsr(MSR_VMX_CR0_FIXED0);
	raw->cr0_fixed1 = rdmsr(MSR_VMX_CR0_FIXED1);
	raw->cr4_fixed0 = rdmsr(MSR_VMX_CR4_FIXED0);
	raw->cr4_fixed1 = rdmsr(MSR_VMX_CR4_FIXED1);
	/* These two exist only when the controls say so. */
	if (raw->word[WORD_PROC] >> 32 & PROC_SECONDARY)
		raw->word[WORD_PROC2] = rdmsr(MSR_VMX_PROC2);
	if (raw->word[WORD_PROC2] >> 32 & (PROC2_EPT | PROC2_VPID))
		raw->ept_vpid = rdmsr(MSR_VMX_EPT_VPID);
}

static void read_raw(struct vmx_raw *raw)
{
	struct cpuid_regs sizes = {0};

	memset(raw, 0, sizeof(*raw));
	raw->vmx = cpuid(1, 0).ecx & CPUID1_ECX_VMX;
	raw->hypervisor = cpuid(1, 0).ecx & CPUID1_ECX_HYPERVISOR;
	if (cpuid_has(0x80000008u))
		sizes = cpuid(0x80000008u, 0);
	raw->phys_bits = sizes.eax ? (uint8_t)sizes.eax : 36;
	raw->linear_bits = sizes.eax ? (uint8_t)(sizes.eax >> 8) : 48;
	if (raw->vmx)
		read_vmx_msrs(raw);
}

bool vmx_present(void)
{
	return cpuid(1, 0).ecx & CPUID1_ECX_VMX;
}

void vmx_preflight(struct preflight *report)
{
	struct vmx_raw raw;

	read_raw(&raw);
	vmx_caps_preflight(&raw, report);
	if (vmx_caps_settle(&raw, &vmx_caps, NULL))
		memset(&vmx_caps, 0, sizeof(vmx_caps));
}

void vmx_features(struct virt_features *out)
{
	vmx_caps_features(&vmx_caps, out);
}

/* SDM vol. 3, 24.7: the lock bit decides, until the next reset, whether VMXON is allowed. */
static void unlock_by_us(void)
{
	uint64_t fc = rdmsr(MSR_FEATURE_CONTROL);

	if (fc & FEATURE_CONTROL_LOCK)
		return;
	wrmsr(MSR_FEATURE_CONTROL, fc | FEATURE_CONTROL_VMX | FEATURE_CONTROL_LOCK);
	log_info(LOG_VIRT, "the firmware had left VT-x undecided; it is now enabled and locked");
}

/* One binary set of controls serves all CPUs, so they must offer the same. */
static int check_same(struct why *why)
{
	struct vmx_raw raw;
	struct vmx_caps here;
	int err;

	memset(&here, 0, sizeof(here));
	read_raw(&raw);
	err = vmx_caps_settle(&raw, &here, why);
	if (err)
		return err;
	if (memcmp(&here, &vmx_caps, sizeof(here)) != 0)
		return why_set(why, ERR_UNSUPPORTED,
			       "CPU %u of this node offers other VT-x controls than the first CPU; "
			       "all CPUs of a node must be of one model with one microcode",
			       plat_cpu());
	return 0;
}

static int check_host_registers(struct why *why)
{
	uint64_t cr0 = read_cr0(), cr4 = read_cr4();

	if ((~cr0 & vmx_caps.cr0_fixed0) || (cr0 & ~vmx_caps.cr0_fixed1) ||
	    (~cr4 & vmx_caps.cr4_fixed0) || (cr4 & ~vmx_caps.cr4_fixed1))
		return why_set(why, ERR_UNSUPPORTED,
			       "VMXON does not allow CR0 %#llx with CR4 %#llx on this CPU",
			       (unsigned long long)cr0, (unsigned long long)cr4);
	return 0;
}

static hpa_t region_of(unsigned cpu)
{
	hpa_t page = vmxon_regions[cpu];

	if (page)
		return page;
	page = pmem_alloc_zeroed(0);
	if (page == PMEM_NONE)
		return PMEM_NONE;
	*(uint32_t *)pmem_virt(page) = vmx_caps.revision;
	vmxon_regions[cpu] = page;
	return page;
}

/* Translations an earlier user of VT-x may have left behind. SDM vol. 3, 29.4.3.3 */
static void drop_translations(void)
{
	vmx_invept(vmx_caps.ept_vpid & EPT_CAP_INVEPT_ALL ? VMX_INV_ALL : VMX_INV_ONE, 0);
	if (vmx_caps.ept_vpid & EPT_CAP_INVVPID_ALL)
		vmx_invvpid(VMX_INV_ALL, 0);
}

int vmx_cpu_on(struct why *why)
{
	hpa_t region;
	int err;

	if ((err = check_same(why)))
		return err;
	region = region_of(plat_cpu());
	if (region == PMEM_NONE)
		return why_set(why, ERR_NOMEM, "no memory for the VMXON region of CPU %u",
			       plat_cpu());
	unlock_by_us();
	write_cr4(read_cr4() | CR4_VMXE);
	err = check_host_registers(why);
	if (!err && vmx_on(region) != VMX_OK)
		err = why_set(why, ERR_UNSUPPORTED,
			      "CPU %u refuses VMXON; is something else, such as "
			      "the firmware, using VT-x?",
			      plat_cpu());
	if (err) {
		write_cr4(read_cr4() & ~CR4_VMXE);
		return err;
	}
	drop_translations();
	return 0;
}

void vmx_cpu_off(void)
{
	vmx_off();
	write_cr4(read_cr4() & ~CR4_VMXE);
}
