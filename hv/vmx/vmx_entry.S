/*
 * Into the guest and back. int vmx_enter(struct virt_vcpu *v, struct vmx_vcpu *x)
 *
 * RSP, RIP, RFLAGS, segments and control registers travel in the VMCS, the other general registers and
 * CR2 here. The FPU is the guest's all the time: the hypervisor uses none.
 */

/* struct virt_vcpu, checked in vmx_run.c */
#define RAX 0x00
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
#define CR2 0x80

/* struct vmx_vcpu */
#define X_HOST_RSP 0
#define X_LAUNCHED 8

#define VMCS_HOST_RSP 0x6c14

	.section .text.vmx_enter, "ax"
	.globl vmx_enter
	.type vmx_enter, @function
vmx_enter:
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
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
	mov	RAX(%rdi), %rax
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
	mov	%rax, RAX(%rdi)
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
	pop	%rsi
	mov	%cr2, %rax
	mov	%rax, CR2(%rdi)
	movb	$1, X_LAUNCHED(%rsi)
	xor	%eax, %eax

.Lreturn:
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	ret
	.size vmx_enter, . - vmx_enter

	.section .note.GNU-stack, "", @progbits
