#include "hv/vmx/vmx.h"

#include "hv/virt/nested.h"
#include "hv/vmx/ept.h"
#include "hv/vmx/vmx_vcpu.h"

/* Its walker only reads: EPT's accessed and dirty bits are off. vmx_features() says so. */
static void walk_root(struct virt_vcpu *v, gpa_t root)
{
}

const struct virt_ops vmx_ops = {
	.name = "VT-x",
	.present = vmx_present,
	.preflight = vmx_preflight,
	.features = vmx_features,
	.cpu_on = vmx_cpu_on,
	.cpu_off = vmx_cpu_off,
	.vcpu_create = vmx_vcpu_create,
	.vcpu_reset = vmx_vcpu_reset,
	.vcpu_startup = vmx_vcpu_startup,
	.vcpu_save = vmx_vcpu_save,
	.vcpu_load = vmx_vcpu_load,
	.run = vmx_run,
	.reg_get = vmx_reg_get,
	.reg_set = vmx_reg_set,
	.seg_get = vmx_seg_get,
	.seg_set = vmx_seg_set,
	.msr_get = vmx_msr_get,
	.msr_set = vmx_msr_set,
	.state_get = vmx_state_get,
	.state_set = vmx_state_set,
	.tsc_offset_set = vmx_tsc_offset_set,
	.skip = vmx_skip,
	.inject = vmx_inject,
	.event_pending = vmx_event_pending,
	.irq_ready = vmx_irq_ready,
	.nmi_ready = vmx_nmi_ready,
	.irq_window = vmx_irq_window,
	.nmi_window = vmx_nmi_window,
	.apic_pending = vmx_apic_pending,
	.apic_eoi_exits = vmx_apic_eoi_exits,
	.apic_mode = vmx_apic_mode,
	.apic_tpr_threshold = vmx_apic_tpr_threshold,
	.npt_create = ept_create,
	.npt_map = ept_map,
	.npt_query = nested_query,
	.npt_map_apic = ept_map_apic,
	.npt_flush = ept_flush,
	.tlb_flush = vmx_tlb_flush,
	.walk_root = walk_root,
	.dump = vmx_dump,
};
