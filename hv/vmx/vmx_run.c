/* One stay in the guest: what to bring along, the entry, and what came of it. */
#include "hv/base/assert.h"
#include "hv/base/bits.h"
#include "hv/base/string.h"
#include "hv/vmx/vmx_insn.h"
#include "hv/vmx/vmx_vcpu.h"
#include "hv/x86/cpu.h"
#include "hv/x86/tsc.h"

/* vmx_entry.S */
ASSERT_OFFSET(struct virt_vcpu, gpr, 0);
ASSERT_OFFSET(struct virt_vcpu, cr2, 0x80);
STATIC_ASSERT(GPR_RDI == 7 && GPR_R15 == 15, "vmx_entry.S has the registers in encoding order");
STATIC_ASSERT(VMCS_HOST_RSP == 0x6c14, "vmx_entry.S has the encoding too");

/* Longest stay with the guest's interrupts off: at first, and when it keeps them off. */
#define CLOSED_STAY_FIRST_NS (50 * NS_PER_US)
#define CLOSED_STAY_LAST_NS  NS_PER_MS

/* At least one: a timer of 0 expires before the first instruction. */
static uint32_t timer_ticks(uint64_t tsc)
{
	uint64_t ticks = tsc >> vmx_caps.timer_shift;

	return (uint32_t)(ticks ? MIN(ticks, UINT32_MAX) : 1);
}

void vmx_slice_set(struct vmx_vcpu *x, uint64_t slice_tsc)
{
	x->slice = slice_tsc;
	x->slice_timer = timer_ticks(slice_tsc ? slice_tsc : UINT64_MAX);
	x->closed_first = ns_to_tsc(CLOSED_STAY_FIRST_NS);
	x->closed_last = ns_to_tsc(CLOSED_STAY_LAST_NS);
}

/*
 * For a CPU whose host interrupts may not end a stay with the guest's interrupts off: is it time to look
 * for them instead of entering? The guest may be spinning for just that interrupt. One that lives with
 * interrupts off is called back ever more seldom.
 */
static bool call_back(struct vmx_vcpu *x)
{
	uint64_t now;

	if (vmreadn(VMCS_GUEST_RFLAGS) & RFLAGS_IF) {
		x->closed_since = 0;
		return false;
	}
	now = rdtsc();
	if (!x->closed_since) {
		x->closed_since = now;
		x->closed_stay = x->closed_first;
	}
	if (now - x->closed_since < x->closed_stay)
		return false;
	x->closed_since = now;
	x->closed_stay = MIN(2 * x->closed_stay, x->closed_last);
	return true;
}

/* The field keeps its value over exits, so it is written only when it changes. SDM vol. 3, 26.5.1 */
static void set_timer(struct vmx_vcpu *x, uint64_t slice_tsc)
{
	uint32_t value;

	if (UNLIKELY(slice_tsc != x->slice))
		vmx_slice_set(x, slice_tsc);
	value = x->slice_timer;
	if (UNLIKELY(x->closed_since))
		value = MIN(value, timer_ticks(x->closed_stay));
	if (value == x->timer)
		return;
	vmwrite32(VMCS_TIMER_VALUE, value);
	x->timer = value;
}

/* VMLAUNCH or VMRESUME itself refused: a control or host-state field is wrong. SDM vol. 3, 27.2 */
COLD static void refused(int status, struct vm_exit *out)
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
COLD static void failed(uint32_t reason, struct vm_exit *out)
{
	struct vmx_guest_state state;
	struct why why;

	out->kind = VM_EXIT_ENTRY_FAILED;
	out->reason = EXIT_REASON_BASIC(reason);
	out->insn_len = 0;
	switch (EXIT_REASON_BASIC(reason)) {
	case REASON_BAD_GUEST_STATE:
		vmx_snapshot(&state);
		if (!vmx_check_guest(&state, &why))
			why_set(&why, ERR_INVALID,
				"VM entry failed on the guest's state (qualification %#llx), "
				"though every rule that is checked in software holds",
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

static bool prepare(struct vmx_vcpu *x, struct vm_exit *out)
{
	if (x->todo & TODO_SHUTDOWN) {
		*out = (struct vm_exit){.kind = VM_EXIT_TRIPLE_FAULT,
					.reason = REASON_TRIPLE_FAULT};
		return false;
	}
	if (x->todo & TODO_PDPTES)
		vmx_pdptes_load(x);
	if (x->todo & TODO_EVENT)
		vmx_event_load(x);
	x->todo = 0;
	return true;
}

void vmx_run(struct virt_vcpu *v, uint64_t slice_tsc, struct vm_exit *out)
{
	struct vmx_vcpu *x = v->vendor;
	uint32_t reason;
	int status;

	/* An event that waits for its entry must not wait behind a call back. */
	if (UNLIKELY(vmx_caps.closed_guest_deaf) && !(x->todo & TODO_EVENT) && call_back(x)) {
		*out = (struct vm_exit){.kind = VM_EXIT_INTERRUPT, .reason = REASON_TIMER};
		return;
	}
	if (x->todo && !prepare(x, out))
		return;
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
	/* Not the end of a slice: the longest the timer runs, or a call back that is now due. */
	if (out->kind == VM_EXIT_TIMER && (!slice_tsc || x->timer != x->slice_timer))
		out->kind = VM_EXIT_NONE;
}
