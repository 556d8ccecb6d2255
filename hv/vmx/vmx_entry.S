/*
 * Into the guest and back. int vmx_enter(struct virt_vcpu *v, struct vmx_vcpu *x)
 *
 * RSP, RIP, RFLAGS, segments and control registers travel in the VMCS, the other general registers and
 * CR2 here. The FPU is the guest's all the time: the hypervisor uses none.
 */

#include "hv/virt/gpr_asm.inc"

#define CR2 0x80 /* of struct virt_vcpu, checked in vmx_run.c */

/* struct vmx_vcpu */
#define X_HOST_RSP 0
#define X_LAUNCHED 8

#define VMCS_HOST_RSP 0x6c14

	.section .text.vmx_enter, "ax"
	.globl vmx_enter
	.type vmx_enter, @function
vmx_enter:
	callee_saved_push
	push	%rsi
	push	%rdi

	/* The run loop's stack depth hardly ever changes. */
	cmp	%rsp, X_HOST_RSP(%rsi)
	je	1f
	mov	$VMCS_HOST_RSP, %eax
	vmwrite	%rsp, %rax
	jbe	.Lfailed
	mov	%rsp, X_HOST_RSP(%rsi)
1:
	/* Writing CR2 is slow, reading is not, and it has mostly kept its value. */
	mov	CR2(%rdi), %rax
	mov	%cr2, %rcx
	cmp	%rax, %rcx
	je	2f
	mov	%rax, %cr2
2:
	/* The flags hold until the jump: MOV changes none. */
	cmpb	$0, X_LAUNCHED(%rsi)
	mov	AT_RAX(%rdi), %rax
	gprs_load
	mov	AT_RDI(%rdi), %rdi
	je	3f
	vmresume
	jmp	.Lfailed
3:
	vmlaunch

	/* No entry: CF is 1 for VMfailInvalid, ZF for VMfailValid. SDM vol. 3, 31.2 */
.Lfailed:
	setc	%al
	setz	%cl
	movzbl	%al, %eax
	movzbl	%cl, %ecx
	lea	(%rax, %rcx, 2), %eax
	add	$16, %rsp
	jmp	.Lreturn

	/* The exit: HOST_RIP. HOST_RSP is where vmx_enter's last push went. */
	.globl vmx_exit_entry
vmx_exit_entry:
	xchg	%rdi, (%rsp)
	mov	%rax, AT_RAX(%rdi)
	gprs_store
	pop	AT_RDI(%rdi)
	pop	%rsi
	mov	%cr2, %rax
	mov	%rax, CR2(%rdi)
	movb	$1, X_LAUNCHED(%rsi)
	xor	%eax, %eax

.Lreturn:
	callee_saved_pop
	ret
	.size vmx_enter, . - vmx_enter

	.section .note.GNU-stack, "", @progbits
