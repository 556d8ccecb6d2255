/* AMD-V of one physical CPU: finding, switching on and off. */
#include "hv/base/string.h"
#include "hv/virt/preflight.h"
#include "hv/svm/svm_vcpu.h"
#include "hv/x86/cpu.h"
#include "hv/x86/pcpu.h"
#include "hv/x86/pmem.h"

#define LEAF_EXT1 0x80000001u
#define LEAF_SIZE 0x80000008u
#define LEAF_SVM  0x8000000au

#define EXT1_EDX_RDTSCP BIT(27)

struct svm_caps svm_caps;

/* Where VMRUN keeps the host's state; 0: none yet. APM vol. 2, 15.30.4 */
static hpa_t save_areas[PCPU_MAX];

static void read_raw(struct svm_raw *raw)
{
	memset(raw, 0, sizeof(*raw));
	raw->svm = svm_present();
	raw->phys_bits = 36;
	raw->linear_bits = 48;
	if (cpuid_has(LEAF_SIZE)) {
		struct cpuid_regs sizes = cpuid(LEAF_SIZE, 0);

		raw->phys_bits = (uint8_t)sizes.eax;
		raw->linear_bits = (uint8_t)(sizes.eax >> 8);
	}
	if (!raw->svm)
		return;
	raw->rdtscp = cpuid(LEAF_EXT1, 0).edx & EXT1_EDX_RDTSCP;
	if (cpuid_has(LEAF_SVM)) {
		struct cpuid_regs svm = cpuid(LEAF_SVM, 0);

		raw->asids = svm.ebx;
		raw->features = svm.edx;
	}
	raw->vm_cr = rdmsr(MSR_VM_CR);
}

bool svm_present(void)
{
	return cpuid_has(LEAF_EXT1) && (cpuid(LEAF_EXT1, 0).ecx & CPUID_EXT1_ECX_SVM);
}

void svm_preflight(struct preflight *report)
{
	struct svm_raw raw;

	read_raw(&raw);
	svm_caps_preflight(&raw, report);
	if (svm_caps_settle(&raw, &svm_caps, NULL))
		memset(&svm_caps, 0, sizeof(svm_caps));
	else
		svm_maps_init();
}

/* The APIC's help (AVIC) is not used: software serves the guest's LAPIC. */
void svm_features(struct virt_features *out)
{
	*out = (struct virt_features){.large_pages = true, .walk_writes = true};
}

/* One set of intercepts serves all CPUs, so they must offer the same. */
static int check_same(struct why *why)
{
	struct svm_raw raw;
	struct svm_caps here;
	int err;

	memset(&here, 0, sizeof(here));
	read_raw(&raw);
	err = svm_caps_settle(&raw, &here, why);
	if (err)
		return err;
	if (memcmp(&here, &svm_caps, sizeof(here)) != 0)
		return why_set(why, ERR_UNSUPPORTED,
			       "CPU %u of this node offers another AMD-V than the first CPU; "
			       "all CPUs of a node must be of one model with one microcode",
			       plat_cpu());
	return 0;
}

static hpa_t save_area_of(unsigned cpu)
{
	if (!save_areas[cpu]) {
		hpa_t page = pmem_alloc_zeroed(0);

		save_areas[cpu] = page == PMEM_NONE ? 0 : page;
	}
	return save_areas[cpu];
}

/* VM_CR.SVMDIS makes the first try fault; it can be cleared as long as it is not locked. APM vol. 2, 15.4 */
static int enable(struct why *why)
{
	uint64_t efer = rdmsr(MSR_EFER) | EFER_SVME;

	if (wrmsr_safe(MSR_EFER, efer) || (wrmsr_safe(MSR_VM_CR, 0) && wrmsr_safe(MSR_EFER, efer)))
		return 0;
	return why_set(why, ERR_UNSUPPORTED,
		       "CPU %u refuses AMD-V, which the firmware has disabled (VM_CR is %#llx); "
		       "enable SVM Mode in the firmware setup and switch the machine off and on",
		       plat_cpu(), (unsigned long long)rdmsr(MSR_VM_CR));
}

int svm_cpu_on(struct why *why)
{
	hpa_t area;
	int err = check_same(why);

	if (err)
		return err;
	area = save_area_of(plat_cpu());
	if (!area)
		return why_set(why, ERR_NOMEM, "no memory for the host save area of CPU %u",
			       plat_cpu());
	err = enable(why);
	if (!err)
		wrmsr(MSR_VM_HSAVE_PA, area);
	return err;
}

void svm_cpu_off(void)
{
	wrmsr(MSR_VM_HSAVE_PA, 0);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_SVME);
}
