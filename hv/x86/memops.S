/* memcpy, memmove, memset: string instructions, which CPUs and emulators alike run fast. */

	.section .text.memops, "ax", @progbits

	.globl memcpy
	.type memcpy, @function
memcpy:
	mov %rdi, %rax
	mov %rdx, %rcx
	shr $3, %rcx
	rep movsq
	mov %edx, %ecx
	and $7, %ecx
	rep movsb
	ret
	.size memcpy, . - memcpy

	.globl memmove
	.type memmove, @function
memmove:
	mov %rdi, %rcx
	sub %rsi, %rcx
	cmp %rdx, %rcx /* unsigned: dst inside [src, src + n)? */
	jae memcpy
	mov %rdi, %rax
	lea -1(%rdi,%rdx), %rdi
	lea -1(%rsi,%rdx), %rsi
	mov %rdx, %rcx
	std
	rep movsb
	cld
	ret
	.size memmove, . - memmove

	.globl memset
	.type memset, @function
memset:
	mov %rdi, %r8
	movzbl %sil, %eax
	movabs $0x0101010101010101, %rcx
	imul %rcx, %rax
	mov %rdx, %rcx
	shr $3, %rcx
	rep stosq
	mov %edx, %ecx
	and $7, %ecx
	rep stosb
	mov %r8, %rax
	ret
	.size memset, . - memset
