/*
 * Into the guest and back. void svm_enter(struct virt_vcpu *v, hpa_t guest, hpa_t host)
 *
 * RAX, RSP, RIP, RFLAGS, CR2 and most else travel in the VMCB at `guest`, the other general registers
 * here. VMRUN leaves FS, GS, TR, LDTR and a few MSRs to VMLOAD and VMSAVE (APM vol. 2, 15.5.2). The FPU is
 * the guest's all the time: the hypervisor uses none.
 *
 * From CLGI to STGI nothing can interrupt, not even an NMI, which could not find its CPU without GS. IF is
 * set in between because VMRUN takes it as the host's: with V_INTR_MASKING it is what lets a host interrupt
 * end the guest's stay (15.21.1). An exit clears GIF again, so what came waits for STGI, and with IF clear
 * by then an interrupt waits on for the run loop's window.
 */

#include "hv/virt/gpr_asm.inc"

	.section .text.svm_enter, "ax"
	.globl svm_enter
	.type svm_enter, @function
svm_enter:
	callee_saved_push
	push	%rdx
	push	%rdi

	mov	%rsi, %rax
	gprs_load
	mov	AT_RDI(%rdi), %rdi

	clgi
	sti
	vmload	%rax
	vmrun	%rax
	vmsave	%rax
	cli

	xchg	%rdi, (%rsp)
	gprs_store
	pop	AT_RDI(%rdi)

	pop	%rax
	vmload	%rax
	stgi

	callee_saved_pop
	ret
	.size svm_enter, . - svm_enter

	.section .note.GNU-stack, "", @progbits
