/* Multiboot entry, exception stubs, and the small switches C cannot express. */

#include "tests/guest/lib/layout.h"

#define MB_MAGIC 0x1badb002
#define MB_FLAGS 0x3 /* modules on page boundaries, memory information */

	.section .multiboot, "a"
	.align 4
	.long MB_MAGIC, MB_FLAGS, -(MB_MAGIC + MB_FLAGS)

	.text
	.globl _start
_start:
	cli
	cld
	movl $cpu_stacks + STACK_SIZE, %esp
	pushl %ebx
	pushl %eax
	pushl $0
	popfl
	call guest_start

	.globl halt_for_ever
halt_for_ever:
	cli
	hlt
	jmp halt_for_ever

/* void trap_load(const void *gdtr, const void *idtr, uint32_t tss): also reloads every segment */
	.globl trap_load
trap_load:
	movl 4(%esp), %eax
	lgdt (%eax)
	ljmp $0x08, $1f
1:	movl $0x10, %eax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %fs
	movw %ax, %gs
	movw %ax, %ss
	movl 8(%esp), %eax
	lidt (%eax)
	movl 12(%esp), %eax
	ltr %ax
	xorl %eax, %eax
	lldt %ax
	ret

/* One stub per vector, STUB_SIZE bytes apart; every frame gets an error code and the vector. */
	.balign STUB_SIZE
	.globl trap_stubs
trap_stubs:
vector = 0
	.rept 256
	.balign STUB_SIZE
	.if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17
	.else
	pushl $0
	.endif
	pushl $vector
	jmp trap_common
vector = vector + 1
	.endr

trap_common:
	pushal
	pushl %ds
	pushl %es
	pushl %fs
	pushl %gs
	movl $0x10, %eax
	movw %ax, %ds
	movw %ax, %es
	cld
	movl %esp, %eax
	pushl %eax
	call trap_dispatch
	addl $4, %esp
	popl %gs
	popl %fs
	popl %es
	popl %ds
	popal
	addl $8, %esp
	iretl

/* int context_save(struct context *): ebx, esi, edi, ebp, esp, eip */
	.globl context_save
context_save:
	movl 4(%esp), %eax
	movl %ebx, 0(%eax)
	movl %esi, 4(%eax)
	movl %edi, 8(%eax)
	movl %ebp, 12(%eax)
	leal 4(%esp), %ecx
	movl %ecx, 16(%eax)
	movl (%esp), %ecx
	movl %ecx, 20(%eax)
	xorl %eax, %eax
	ret

	.globl context_restore
context_restore:
	movl 4(%esp), %edx
	movl 0(%edx), %ebx
	movl 4(%edx), %esi
	movl 8(%edx), %edi
	movl 12(%edx), %ebp
	movl 16(%edx), %esp
	movl $1, %eax
	jmp *20(%edx)

/* void user_enter(uint32_t eip, uint32_t esp, uint32_t eflags): to privilege level 3 */
	.globl user_enter
user_enter:
	movl 4(%esp), %eax
	movl 8(%esp), %ecx
	movl 12(%esp), %edx
	movl $0x3b, %ebx
	movw %bx, %ds
	movw %bx, %es
	pushl %ebx
	pushl %ecx
	pushl %edx
	pushl $0x33
	pushl %eax
	iretl

	.section .note.GNU-stack, "", @progbits
