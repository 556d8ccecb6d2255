/* One stay in the guest: what to bring along, the entry, and what came of it. */
#include "hv/base/fmt.h"
#include "hv/base/string.h"
#include "hv/svm/svm_check.h"
#include "hv/svm/svm_vcpu.h"
#include "hv/x86/irq.h"
#include "hv/x86/hostapic.h"

/* svm_entry.S */
ASSERT_OFFSET(struct virt_vcpu, gpr, 0);
STATIC_ASSERT(GPR_RDI == 7 && GPR_R15 == 15, "svm_entry.S has the registers in encoding order");

/* VMRUN did not like the guest's state, and says no more than that. */
COLD static void failed(struct svm_vcpu *x, struct vm_exit *out)
{
	struct why why;

	out->kind = VM_EXIT_ENTRY_FAILED;
	out->reason = (uint32_t)x->vmcb->control.exit_code;
	out->insn_len = 0;
	if (!svm_check_guest(x->vmcb, &svm_caps, &why))
		why_set(&why, ERR_INVALID,
			"VMRUN refused the guest's state, though every rule "
			"that is checked in software holds");
	str_copy(out->detail, why.text, sizeof(out->detail));
}

/* An interrupt to ourselves waits until the guest is in, and ends its stay after the event. */
COLD static void come_back(void)
{
	hostapic_ipi(hostapic_id(), IRQ_KICK);
}

void svm_run(struct virt_vcpu *v, uint64_t slice_tsc, struct vm_exit *out)
{
	struct svm_vcpu *x = v->vendor;
	struct vmcb_control *c = &x->vmcb->control;
	struct vmcb_save *s = &x->vmcb->save;

	if (UNLIKELY(x->todo & TODO_SHUTDOWN)) {
		*out = (struct vm_exit){.kind = VM_EXIT_TRIPLE_FAULT, .reason = SVM_EXIT_SHUTDOWN};
		return;
	}
	svm_event_load(x);
	if (UNLIKELY(x->come_back))
		come_back();
	c->tlb_control = !x->flush             ? TLB_KEEP
			 : svm_caps.flush_asid ? TLB_FLUSH_ASID
					       : TLB_FLUSH_ALL;
	x->flush = false;
	s->rax = v->gpr[GPR_RAX];
	s->cr2 = v->cr2;

	svm_enter(v, x->vmcb_pa, x->host_pa);

	v->gpr[GPR_RAX] = s->rax;
	v->cr2 = s->cr2;
	if (UNLIKELY((uint32_t)c->exit_code == SVM_EXIT_INVALID))
		failed(x, out);
	else
		svm_exit_decode(x, out);
}
