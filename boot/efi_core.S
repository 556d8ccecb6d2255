/* The core's image inside the loader. */
	.section .data
	.balign 4096
	.globl core_elf, core_elf_end
core_elf:
	.incbin CORE_IMAGE
core_elf_end:
	.section .note.GNU-stack, "", @progbits
