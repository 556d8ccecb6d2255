/*
 * amalgam.elf: where a Multiboot 1 loader (BIOS iPXE, GRUB, QEMU -kernel) starts the stub, and where the
 * stub leaves for the core. 32-bit protected mode, paging off. Multiboot Specification 0.6.96, 3.1-3.2
 */
#define MULTIBOOT_MAGIC 0x1badb002
#define MULTIBOOT_FLAGS 0x00000003 /* modules on pages, memory map wanted */

	.section .multiboot, "a"
	.balign 4
	.long MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

	.text
	.globl multiboot_entry
multiboot_entry:
	cli
	cld
	mov $stack_end, %esp
	/* The canary, before the first function that has one; its first byte ends any string. */
	mov %eax, %ecx
	rdtsc
	imul $0x9e3779b1, %eax
	xor %al, %al
	mov %eax, __stack_chk_guard
	mov %ecx, %eax
	push %ebx /* the information structure */
	push %eax /* the loader's magic */
	call multiboot_main
0:	hlt
	jmp 0b

	/* void enter_core(uint32_t cr3, uint64_t entry, uint32_t handoff): SDM vol. 3, 10.8.5 */
	.globl enter_core
enter_core:
	mov 4(%esp), %eax
	mov 8(%esp), %esi
	mov 12(%esp), %ebx
	mov 16(%esp), %edi
	mov %eax, %cr3
	mov %cr4, %eax
	or $0x20, %eax /* PAE */
	mov %eax, %cr4
	mov $0xc0000080, %ecx /* IA32_EFER */
	rdmsr
	or $0x100, %eax /* LME */
	wrmsr
	mov %cr0, %eax
	or $0x80000001, %eax /* PG, PE */
	mov %eax, %cr0
	lgdt gdt_pointer
	ljmp $8, $in_long_mode

	.code64
in_long_mode:
	mov $16, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	shl $32, %rbx
	mov %esi, %esi
	or %rbx, %rsi
	mov %edi, %edi
	jmp *%rsi
	.code32

	.section .rodata
	.balign 8
gdt:
	.quad 0
	.quad 0x00209a0000000000 /* 64-bit code */
	.quad 0x0000920000000000 /* data */
gdt_pointer:
	.word gdt_pointer - gdt - 1
	.long gdt

	.balign 4096
	.globl core_elf, core_elf_end
core_elf:
	.incbin CORE_IMAGE
core_elf_end:

	.bss
	.balign 16
	.skip 16384
stack_end:
	.section .note.GNU-stack, "", @progbits
