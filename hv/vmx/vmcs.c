/* The VMCS of a vCPU: controls, host state, and the guest state after RESET and INIT. */
#include "hv/virt/reset.h"
#include "hv/vmx/ept.h"
#include "hv/vmx/vmx_insn.h"
#include "hv/vmx/vmx_vcpu.h"
#include "hv/x86/cpu.h"
#include "hv/x86/pcpu.h"
#include "hv/x86/pmem.h"

/*
 * PAUSE-loop exiting, in TSC ticks: PAUSEs closer together than the gap belong to one loop, and a loop
 * of more than the window exits. SDM vol. 3, 26.1.3. About 1 us of spinning on a current CPU.
 */
#define PLE_GAP    128
#define PLE_WINDOW 4096

/*
 * A machine check while the guest runs is the node's own, not the guest's. #DB and #AC can go on for ever
 * without an exit: see vmx_event_reflect.
 */
#define EXCEPTION_BITMAP (1u << VECTOR_MC | 1u << VECTOR_DB | 1u << VECTOR_AC)

void vmx_proc_set(struct vmx_vcpu *x, uint32_t bits, bool on)
{
	uint32_t value = on ? x->proc | bits : x->proc & ~bits;

	if (value == x->proc)
		return;
	vmwrite32(VMCS_PROC_CONTROLS, value);
	x->proc = value;
}

static void write_controls(struct vmx_vcpu *x)
{
	x->proc = vmx_caps.word[WORD_PROC];
	x->proc2 = vmx_caps.word[WORD_PROC2];
	vmwrite32(VMCS_PIN_CONTROLS, vmx_caps.word[WORD_PIN]);
	vmwrite32(VMCS_PROC_CONTROLS, x->proc);
	vmwrite32(VMCS_PROC2_CONTROLS, x->proc2);
	vmwrite32(VMCS_EXIT_CONTROLS, vmx_caps.word[WORD_EXIT]);
	vmwrite32(VMCS_ENTRY_CONTROLS, vmx_caps.word[WORD_ENTRY]);
	vmwrite32(VMCS_EXCEPTION_BITMAP, EXCEPTION_BITMAP);
	vmwrite32(VMCS_PF_ERROR_MASK, 0);
	vmwrite32(VMCS_PF_ERROR_MATCH, 0);
	vmwrite32(VMCS_CR3_TARGET_COUNT, 0);
	vmwrite32(VMCS_EXIT_MSR_STORE_COUNT, 0);
	vmwrite32(VMCS_EXIT_MSR_LOAD_COUNT, 0);
	vmwrite32(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
	vmwrite32(VMCS_ENTRY_INTR_INFO, 0);
	vmwrite64(VMCS_LINK_POINTER, UINT64_MAX);
	vmwrite64(VMCS_MSR_BITMAP, pmem_phys(x->msr_bitmap));
	vmwrite64(VMCS_EPT_POINTER, ept_pointer(x->npt));
	vmwriten(VMCS_CR0_MASK, VMX_CR0_OWNED);
	vmwriten(VMCS_CR4_MASK, x->cr4_owned);
	if (x->proc2 & PROC2_VPID)
		vmwrite16(VMCS_VPID, x->vpid);
	if (x->proc2 & PROC2_XSAVES)
		vmwrite64(VMCS_XSS_EXIT_BITMAP, 0);
	if (x->proc2 & PROC2_PAUSE_LOOP_EXIT) {
		vmwrite32(VMCS_PLE_GAP, PLE_GAP);
		vmwrite32(VMCS_PLE_WINDOW, PLE_WINDOW);
	}
	if (vmx_caps.word[WORD_PIN] & PIN_TIMER)
		vmwrite32(VMCS_TIMER_VALUE, x->timer);
}

/* What the calling CPU runs with right now is what an exit brings back. SDM vol. 3, 25.5 */
static void write_host_state(void)
{
	vmwrite16(VMCS_HOST_CS_SELECTOR, GDT_CODE);
	vmwrite16(VMCS_HOST_SS_SELECTOR, GDT_DATA);
	vmwrite16(VMCS_HOST_DS_SELECTOR, GDT_DATA);
	vmwrite16(VMCS_HOST_ES_SELECTOR, GDT_DATA);
	vmwrite16(VMCS_HOST_FS_SELECTOR, 0);
	vmwrite16(VMCS_HOST_GS_SELECTOR, 0);
	vmwrite16(VMCS_HOST_TR_SELECTOR, str());
	vmwriten(VMCS_HOST_CR0, read_cr0());
	vmwriten(VMCS_HOST_CR3, read_cr3());
	vmwriten(VMCS_HOST_CR4, read_cr4());
	vmwriten(VMCS_HOST_FS_BASE, 0);
	vmwriten(VMCS_HOST_GS_BASE, rdmsr(MSR_GS_BASE));
	vmwriten(VMCS_HOST_TR_BASE, (uintptr_t)&pcpu_this()->tss);
	vmwriten(VMCS_HOST_GDTR_BASE, sgdt().base);
	vmwriten(VMCS_HOST_IDTR_BASE, sidt().base);
	vmwrite32(VMCS_HOST_SYSENTER_CS, 0);
	vmwriten(VMCS_HOST_SYSENTER_ESP, 0);
	vmwriten(VMCS_HOST_SYSENTER_EIP, 0);
	vmwrite64(VMCS_HOST_PAT, rdmsr(MSR_PAT));
	vmwrite64(VMCS_HOST_EFER, rdmsr(MSR_EFER));
	vmwriten(VMCS_HOST_RIP, (uintptr_t)vmx_exit_entry);
}

/* What INIT sets, RESET too. CR0's cache bits outlive an INIT. */
static void init_state(struct virt_vcpu *v, const struct reset_start *start)
{
	struct vmx_vcpu *x = v->vendor;

	reset_registers(v, cpuid(1, 0).eax);
	reset_segments(v, start, vmx_seg_set);
	vmwriten(VMCS_GUEST_RSP, 0);
	vmwriten(VMCS_GUEST_RIP, start->rip);
	vmwriten(VMCS_GUEST_RFLAGS, RFLAGS_FIXED);
	vmwrite64(VMCS_GUEST_EFER, 0);
	vmx_reg_set(v, REG_CR4, 0);
	vmx_reg_set(v, REG_CR0, start->cr0);
	vmwriten(VMCS_GUEST_CR3, 0);
	vmwriten(VMCS_GUEST_DR7, DR7_RESET);
	vmwrite64(VMCS_GUEST_DEBUGCTL, 0);
	vmwriten(VMCS_GUEST_PENDING_DEBUG, 0);
	vmwrite32(VMCS_GUEST_INTERRUPTIBILITY, 0);
	vmwrite32(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	for (unsigned i = 0; i < 4; i++)
		vmwrite64(VMCS_GUEST_PDPTE0 + 2 * i, 0);
	x->again = false;
	x->todo = 0;
	vmx_proc_set(x, PROC_INTERRUPT_WINDOW | PROC_NMI_WINDOW, false);
	vmx_dr_reset();
	vmx_tlb_flush(v);
}

void vmx_vcpu_reset(struct virt_vcpu *v)
{
	vmwrite64(VMCS_GUEST_PAT, RESET_PAT);
	vmwrite32(VMCS_GUEST_SYSENTER_CS, 0);
	vmwriten(VMCS_GUEST_SYSENTER_ESP, 0);
	vmwriten(VMCS_GUEST_SYSENTER_EIP, 0);
	vmx_msrs_reset();
	init_state(v, &reset_power_on);
}

void vmx_vcpu_startup(struct virt_vcpu *v, uint8_t sipi_vector)
{
	struct reset_start start = reset_startup(vmx_reg_get(v, REG_CR0), sipi_vector);

	init_state(v, &start);
}

void vmx_vcpu_save(struct virt_vcpu *v)
{
	struct vmx_vcpu *x = v->vendor;

	resident_save(&x->resident);
	vmx_msrs_save(x->cpu_msrs);
	x->dr6 = vmx_dr6_get();
}

/*
 * The VMCS has been current here before, so its launch state holds, its host state is this CPU's, and what
 * the CPU has cached under its VPID is still good. SDM vol. 3, 25.1; others' of this CPU stay active.
 */
void vmx_vcpu_load(struct virt_vcpu *v)
{
	struct vmx_vcpu *x = v->vendor;
	bool done = vmx_ptrld(x->vmcs) == VMX_OK;

	ASSERT(done);
	resident_load(&x->resident);
	vmx_msrs_load(x->cpu_msrs);
	vmx_dr6_set(x->dr6);
}

/* One page for the VMCS, one for the MSR bitmap, one for struct vmx_vcpu. */
static struct vmx_vcpu *allocate(void)
{
	hpa_t vmcs = pmem_alloc_zeroed(0), bitmap = pmem_alloc_zeroed(0),
	      self = pmem_alloc_zeroed(0);
	struct vmx_vcpu *x;

	if (vmcs == PMEM_NONE || bitmap == PMEM_NONE || self == PMEM_NONE)
		return NULL;
	x = pmem_virt(self);
	x->vmcs = vmcs;
	x->msr_bitmap = pmem_virt(bitmap);
	*(uint32_t *)pmem_virt(vmcs) = vmx_caps.revision;
	return x;
}

int vmx_vcpu_create(struct virt_vcpu *v, const struct virt_config *config, struct why *why)
{
	struct vmx_vcpu *x = allocate();
	int err;

	if (!x)
		return why_set(why, ERR_NOMEM, "no memory for the VMCS of the vCPU on CPU %u",
			       plat_cpu());
	err = resident_create(&x->resident, why);
	if (err)
		return err;
	ASSERT(config->npt && config->asid != 0);
	v->vendor = x;
	x->virt = v;
	x->npt = config->npt;
	x->vpid = config->asid;
	vmx_slice_set(x, 0);
	x->use_apic_hw = config->use_apic_hw;
	x->cr4_owned = ~(config->cr4_guest & vmx_caps.cr4_fixed1) | CR4_VMXE;
	x->apic_page = config->apic_page ? pmem_phys(config->apic_page) : PMEM_NONE;

	if (vmx_clear(x->vmcs) != VMX_OK || vmx_ptrld(x->vmcs) != VMX_OK)
		return why_set(why, ERR_UNSUPPORTED,
			       "CPU %u refuses the VMCS at %#llx; was VT-x switched on there?",
			       plat_cpu(), (unsigned long long)x->vmcs);
	vmx_msr_bitmap_init(x->msr_bitmap);
	write_controls(x);
	write_host_state();
	vmwrite64(VMCS_TSC_OFFSET, config->tsc_offset);
	vmx_apic_setup(x);
	vmx_vcpu_reset(v);
	return 0;
}
