/*
 * The seam between the vCPU run loop and the CPU vendor's virtualization: VT-x is in hv/vmx, AMD-V in
 * hv/svm, each a `struct virt_ops`.
 */
#ifndef HV_VIRT_VIRT_H
#define HV_VIRT_VIRT_H

#include "hv/base/err.h"
#include "hv/virt/vm_exit.h"

/* General registers in the order of instruction encodings; RSP lives in the vendor's control structure. */
enum virt_gpr {
	GPR_RAX,
	GPR_RCX,
	GPR_RDX,
	GPR_RBX,
	GPR_RSP,
	GPR_RBP,
	GPR_RSI,
	GPR_RDI,
	GPR_R8,
	GPR_R9,
	GPR_R10,
	GPR_R11,
	GPR_R12,
	GPR_R13,
	GPR_R14,
	GPR_R15,
	GPR_COUNT
};

/* Registers kept in the control structure, reached one at a time because most exits need few. */
enum virt_reg {
	REG_RIP,
	REG_RSP,
	REG_RFLAGS,
	REG_CR0,
	REG_CR2,
	REG_CR3,
	REG_CR4,
	REG_DR7,
	REG_EFER,
	REG_COUNT
};

enum virt_seg_id {
	SEG_ES,
	SEG_CS,
	SEG_SS,
	SEG_DS,
	SEG_FS,
	SEG_GS,
	SEG_LDTR,
	SEG_TR,
	SEG_GDTR,
	SEG_IDTR,
	SEG_COUNT
};

/* SDM vol. 3, 3.4.5: a segment with its hidden part. */
struct virt_seg {
	uint16_t selector;
	uint32_t limit; /* in bytes, granularity applied */
	uint64_t base;
	uint8_t type; /* 4 bits */
	bool s, present, avl, l, db, g, unusable;
	uint8_t dpl;
};

/* What is injected at the next entry. SDM vol. 3, 6.2 and 26.8.3 */
enum virt_event_kind { EVENT_INTERRUPT, EVENT_NMI, EVENT_EXCEPTION };

struct virt_event {
	enum virt_event_kind kind;
	uint8_t vector;
	bool has_code;
	uint32_t code;
};

#define VECTOR_DE  0
#define VECTOR_DB  1
#define VECTOR_NMI 2
#define VECTOR_UD  6
#define VECTOR_NM  7
#define VECTOR_DF  8
#define VECTOR_TS  10
#define VECTOR_NP  11
#define VECTOR_SS  12
#define VECTOR_GP  13
#define VECTOR_PF  14
#define VECTOR_AC  17
#define VECTOR_MC  18

/* Access rights in a nested page table. */
enum npt_perm { NPT_NONE = 0, NPT_READ = 1, NPT_WRITE = 2, NPT_EXEC = 4, NPT_RX = 5, NPT_RWX = 7 };

struct npt; /* nested page table of one VM on one node: EPT or NPT */

/* What the hardware can do for the virtual LAPIC; each is used only when this says so. */
struct virt_features {
	bool tpr_shadow;         /* CR8 and TPR reads/writes with a threshold */
	bool apic_access_page;   /* APIC_ACCESS exits instead of NPF for the xAPIC page */
	bool apic_registers;     /* reads served, writes exit after the fact (APIC_WRITE) */
	bool interrupt_delivery; /* RVI/SVI: pending interrupts are delivered without an exit */
	bool x2apic;             /* x2APIC MSRs through the register page */
	bool large_pages;        /* 2 MiB nested mappings */
	bool preemption_timer;
	bool walk_writes; /* guest page tables are walked as if written: see hv/core/vtlb.h */
};

/*
 * One vCPU as the vendor room sees it. hv/core embeds it in struct vcpu; gpr is loaded and saved by
 * run(); everything else belongs to the vendor.
 */
struct virt_vcpu {
	uint64_t gpr[GPR_COUNT]; /* gpr[GPR_RSP] is unused: see REG_RSP */
	uint64_t cr2;            /* kept here: neither vendor needs it elsewhere; loaded by run() */
	bool tlb_dropped; /* set with walk_writes whenever the guest drops its translations */
	void *vendor;     /* control structure and bookkeeping, allocated by vcpu_create */
};

struct virt_state; /* hv/virt/state.h */
struct preflight;  /* hv/virt/preflight.h: the report a node prints before it takes its hardware */

struct virt_config {
	struct npt *npt;
	uint16_t asid;       /* VPID or ASID, unique per vCPU on this node, not 0 */
	void *apic_page;     /* the vCPU's 4 KiB LAPIC register page (host virtual) */
	bool use_apic_hw;    /* false: software LAPIC even where hardware could help */
	uint64_t tsc_offset; /* guest TSC = host TSC + offset */
	/* CR4 bits the guest may set; one that sets another exits as CR_WRITE. */
	uint64_t cr4_guest;
	/* AMD-V without PAUSE filter: each PAUSE exits, as if it were a loop of them. VT-x knows loops. */
	bool pause_exits;
};

struct virt_ops {
	const char *name; /* "VT-x" */

	/* True when the CPU has this vendor's virtualization. Touches nothing but CPUID. */
	bool (*present)(void);
	/* Adds one line per requirement to the report; on any missing one the node stops. */
	void (*preflight)(struct preflight *report);
	/* Fills what this CPU offers; valid after preflight. */
	void (*features)(struct virt_features *out);

	/* Turns virtualization on or off on the calling CPU; `why` names what refused. */
	int (*cpu_on)(struct why *why);
	void (*cpu_off)(void);

	/* Creates the vCPU on the calling CPU, where it stays, and which has its state: that after RESET. */
	int (*vcpu_create)(struct virt_vcpu *v, const struct virt_config *config, struct why *why);
	/* The state after RESET again, for a guest that reboots; the configuration stays. */
	void (*vcpu_reset)(struct virt_vcpu *v);
	/* State after INIT (SDM vol. 3, table 10-1); the vCPU then starts at vector << 12 in real mode. */
	void (*vcpu_startup)(struct virt_vcpu *v, uint8_t sipi_vector);

	/*
	 * Several vCPUs on one CPU take turns: what the CPU itself has of this one goes to memory, before
	 * another is created or loaded there; and the CPU has this one's state again. All other entries but
	 * these need a vCPU that is loaded. Neither is called where a CPU has one vCPU.
	 */
	void (*vcpu_save)(struct virt_vcpu *v);
	void (*vcpu_load)(struct virt_vcpu *v);

	/*
	 * Enters the guest and fills `out` with why it came back. Interrupts are off on both sides.
	 * `slice_tsc` bounds the stay in host TSC ticks where the preemption timer exists; 0 is no bound.
	 */
	void (*run)(struct virt_vcpu *v, uint64_t slice_tsc, struct vm_exit *out);

	uint64_t (*reg_get)(struct virt_vcpu *v, enum virt_reg reg);
	void (*reg_set)(struct virt_vcpu *v, enum virt_reg reg, uint64_t value);
	void (*seg_get)(struct virt_vcpu *v, enum virt_seg_id id, struct virt_seg *out);
	void (*seg_set)(struct virt_vcpu *v, enum virt_seg_id id, const struct virt_seg *seg);
	/* Guest MSRs that live in the control structure or in the CPU; ERR_NOTFOUND when not one of them. */
	int (*msr_get)(struct virt_vcpu *v, uint32_t msr, uint64_t *value);
	int (*msr_set)(struct virt_vcpu *v, uint32_t msr, uint64_t value);
	/*
	 * The part of a vCPU's state that is in no entry above, for virt_state_get() and virt_state_set():
	 * the former calls behind all others and may put RFLAGS right, the latter on a vCPU that has been
	 * reset and has got all the rest.
	 */
	void (*state_get)(struct virt_vcpu *v, struct virt_state *out);
	void (*state_set)(struct virt_vcpu *v, const struct virt_state *st);
	void (*tsc_offset_set)(struct virt_vcpu *v, uint64_t offset);

	/* Moves RIP past the instruction and ends an STI/MOV SS shadow. */
	void (*skip)(struct virt_vcpu *v, unsigned insn_len);
	/*
	 * Queues the event for the next entry; at most one between two entries. An exception met while an
	 * event's delivery is pending takes its place, becomes #DF or a triple fault (SDM vol. 3, 6.15).
	 */
	void (*inject)(struct virt_vcpu *v, const struct virt_event *event);
	/* True when the last exit interrupted the delivery of an event, which run() will deliver again. */
	bool (*event_pending)(struct virt_vcpu *v);
	/* Could an external interrupt / an NMI be injected right now? */
	bool (*irq_ready)(struct virt_vcpu *v);
	bool (*nmi_ready)(struct virt_vcpu *v);
	/* Ask for (or stop asking for) an exit as soon as one could. */
	void (*irq_window)(struct virt_vcpu *v, bool on);
	void (*nmi_window)(struct virt_vcpu *v, bool on);

	/* With interrupt_delivery: highest pending vector (0 none), and per vector whether its EOI exits. */
	void (*apic_pending)(struct virt_vcpu *v, uint8_t rvi, uint8_t svi);
	void (*apic_eoi_exits)(struct virt_vcpu *v, const uint64_t bitmap[4]);
	/* Follows IA32_APIC_BASE: off, xAPIC at the page of npt_map_apic, or x2APIC. */
	void (*apic_mode)(struct virt_vcpu *v, bool enabled, bool x2apic);
	/* With tpr_shadow: exit when the guest lowers its TPR class below this (0 to 15; 0 = never). */
	void (*apic_tpr_threshold)(struct virt_vcpu *v, uint8_t threshold);

	/*
	 * Nested page tables. `order` is 0 for 4 KiB or 9 for 2 MiB; a 2 MiB mapping is split on demand.
	 * npt_map returns ERR_NOMEM when a table page is missing. Neither call flushes.
	 */
	struct npt *(*npt_create)(struct why *why);
	int (*npt_map)(struct npt *npt, gpa_t gpa, hpa_t hpa, unsigned order, enum npt_perm perm);
	enum npt_perm (*npt_query)(struct npt *npt, gpa_t gpa, hpa_t *hpa);
	/* The APIC page, where apic_access_page is used; npt_map takes it away again. */
	int (*npt_map_apic)(struct npt *npt, gpa_t gpa);
	/* Forgets every cached translation of the table on the calling CPU. */
	void (*npt_flush)(struct npt *npt);
	/* Forgets the calling CPU's linear translations of this vCPU. */
	void (*tlb_flush)(struct virt_vcpu *v);

	/*
	 * With walk_writes: the CPU walks from this table in place of CR3's, which stays what the guest sees,
	 * and CR3, INVLPG and #PF exit. 0: from CR3's own again.
	 */
	void (*walk_root)(struct virt_vcpu *v, gpa_t root);

	/* Writes the whole guest state to the log, for a vCPU that can't go on. */
	void (*dump)(struct virt_vcpu *v);
};

#endif
