/*
 * The rules a guest's state must keep for a VM entry to succeed (SDM vol. 3, 27.3.1), checked in
 * software. The CPU only says that some rule is broken; this names it. Pure functions over a snapshot.
 */
#ifndef HV_VMX_VMX_CHECK_H
#define HV_VMX_VMX_CHECK_H

#include "hv/base/err.h"
#include "hv/virt/virt.h"

/* A segment as the VMCS has it; the order of the first eight is enum virt_seg_id's. */
struct vmx_seg_state {
	uint16_t selector;
	uint32_t limit, access;
	uint64_t base;
};

struct vmx_guest_state {
	uint64_t cr0, cr3, cr4, dr7, rsp, rip, rflags, pending_debug;
	uint64_t debugctl, pat, efer, sysenter_esp, sysenter_eip, link_pointer;
	uint64_t pdpte[4];
	struct vmx_seg_state seg[SEG_TR + 1];
	uint64_t gdtr_base, idtr_base;
	uint32_t gdtr_limit, idtr_limit;
	uint32_t sysenter_cs, interruptibility, activity;
	/* The controls that the rules look at. */
	uint32_t pin, proc, proc2, entry, entry_info;
	/* What this CPU can do. */
	uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
	uint32_t activity_states; /* bit n: state n is supported */
	uint8_t phys_bits, linear_bits;
};

/* 0, or ERR_INVALID with a sentence that names the first broken rule and the offending value. */
int vmx_check_guest(const struct vmx_guest_state *g, struct why *why) MUST_CHECK;

/* Are these the eight memory types of a valid IA32_PAT? SDM vol. 3, 12.12.2 */
bool vmx_pat_valid(uint64_t pat);

#endif
