/*
 * What the AMD-V room keeps of one vCPU, and the functions its files share. Nobody but the CPU that a vCPU
 * is loaded on touches its VMCB. No state of the VMCB is ever marked clean: between two stays the CPU keeps
 * nothing of a guest but its translations, and of those it says by the ASID whose they are (hv/virt/asid.h).
 */
#ifndef HV_SVM_SVM_VCPU_H
#define HV_SVM_SVM_VCPU_H

#include "hv/x86/resident.h"
#include "hv/virt/virt.h"
#include "hv/virt/asid.h"
#include "hv/svm/svm_caps.h"
#include "hv/svm/vmcb.h"

#define TODO_EVENT    1 /* `event` waits */
#define TODO_SHUTDOWN 2 /* the guest has to shut down instead of being entered */

/* How far the guest is with an NMI: AMD-V does not keep track of it. See svm_event.c. */
enum svm_nmi_state { NMI_OPEN, NMI_BLOCKED };

/* One instruction is being stepped over: see svm_event.c. */
struct svm_step {
	bool on;
	bool iret;    /* it loads the flags, TF too */
	bool tf;      /* the guest's own RFLAGS.TF */
	uint64_t dr6; /* as it was */
};

struct svm_vcpu {
	struct vmcb *vmcb;
	hpa_t vmcb_pa, host_pa; /* host: what VMLOAD brings back after an exit */
	struct virt_vcpu *virt;
	struct npt *npt;
	uint64_t event; /* for the next entry, as EVENTINJ */
	bool again;     /* `event` is one whose delivery the last exit interrupted */
	uint8_t todo;   /* TODO_*: before the next entry */
	bool flush;     /* drop the guest's translations at the next entry */
	/* CR0.CD and NW as the guest set them; the CPU runs with the cache on */
	uint64_t cr0_cache;
	gpa_t walk_root; /* the table that the CPU walks from, 0: that of the guest's CR3 */
	uint64_t cr3;    /* the guest's while walk_root is not 0 */
	bool irq_window, nmi_window;
	bool come_back; /* the coming stay is to end as soon as the event is delivered */
	enum svm_nmi_state nmi;
	struct svm_step step;
	uint64_t shadowed_rip;   /* where the last stay began, if in an interrupt shadow */
	uint64_t entered_rflags; /* with which it began */
	struct asid_use asid;
	/* Of the CPU itself, while the vCPU is not loaded. */
	struct resident resident;
	uint64_t tsc_aux;
};

/* svm_cpu.c: valid once preflight has found everything. */
extern struct svm_caps svm_caps;
bool svm_present(void);
void svm_preflight(struct preflight *report);
void svm_features(struct virt_features *out);
int svm_cpu_on(struct why *why);
void svm_cpu_off(void);

/* svm_maps.c: permission maps that all vCPUs share. APM vol. 2, 15.10.1 and 15.11 */
void svm_maps_init(void);
hpa_t svm_iopm(void);
hpa_t svm_msrpm(void);

/* svm_state.c */
int svm_vcpu_create(struct virt_vcpu *v, const struct virt_config *config, struct why *why);
void svm_vcpu_reset(struct virt_vcpu *v);
void svm_vcpu_startup(struct virt_vcpu *v, uint8_t sipi_vector);
void svm_vcpu_save(struct virt_vcpu *v);
void svm_vcpu_load(struct virt_vcpu *v);
void svm_flush_nested(struct npt *npt);

/* svm_entry.S: one stay in the guest; host interrupts and NMIs that come meanwhile wait after it. */
void svm_enter(struct virt_vcpu *v, hpa_t guest, hpa_t host);

/* svm_run.c */
void svm_run(struct virt_vcpu *v, uint64_t slice_tsc, struct vm_exit *out);

/* svm_exit.c */
/* Sets what exits: the table's choice, and nothing that comes and goes. */
void svm_intercepts_init(struct svm_vcpu *x);
void svm_intercept(struct svm_vcpu *x, unsigned exit_code, bool on);
/* Fills `out` from the VMCB after an exit that is no failed entry. */
void svm_exit_decode(struct svm_vcpu *x, struct vm_exit *out);

/* svm_regs.c */
uint64_t svm_reg_get(struct virt_vcpu *v, enum virt_reg reg);
void svm_reg_set(struct virt_vcpu *v, enum virt_reg reg, uint64_t value);
void svm_seg_get(struct virt_vcpu *v, enum virt_seg_id id, struct virt_seg *out);
void svm_seg_set(struct virt_vcpu *v, enum virt_seg_id id, const struct virt_seg *seg);
void svm_skip(struct virt_vcpu *v, unsigned insn_len);
void svm_tlb_flush(struct virt_vcpu *v);
void svm_walk_root(struct virt_vcpu *v, gpa_t root);
/* Is the guest in a 64-bit code segment? */
bool svm_in_64bit_code(const struct svm_vcpu *x);

/* svm_msrs.c */
int svm_msr_get(struct virt_vcpu *v, uint32_t msr, uint64_t *value);
int svm_msr_set(struct virt_vcpu *v, uint32_t msr, uint64_t value);
void svm_msrs_reset(struct svm_vcpu *x);
void svm_tsc_offset_set(struct virt_vcpu *v, uint64_t offset);

/* svm_event.c */
void svm_inject(struct virt_vcpu *v, const struct virt_event *event);
bool svm_event_pending(struct virt_vcpu *v);
bool svm_irq_ready(struct virt_vcpu *v);
bool svm_nmi_ready(struct virt_vcpu *v);
void svm_irq_window(struct virt_vcpu *v, bool on);
void svm_nmi_window(struct virt_vcpu *v, bool on);
void svm_events_reset(struct svm_vcpu *x);
/* Which exceptions exit has changed. */
void svm_event_intercepts(struct svm_vcpu *x);
/* Keeps an event whose delivery an exit interrupted, for the next entry. APM vol. 2, 15.7.2 */
void svm_event_keep(struct svm_vcpu *x, uint64_t info);
/* Hands events and windows to the next entry. */
void svm_event_load(struct svm_vcpu *x);
/* The guest is about to return from an NMI. */
void svm_event_iret(struct svm_vcpu *x);
/* An exception exited; true when that ends a step. */
bool svm_event_exception(struct svm_vcpu *x, uint8_t vector);
/* Gives a #DB or #AC that exited, and ended no step, back to the guest. */
void svm_event_reflect(struct svm_vcpu *x, uint8_t vector);
/* First after each stay: puts right what emulated CPUs leave wrong in the VMCB, the shadow and the flags. */
void svm_event_left(struct svm_vcpu *x);
/* The window for interrupts exited; false when it did so too early and the guest has to go on. */
bool svm_event_irq_window(struct svm_vcpu *x);
/* With RFLAGS.TF set, the hypervisor has carried out an instruction: its single step is due. */
void svm_event_skipped(struct svm_vcpu *x);

/* svm_image.c */
void svm_state_get(struct virt_vcpu *v, struct virt_state *out);
void svm_state_set(struct virt_vcpu *v, const struct virt_state *st);

/* npt.c */
struct npt *npt_create(struct why *why);
int npt_map(struct npt *npt, gpa_t gpa, hpa_t hpa, unsigned order, enum npt_perm perm);
int npt_map_apic(struct npt *npt, gpa_t gpa);

/* svm_dump.c */
void svm_dump(struct virt_vcpu *v);

#endif
