/* Where the loader jumps to, the interrupt entry stubs, and the switch to CPU 0's final stack. */

	.section .text.entry, "ax", @progbits

	/* From the loader: 64-bit mode, interrupts off, RDI = physical address of the handoff. */
	.globl core_entry
	.type core_entry, @function
core_entry:
	cli
	cld
	mov $early_stack_end, %rsp
	/* The canary, before the first function that has one; its first byte ends any string. */
	rdtsc
	shl $32, %rdx
	or %rdx, %rax
	movabs $0x9e3779b97f4a7c15, %rdx
	imul %rdx, %rax
	xor %al, %al
	mov %rax, __stack_chk_guard
	xor %ebp, %ebp
	push $0 /* the backtrace ends here */
	push %rbp
	call x86_start
0:	hlt
	jmp 0b
	.size core_entry, . - core_entry

	/* entry_on_stack(stack_top, fn, arg): calls fn(arg) there; fn does not return. */
	.globl entry_on_stack
	.type entry_on_stack, @function
entry_on_stack:
	mov %rdi, %rsp
	xor %ebp, %ebp
	mov %rdx, %rdi
	push $0
	push %rbp
	call *%rsi
0:	hlt
	jmp 0b
	.size entry_on_stack, . - entry_on_stack

	/* A 16-byte stub per vector; #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP, #VC, #SX push an error code. */
	.section .text.irq_stubs, "ax", @progbits
	.balign 16
	.globl irq_stubs
	.type irq_stubs, @function
irq_stubs:
	.set vector, 0
	.rept 256
	.balign 16
	.if vector != 8 && (vector < 10 || vector > 14) && vector != 17 && vector != 21 && \
	    vector != 29 && vector != 30
	push $0
	.endif
	push $vector
	jmp irq_common
	.set vector, vector + 1
	.endr
	.size irq_stubs, . - irq_stubs

	.type irq_common, @function
irq_common:
	cld
	push %rax
	push %rbx
	push %rcx
	push %rdx
	push %rsi
	push %rdi
	push %rbp
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, %rdi
	mov %rsp, %rbx
	and $-16, %rsp
	call irq_entry
	mov %rbx, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rbp
	pop %rdi
	pop %rsi
	pop %rdx
	pop %rcx
	pop %rbx
	pop %rax
	add $16, %rsp
	iretq
	.size irq_common, . - irq_common

	.section .bss.early_stack, "aw", @nobits
	.balign 4096
early_stack:
	.skip 16384
early_stack_end:
