/*
 * Hardware help for the guest's local APIC. SDM vol. 3, chapter 30. Every part is used only when the
 * CPU has it (vmx_caps_features) and the configuration asks for it; else software does all.
 */
#include "hv/vmx/ept.h"
#include "hv/vmx/vmx_insn.h"
#include "hv/vmx/vmx_vcpu.h"
#include "hv/x86/msr.h"
#include "hv/x86/pmem.h"

#define X2APIC_MSRS 0x40u /* 0x800 .. 0x83f have registers */

#define X2APIC_TPR      0x808u
#define X2APIC_EOI      0x80bu
#define X2APIC_SELF_IPI 0x83fu

#define APIC_TPR 0x80u /* offset in the page */

#define PROC2_APIC_ALL \
	(PROC2_APIC_ACCESS | PROC2_X2APIC | PROC2_APIC_REGISTERS | PROC2_INTERRUPT_DELIVERY)

static bool tpr_shadow(const struct vmx_vcpu *x)
{
	return x->proc & PROC_TPR_SHADOW;
}

static void proc2_set(struct vmx_vcpu *x, uint32_t value)
{
	if (value == x->proc2)
		return;
	vmwrite32(VMCS_PROC2_CONTROLS, value);
	x->proc2 = value;
}

/* The TPR shadow stays on for good: CR8 works through it in every APIC mode. */
void vmx_apic_setup(struct vmx_vcpu *x)
{
	struct virt_features f;

	vmx_caps_features(&vmx_caps, &f);
	if (!x->use_apic_hw || !f.tpr_shadow || x->apic_page == PMEM_NONE)
		return;
	vmwrite64(VMCS_VIRTUAL_APIC_PAGE, x->apic_page);
	vmwrite32(VMCS_TPR_THRESHOLD, 0);
	vmx_proc_set(x, PROC_CR8_LOAD_EXIT | PROC_CR8_STORE_EXIT, false);
	vmx_proc_set(x, PROC_TPR_SHADOW, true);
	if (f.interrupt_delivery)
		vmwrite16(VMCS_GUEST_INTERRUPT_STATUS, 0);
}

void vmx_apic_pending(struct virt_vcpu *v, uint8_t rvi, uint8_t svi)
{
	ASSERT(vmx_caps_may(&vmx_caps, WORD_PROC2, PROC2_INTERRUPT_DELIVERY));
	vmwrite16(VMCS_GUEST_INTERRUPT_STATUS, (uint16_t)(svi << 8 | rvi));
}

void vmx_apic_eoi_exits(struct virt_vcpu *v, const uint64_t bitmap[4])
{
	ASSERT(vmx_caps_may(&vmx_caps, WORD_PROC2, PROC2_INTERRUPT_DELIVERY));
	for (unsigned i = 0; i < 4; i++)
		vmwrite64(VMCS_EOI_EXIT_BITMAP0 + 2 * i, bitmap[i]);
}

/*
 * The registers hardware may read from the page for the guest: RDMSR of any other x2APIC MSR would find
 * the page's bytes instead of #GP. Not among them: the timer's current count, which only software
 * knows, and ICR, whose upper half the page keeps at the xAPIC's offset. SDM vol. 3, 11.12.1 and 30.5
 */
static const struct {
	uint32_t first, last;
} x2apic_reads[] = {
	{0x802, 0x803}, /* ID, version */
	{0x808, 0x808}, /* TPR */
	{0x80a, 0x80a}, /* PPR */
	{0x80d, 0x80d}, /* LDR */
	{0x80f, 0x828}, /* SVR, ISR, TMR, IRR, ESR */
	{0x832, 0x838}, /* LVT, initial count */
	{0x83e, 0x83e}, /* divide configuration */
};

/* Writes of TPR, EOI and SELF IPI are virtualized with interrupt delivery; all others exit. */
static void x2apic_exits(struct vmx_vcpu *x, bool direct, bool delivery)
{
	for (uint32_t i = 0; i < X2APIC_MSRS; i++)
		vmx_msr_exits(x->msr_bitmap, MSR_X2APIC_BASE + i, true, true);
	if (!direct)
		return;
	for (unsigned i = 0; i < ARRAY_LEN(x2apic_reads); i++)
		for (uint32_t msr = x2apic_reads[i].first; msr <= x2apic_reads[i].last; msr++)
			vmx_msr_exits(x->msr_bitmap, msr, false, true);
	vmx_msr_exits(x->msr_bitmap, X2APIC_TPR, false, false);
	if (delivery) {
		vmx_msr_exits(x->msr_bitmap, X2APIC_EOI, true, false);
		vmx_msr_exits(x->msr_bitmap, X2APIC_SELF_IPI, true, false);
	}
}

void vmx_apic_mode(struct virt_vcpu *v, bool enabled, bool x2apic)
{
	struct vmx_vcpu *x = v->vendor;
	uint32_t value = x->proc2 & ~PROC2_APIC_ALL;
	struct virt_features f;
	bool page;

	if (!tpr_shadow(x))
		return;
	vmx_caps_features(&vmx_caps, &f);
	page = f.apic_access_page && ept_apic_access_page(x->npt) != PMEM_NONE;
	if (enabled && !x2apic && page)
		value |= PROC2_APIC_ACCESS;
	if (enabled && x2apic && f.x2apic)
		value |= PROC2_X2APIC;
	if (value & (PROC2_APIC_ACCESS | PROC2_X2APIC)) {
		value |= f.apic_registers ? PROC2_APIC_REGISTERS : 0;
		value |= f.interrupt_delivery ? PROC2_INTERRUPT_DELIVERY : 0;
	}
	if (value & PROC2_APIC_ACCESS)
		vmwrite64(VMCS_APIC_ACCESS_PAGE, ept_apic_access_page(x->npt));
	x2apic_exits(x, value & PROC2_X2APIC, value & PROC2_INTERRUPT_DELIVERY);
	vmwrite32(VMCS_TPR_THRESHOLD, 0);
	proc2_set(x, value);
	vmx_tlb_flush(v); /* cached translations know whether the access page is watched */
}

void vmx_apic_tpr_threshold(struct virt_vcpu *v, uint8_t threshold)
{
	struct vmx_vcpu *x = v->vendor;

	if (!tpr_shadow(x) || (x->proc2 & PROC2_INTERRUPT_DELIVERY))
		return;
	/* Without the access page, a threshold above the TPR is refused at entry. SDM vol. 3, 27.2.1.1 */
	if (!(x->proc2 & PROC2_APIC_ACCESS)) {
		const uint8_t *page = pmem_virt(x->apic_page);
		uint8_t tpr_class = page[APIC_TPR] >> 4;

		threshold = MIN(threshold, tpr_class);
	}
	vmwrite32(VMCS_TPR_THRESHOLD, threshold & 15);
}
