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

/* struct virt_vcpu, checked in svm_run.c */
#define RCX 0x08
#define RDX 0x10
#define RBX 0x18
#define RBP 0x28
#define RSI 0x30
#define RDI 0x38
#define R8  0x40
#define R9  0x48
#define R10 0x50
#define R11 0x58
#define R12 0x60
#define R13 0x68
#define R14 0x70
#define R15 0x78

	.section .text.svm_enter, "ax"
	.globl svm_enter
	.type svm_enter, @function
svm_enter:
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rdx
	push	%rdi

	mov	%rsi, %rax
	mov	RCX(%rdi), %rcx
	mov	RDX(%rdi), %rdx
	mov	RBX(%rdi), %rbx
	mov	RBP(%rdi), %rbp
	mov	RSI(%rdi), %rsi
	mov	R8(%rdi), %r8
	mov	R9(%rdi), %r9
	mov	R10(%rdi), %r10
	mov	R11(%rdi), %r11
	mov	R12(%rdi), %r12
	mov	R13(%rdi), %r13
	mov	R14(%rdi), %r14
	mov	R15(%rdi), %r15
	mov	RDI(%rdi), %rdi

	clgi
	sti
	vmload	%rax
	vmrun	%rax
	vmsave	%rax
	cli

	xchg	%rdi, (%rsp)
	mov	%rcx, RCX(%rdi)
	mov	%rdx, RDX(%rdi)
	mov	%rbx, RBX(%rdi)
	mov	%rbp, RBP(%rdi)
	mov	%rsi, RSI(%rdi)
	mov	%r8, R8(%rdi)
	mov	%r9, R9(%rdi)
	mov	%r10, R10(%rdi)
	mov	%r11, R11(%rdi)
	mov	%r12, R12(%rdi)
	mov	%r13, R13(%rdi)
	mov	%r14, R14(%rdi)
	mov	%r15, R15(%rdi)
	pop	RDI(%rdi)

	pop	%rax
	vmload	%rax
	stgi

	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	ret
	.size svm_enter, . - svm_enter

	.section .note.GNU-stack, "", @progbits
