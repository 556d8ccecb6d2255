/* One stay in the guest: what to bring along, the entry, and what came of it. */
#include "hv/base/assert.h"
#include "hv/base/bits.h"
#include "hv/base/string.h"
#include "hv/vmx/vmx_insn.h"
#include "hv/vmx/vmx_vcpu.h"
#include "hv/x86/msr.h"

/* vmx_entry.S */
ASSERT_OFFSET(struct virt_vcpu, gpr, 0);
ASSERT_OFFSET(struct virt_vcpu, cr2, 0x80);
STATIC_ASSERT(GPR_RDI == 7 && GPR_R15 == 15, "vmx_entry.S has the registers in encoding order");
STATIC_ASSERT(VMCS_HOST_RSP == 0x6c14, "vmx_entry.S has the encoding too");

/*
 * The timer field keeps its value over exits, so it is written only when the slice changes. The timer
 * is always on: without a slice it runs its longest, some seconds at least. SDM vol. 3, 26.5.1
 */
static void set_timer(struct vmx_vcpu *x, uint64_t slice_tsc)
{
	uint64_t ticks = slice_tsc ? slice_tsc >> vmx_caps.timer_shift : UINT32_MAX;
	uint32_t value = (uint32_t)MIN(ticks, UINT32_MAX);

	if (value == x->timer)
		return;
	vmwrite32(VMCS_TIMER_VALUE, value);
	x->timer = value;
}

/* VMLAUNCH or VMRESUME itself refused: a control or host-state field is wrong. SDM vol. 3, 27.2 */
static void refused(int status, struct vm_exit *out)
{
	uint32_t number = status == VMX_FAIL_VALID ? vmread32(VMCS_INSN_ERROR) : 0;
	struct why why;

	out->kind = VM_EXIT_ENTRY_FAILED;
	out->reason = number;
	out->insn_len = 0;
	why_set(&why, ERR_INVALID, "VM entry was refused: %s (VM-instruction error %u)",
		number ? vmx_insn_error_text(number) : "no VMCS is current", number);
	str_copy(out->detail, why.text, sizeof(out->detail));
}

/* The CPU loaded the guest's state and did not like it. SDM vol. 3, 27.8 */
static void failed(uint32_t reason, struct vm_exit *out)
{
	struct vmx_guest_state state;
	struct why why;

	out->kind = VM_EXIT_ENTRY_FAILED;
	out->reason = reason;
	out->insn_len = 0;
	switch (EXIT_REASON_BASIC(reason)) {
	case REASON_BAD_GUEST_STATE:
		vmx_snapshot(&state);
		if (!vmx_check_guest(&state, &why))
			why_set(&why, ERR_INVALID,
				"VM entry failed on the guest's state (qualification %#llx), "
				"though "
				"every rule that is checked in software holds",
				(unsigned long long)vmreadn(VMCS_EXIT_QUALIFICATION));
		break;
	case REASON_MACHINE_CHECK:
		why_set(&why, ERR_INVALID, "VM entry failed with a machine check of the CPU");
		break;
	default:
		why_set(&why, ERR_INVALID, "VM entry failed with reason %u (qualification %#llx)",
			EXIT_REASON_BASIC(reason),
			(unsigned long long)vmreadn(VMCS_EXIT_QUALIFICATION));
	}
	str_copy(out->detail, why.text, sizeof(out->detail));
}

void vmx_run(struct virt_vcpu *v, uint64_t slice_tsc, struct vm_exit *out)
{
	struct vmx_vcpu *x = v->vendor;
	uint32_t reason;
	int status;

	if (UNLIKELY(x->pdptes_stale))
		vmx_pdptes_load(x);
	if (x->event.info) {
		if (UNLIKELY(x->triple_fault)) {
			*out = (struct vm_exit){.kind = VM_EXIT_TRIPLE_FAULT,
						.reason = REASON_TRIPLE_FAULT};
			return;
		}
		vmx_event_load(x);
	}
	if (vmx_caps.word[WORD_PIN] & PIN_TIMER)
		set_timer(x, slice_tsc);

	status = vmx_enter(v, x);
	if (UNLIKELY(status)) {
		refused(status, out);
		return;
	}
	reason = vmread32(VMCS_EXIT_REASON);
	if (UNLIKELY(reason & EXIT_REASON_ENTRY_FAILED)) {
		failed(reason, out);
		return;
	}
	vmx_exit_decode(x, reason, out);
	if (out->kind == VM_EXIT_TIMER && slice_tsc == 0)
		out->kind = VM_EXIT_NONE;
}
