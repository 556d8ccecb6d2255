/* Code below 64 KiB: where CPUs start, and the way to real mode and back. */

#include "tests/guest/lib/layout.h"

/* First, at 0x8000: a start-up IPI with vector 8 begins here with CS = 0x0800, IP = 0. */
	.section .low.ap, "awx"
	.code16
	.globl ap_entry
ap_entry:
	movl %eax, %cs:(ap_report - ap_entry)
	movl %ebx, %cs:(ap_report - ap_entry + 4)
	movl %ecx, %cs:(ap_report - ap_entry + 8)
	movl %edx, %cs:(ap_report - ap_entry + 12)
	movl %esi, %cs:(ap_report - ap_entry + 16)
	movl %edi, %cs:(ap_report - ap_entry + 20)
	movl %ebp, %cs:(ap_report - ap_entry + 24)
	movl %esp, %cs:(ap_report - ap_entry + 28)
	movl %cr0, %eax
	movl %eax, %cs:(ap_report - ap_entry + 32)
	movl %cr2, %eax
	movl %eax, %cs:(ap_report - ap_entry + 36)
	movl %cr3, %eax
	movl %eax, %cs:(ap_report - ap_entry + 40)
	movl %cr4, %eax
	movl %eax, %cs:(ap_report - ap_entry + 44)
	movw %cs, %cs:(ap_report - ap_entry + 52)
	movw %ds, %cs:(ap_report - ap_entry + 54)
	movw %es, %cs:(ap_report - ap_entry + 56)
	movw %fs, %cs:(ap_report - ap_entry + 58)
	movw %gs, %cs:(ap_report - ap_entry + 60)
	movw %ss, %cs:(ap_report - ap_entry + 62)
	sgdtl %cs:(ap_report - ap_entry + 66)
	sidtl %cs:(ap_report - ap_entry + 72)
	xorw %ax, %ax
	movw %ax, %ss
	movw $LOW_STACK_TOP, %sp
	pushfl
	popl %cs:(ap_report - ap_entry + 48)
	call 1f
1:	popw %ax
	subw $(1b - ap_entry), %ax
	movw %ax, %cs:(ap_report - ap_entry + 64)
	lgdtl %cs:(low_gdtr - ap_entry)
	movl %cr0, %eax
	andl $0x9fffffff, %eax /* caches on: INIT leaves CD and NW as they were, RESET sets them */
	orl $1, %eax
	movl %eax, %cr0
	ljmpl $0x08, $1f
	.code32
1:	movl $0x10, %eax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %fs
	movw %ax, %gs
	movw %ax, %ss
	movl ap_stack, %esp
	pushl $0
	popfl
	call ap_main

	.balign 16
	.globl ap_report
ap_report:
	.fill 80, 1, 0
	.globl ap_stack
ap_stack:
	.long 0
low_gdtr:
	.word 0x60 - 1 + 8 * MAX_CPUS
	.long gdt

/*
 * void real_call(uint16_t entry): from flat 32-bit protected mode with paging off, runs the 16-bit
 * code at 0:entry in real mode until its near return. It may use all registers but SP; interrupts are
 * off at its start, its vector table is at 0. Real-mode segments are all 0, the stack is below 0x7000.
 */
	.section .low, "awx"
	.code32
	.globl real_call
real_call:
	movl 4(%esp), %eax
	movw %ax, real_entry
	pushal
	sidt real_saved_idtr
	movl %esp, real_saved_esp
	cli
	ljmp $0x18, $1f
	.code16
1:	movw $0x20, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %fs
	movw %ax, %gs
	movw %ax, %ss
	lidtl real_idtr
	movl %cr0, %eax
	andl $~1, %eax
	movl %eax, %cr0
	ljmp $0, $2f
2:	xorw %ax, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %fs
	movw %ax, %gs
	movw %ax, %ss
	movw $LOW_STACK_TOP, %sp
	call *real_entry
	cli
	cld
	xorw %ax, %ax
	movw %ax, %ds
	lgdtl low_gdtr
	movl %cr0, %eax
	orl $1, %eax
	movl %eax, %cr0
	ljmpl $0x08, $3f
	.code32
3:	movl $0x10, %eax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %fs
	movw %ax, %gs
	movw %ax, %ss
	movl real_saved_esp, %esp
	lidt real_saved_idtr
	popal
	ret

	.balign 8
real_entry:
	.word 0
real_idtr:
	.word 0x3ff
	.long 0
real_saved_idtr:
	.fill 6, 1, 0
	.balign 4
real_saved_esp:
	.long 0

	.section .note.GNU-stack, "", @progbits
