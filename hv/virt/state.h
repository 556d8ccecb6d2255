/*
 * What the CPU has of a vCPU, in the manuals' words and no vendor's: registers, and all that lies between two
 * instructions. FPU and vector state and DR0 to DR3 are in the CPU itself, the LAPIC is in apic/.
 */
#ifndef HV_VIRT_STATE_H
#define HV_VIRT_STATE_H

#include "hv/virt/virt.h"

/* Guest MSRs that are no register's or segment's part; state.c has their numbers in this order. */
enum virt_msr {
	VIRT_MSR_PAT,
	VIRT_MSR_SYSENTER_CS,
	VIRT_MSR_SYSENTER_ESP,
	VIRT_MSR_SYSENTER_EIP,
	VIRT_MSR_STAR,
	VIRT_MSR_LSTAR,
	VIRT_MSR_CSTAR,
	VIRT_MSR_SFMASK,
	VIRT_MSR_KERNEL_GS_BASE,
	VIRT_MSR_TSC_AUX, /* 0 where the CPU has none */
	VIRT_MSRS
};

extern const uint32_t virt_msr_numbers[VIRT_MSRS];

/* The instruction before holds interrupts back. AMD-V does not tell which it was: STI. */
enum virt_shadow { VIRT_NO_SHADOW, VIRT_STI_SHADOW, VIRT_MOV_SS_SHADOW, VIRT_SHADOWS };

/*
 * What the next entry delivers. The last three are instructions, which AMD-V executes again instead of
 * delivering their event; RIP is on them. SDM vol. 3, 25.8.3
 */
enum virt_queued {
	VIRT_QUEUED_NOTHING,
	VIRT_QUEUED_INTERRUPT,
	VIRT_QUEUED_NMI,
	VIRT_QUEUED_EXCEPTION,
	VIRT_QUEUED_INT_N,
	VIRT_QUEUED_INT1,
	VIRT_QUEUED_INT3, /* or INTO */
	VIRT_QUEUED_KINDS
};

/* Pending debug exceptions. SDM vol. 3, table 25-4: breakpoints met, one was enabled, BS */
#define VIRT_PENDING_DEBUG (BITS(3, 0) | BIT(12) | BIT(14))

struct virt_state {
	uint64_t gpr[GPR_COUNT]; /* RSP among `reg`; 0 here */
	uint64_t reg[REG_COUNT];
	struct virt_seg seg[SEG_COUNT];
	uint64_t msr[VIRT_MSRS];
	/* From here on for virt_ops' state_get and state_set. */
	uint64_t dr6;
	uint64_t pending_debug;
	enum virt_shadow shadow;
	bool nmi_blocked; /* until IRET; not yet by an NMI that is queued */
	bool shutdown;    /* a triple fault is next */
	enum virt_queued queued;
	bool half_delivered; /* an exit interrupted the delivery, which begins anew */
	bool has_code;
	uint8_t vector;
	uint8_t insn_len; /* of the three kinds that are instructions */
	uint32_t code;
	/* PAE's page-directory pointers, where the CPU keeps them; else they are read from memory. */
	bool pdptes_loaded;
	uint64_t pdpte[4];
};

/* 0, or ERR_INVALID with a sentence: no CPU is ever in such a state. For states from elsewhere. */
int virt_state_check(const struct virt_state *st, struct why *why) MUST_CHECK;

/* The calling CPU's vCPU, between two stays in the guest. */
void virt_state_get(const struct virt_ops *ops, struct virt_vcpu *v, struct virt_state *out);

/*
 * The same state again, on a vCPU that is as after RESET: the guest goes on as if nothing had been. `st` has
 * been checked, and what is the guest's choice among the features of its CPU too. ERR_INVALID with a sentence
 * when the CPU would not let the guest have the value of an MSR; the vCPU has to be reset then.
 */
int virt_state_set(const struct virt_ops *ops, struct virt_vcpu *v, const struct virt_state *st,
		   struct why *why) MUST_CHECK;

#endif
