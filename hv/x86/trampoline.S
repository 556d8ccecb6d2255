/*
 * What another CPU runs from SIPI until it is in the core: real mode, straight into 64-bit mode, then
 * it waits for a struct pcpu to be handed out. Copied to a page below 1 MiB; position is in %ebx.
 */

#define OFF(x) ((x) - smp_trampoline)
#define CR0_PE_PG_WP_NE 0x80010021
#define CR4_PAE 0x20
#define MSR_EFER 0xc0000080
#define EFER_LME_NXE 0x900

	.section .rodata.trampoline, "a", @progbits
	.balign 16
	.globl smp_trampoline, smp_trampoline_end
smp_trampoline:
	.code16
	cli
	cld
	mov %cs, %ax
	mov %ax, %ds
	movzwl %ax, %ebx
	shl $4, %ebx
	/* The far jump and the GDT pointer need linear addresses: smp.c has filled them in. */
	lgdtl OFF(gdt_pointer)
	mov OFF(cr3_value), %eax
	mov %eax, %cr3
	mov %cr4, %eax
	or $CR4_PAE, %eax
	mov %eax, %cr4
	mov $MSR_EFER, %ecx
	rdmsr
	or $EFER_LME_NXE, %eax
	wrmsr
	/* SDM vol. 3, 9.8.5: PE and PG in one step leave CS 16-bit until the jump. INIT sets CD and NW. */
	mov $CR0_PE_PG_WP_NE, %eax
	mov %eax, %cr0
	ljmpl *OFF(jump)
	.code64
long_mode:
	xor %eax, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov OFF(final_cr3)(%rbx), %rcx
	mov OFF(entry)(%rbx), %rsi
	mov OFF(slot_address)(%rbx), %rdx
	jmp *%rsi

	.balign 16
gdt:
	.quad 0
	.quad 0x00af9b000000ffff
gdt_pointer:
	.word 15
	.long 0
	.balign 8
	.globl smp_param_gdt, smp_param_cr3, smp_param_jump, smp_param_code
	.globl smp_param_final_cr3, smp_param_entry, smp_param_slot
	.set smp_param_gdt, gdt_pointer + 2
	.set smp_param_code, long_mode
	.set smp_param_gdt_base, gdt
	.globl smp_param_gdt_base
smp_param_cr3:
cr3_value:
	.long 0
smp_param_jump:
jump:
	.long 0
	.word 8
	.balign 8
smp_param_final_cr3:
final_cr3:
	.quad 0
smp_param_entry:
entry:
	.quad 0
smp_param_slot:
slot_address:
	.quad 0
smp_trampoline_end:

	/* Now at the core's own address. RCX: final CR3, RDX: the slot, a struct pcpu * or 0 */
	.section .text.smp_entry, "ax", @progbits
	.globl smp_entry
	.type smp_entry, @function
smp_entry:
	mov %rcx, %cr3
0:	pause
	xor %edi, %edi
	xchg %rdi, (%rdx)
	test %rdi, %rdi
	jz 0b
	mov 8(%rdi), %rsp /* pcpu.stack_top */
	xor %ebp, %ebp
	push $0
	push %rbp
	call smp_cpu_main
1:	cli
	hlt
	jmp 1b
	.size smp_entry, . - smp_entry
