#include "hv/svm/svm.h"

#include "hv/virt/nested.h"
#include "hv/svm/svm_vcpu.h"

/* The hooks for hardware help with the LAPIC: svm_features() offers none. */
static void apic_pending(struct virt_vcpu *v, uint8_t rvi, uint8_t svi)
{
}

static void apic_eoi_exits(struct virt_vcpu *v, const uint64_t bitmap[4])
{
}

static void apic_mode(struct virt_vcpu *v, bool enabled, bool x2apic)
{
}

static void apic_tpr_threshold(struct virt_vcpu *v, uint8_t threshold)
{
}

const struct virt_ops svm_ops = {
	.name = "AMD-V",
	.present = svm_present,
	.preflight = svm_preflight,
	.features = svm_features,
	.cpu_on = svm_cpu_on,
	.cpu_off = svm_cpu_off,
	.vcpu_create = svm_vcpu_create,
	.vcpu_reset = svm_vcpu_reset,
	.vcpu_startup = svm_vcpu_startup,
	.vcpu_save = svm_vcpu_save,
	.vcpu_load = svm_vcpu_load,
	.run = svm_run,
	.reg_get = svm_reg_get,
	.reg_set = svm_reg_set,
	.seg_get = svm_seg_get,
	.seg_set = svm_seg_set,
	.msr_get = svm_msr_get,
	.msr_set = svm_msr_set,
	.state_get = svm_state_get,
	.state_set = svm_state_set,
	.tsc_offset_set = svm_tsc_offset_set,
	.skip = svm_skip,
	.inject = svm_inject,
	.event_pending = svm_event_pending,
	.irq_ready = svm_irq_ready,
	.nmi_ready = svm_nmi_ready,
	.irq_window = svm_irq_window,
	.nmi_window = svm_nmi_window,
	.apic_pending = apic_pending,
	.apic_eoi_exits = apic_eoi_exits,
	.apic_mode = apic_mode,
	.apic_tpr_threshold = apic_tpr_threshold,
	.npt_create = npt_create,
	.npt_map = npt_map,
	.npt_query = nested_query,
	.npt_map_apic = npt_map_apic,
	.npt_flush = svm_flush_nested,
	.tlb_flush = svm_tlb_flush,
	.walk_root = svm_walk_root,
	.dump = svm_dump,
};
