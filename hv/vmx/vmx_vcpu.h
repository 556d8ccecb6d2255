/*
 * What the VT-x room keeps of one vCPU, and the functions its files share. The VMCS of the vCPU that is
 * loaded is current on its CPU, and nobody else touches it; those of others that live there stay active.
 */
#ifndef HV_VMX_VMX_VCPU_H
#define HV_VMX_VMX_VCPU_H

#include "hv/base/assert.h"
#include "hv/x86/resident.h"
#include "hv/virt/virt.h"
#include "hv/vmx/vmx_caps.h"
#include "hv/vmx/vmx_check.h"

/* An event in the form of the VM-entry fields. SDM vol. 3, 25.8.3 */
struct vmx_event {
	uint32_t info;
	uint32_t code;
	uint32_t insn_len; /* software interrupts and exceptions */
};

#define TODO_EVENT    1 /* `event` waits */
#define TODO_PDPTES   2 /* CR0, CR3 or CR4 were set by software; see vmx_pdptes_load */
#define TODO_SHUTDOWN 4 /* the guest has to shut down instead of being entered */

/* MSRs of the CPU itself that are the guest's; vmx_msrs.c. */
#define VMX_CPU_MSRS 6

struct vmx_vcpu {
	uint64_t host_rsp; /* first two: vmx_entry.S. As last written to the VMCS */
	uint8_t launched;
	bool again;   /* `event` is one whose delivery the last exit interrupted */
	uint8_t todo; /* TODO_*: before the next entry */
	bool use_apic_hw;
	struct virt_vcpu *virt;
	struct vmx_event event; /* for the next entry */
	/* As last written to the VMCS, so that only changes cost a VMWRITE. */
	uint32_t proc, proc2;
	uint32_t timer;
	/* The preemption timer's value for `slice` of host TSC. */
	uint64_t slice;
	uint32_t slice_timer;
	/*
	 * See call_back(): TSC when the guest was first entered with interrupts off, 0 when it has them on.
	 */
	uint64_t closed_since, closed_stay, closed_first, closed_last;
	/* Set-up. */
	struct npt *npt;
	hpa_t vmcs;
	uint64_t *msr_bitmap; /* one page */
	uint64_t cr4_owned;   /* CR4 bits the guest can't change without an exit */
	hpa_t apic_page;      /* virtual-APIC page */
	uint16_t vpid;
	/* Of the CPU itself, while the vCPU is not loaded. */
	struct resident resident;
	uint64_t cpu_msrs[VMX_CPU_MSRS], dr6;
};
ASSERT_OFFSET(struct vmx_vcpu, host_rsp, 0);
ASSERT_OFFSET(struct vmx_vcpu, launched, 8);

/* CR0 bits that differ between what the guest sees and what the CPU runs with. */
#define VMX_CR0_OWNED (CR0_NE | CR0_NW | CR0_CD)

/* vmx_cpu.c: valid once preflight has found everything. */
extern struct vmx_caps vmx_caps;
bool vmx_present(void);
void vmx_preflight(struct preflight *report);
void vmx_features(struct virt_features *out);
int vmx_cpu_on(struct why *why);
void vmx_cpu_off(void);

/* vmcs.c */
int vmx_vcpu_create(struct virt_vcpu *v, const struct virt_config *config, struct why *why);
void vmx_vcpu_reset(struct virt_vcpu *v);
void vmx_vcpu_startup(struct virt_vcpu *v, uint8_t sipi_vector);
void vmx_vcpu_save(struct virt_vcpu *v);
void vmx_vcpu_load(struct virt_vcpu *v);
void vmx_proc_set(struct vmx_vcpu *x, uint32_t bits, bool on);

/* msr_bitmap.c: SDM vol. 3, 25.6.9 */
void vmx_msr_bitmap_init(uint64_t *bitmap);
void vmx_msr_exits(uint64_t *bitmap, uint32_t msr, bool read, bool write);

/* vmx_entry.S: 0 after a guest exit, else an enum vmx_status; the VMCS is current. */
int vmx_enter(struct virt_vcpu *v, struct vmx_vcpu *x);
extern const char vmx_exit_entry[]; /* the host's RIP after an exit */

/* vmx_run.c */
/* Readies the timer's values for a new slice; 0 for none. */
void vmx_slice_set(struct vmx_vcpu *x, uint64_t slice_tsc);
void vmx_run(struct virt_vcpu *v, uint64_t slice_tsc, struct vm_exit *out);

/* vmx_exit.c: fills `out` for a guest exit that is no failed entry. */
void vmx_exit_decode(struct vmx_vcpu *x, uint32_t reason, struct vm_exit *out);

/* vmx_regs.c */
uint64_t vmx_reg_get(struct virt_vcpu *v, enum virt_reg reg);
void vmx_reg_set(struct virt_vcpu *v, enum virt_reg reg, uint64_t value);
void vmx_seg_get(struct virt_vcpu *v, enum virt_seg_id id, struct virt_seg *out);
void vmx_seg_set(struct virt_vcpu *v, enum virt_seg_id id, const struct virt_seg *seg);
void vmx_skip(struct virt_vcpu *v, unsigned insn_len);
void vmx_tlb_flush(struct virt_vcpu *v);
/* Reads the PAE page-directory pointers that CR3 names; ERR_INVALID when one is malformed. */
int vmx_pdptes_read(uint64_t cr3, uint64_t pdpte[4]);
/* Does this combination page with PAE's four pointers? */
bool vmx_pae_paging(uint64_t cr0, uint64_t cr4, uint64_t efer);
/* Brings them into the VMCS when software has changed what they follow from. */
void vmx_pdptes_load(struct vmx_vcpu *x);

/* vmx_msrs.c */
int vmx_msr_get(struct virt_vcpu *v, uint32_t msr, uint64_t *value);
int vmx_msr_set(struct virt_vcpu *v, uint32_t msr, uint64_t value);
void vmx_msrs_reset(void);
/* To and from `values`, VMX_CPU_MSRS of them. */
void vmx_msrs_save(uint64_t *values);
void vmx_msrs_load(const uint64_t *values);
void vmx_dr_reset(void);
uint64_t vmx_dr6_get(void);
void vmx_dr6_set(uint64_t value);
void vmx_tsc_offset_set(struct virt_vcpu *v, uint64_t offset);

/* vmx_event.c */
void vmx_inject(struct virt_vcpu *v, const struct virt_event *event);
bool vmx_event_pending(struct virt_vcpu *v);
bool vmx_irq_ready(struct virt_vcpu *v);
bool vmx_nmi_ready(struct virt_vcpu *v);
void vmx_irq_window(struct virt_vcpu *v, bool on);
void vmx_nmi_window(struct virt_vcpu *v, bool on);
/* Keeps an event whose delivery an exit interrupted, for the next entry. SDM vol. 3, 28.2.4 */
void vmx_event_keep(struct vmx_vcpu *x, uint32_t vectoring_info);
/* Gives an exception that exited back to the guest; `info` is the exit's interruption information. */
void vmx_event_reflect(struct vmx_vcpu *x, uint32_t info);
/* Hands x->event to the next entry. */
void vmx_event_load(struct vmx_vcpu *x);

/* vmx_image.c */
void vmx_state_get(struct virt_vcpu *v, struct virt_state *out);
void vmx_state_set(struct virt_vcpu *v, const struct virt_state *st);

/* vmx_apic.c */
void vmx_apic_setup(struct vmx_vcpu *x);
void vmx_apic_pending(struct virt_vcpu *v, uint8_t rvi, uint8_t svi);
void vmx_apic_eoi_exits(struct virt_vcpu *v, const uint64_t bitmap[4]);
void vmx_apic_mode(struct virt_vcpu *v, bool enabled, bool x2apic);
void vmx_apic_tpr_threshold(struct virt_vcpu *v, uint8_t threshold);

/* vmx_dump.c */
void vmx_snapshot(struct vmx_guest_state *g);
void vmx_dump(struct virt_vcpu *v);

#endif
