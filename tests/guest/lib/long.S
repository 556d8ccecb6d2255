/* uint32_t long_call(uint32_t entry, uint32_t arg, uint32_t pml4); see real.h */

#define CR0_PG    0x80000000
#define CR4_PAE   0x20
#define MSR_EFER  0xc0000080
#define EFER_LME  0x100

	.text
	.code32
	.globl long_call
long_call:
	pushl %ebp
	movl %esp, %ebp
	pushl %ebx
	pushl %esi
	pushl %edi
	movl %cr4, %eax
	pushl %eax
	orl $CR4_PAE, %eax
	movl %eax, %cr4
	movl 16(%ebp), %eax
	movl %eax, %cr3
	movl $MSR_EFER, %ecx
	rdmsr
	orl $EFER_LME, %eax
	wrmsr
	movl 8(%ebp), %esi
	movl 12(%ebp), %edi
	movl %cr0, %eax
	orl $CR0_PG, %eax
	movl %eax, %cr0
	ljmp $0x28, $1f
	.code64
1:	movl %esi, %esi
	movl %edi, %edi
	movl %esp, %esp
	movl %ebp, %ebp
	movq %rsp, %rbx
	andq $-16, %rsp
	call *%rsi
	movq %rbx, %rsp
	movl %eax, %esi
	pushq $0x08
	movl $2f, %ecx
	pushq %rcx
	lretq
	.code32
2:	movl $0x10, %eax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl %cr0, %eax
	andl $~CR0_PG, %eax
	movl %eax, %cr0
	movl $MSR_EFER, %ecx
	rdmsr
	andl $~EFER_LME, %eax
	wrmsr
	xorl %eax, %eax
	movl %eax, %cr3
	popl %eax
	movl %eax, %cr4
	movl %esi, %eax
	popl %edi
	popl %esi
	popl %ebx
	popl %ebp
	ret

	.section .note.GNU-stack, "", @progbits
