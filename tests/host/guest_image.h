/* Hand-made kernel images for the loaders' tests and fuzzers' seeds. */
#ifndef TESTS_HOST_GUEST_IMAGE_H
#define TESTS_HOST_GUEST_IMAGE_H

#include <string.h>

#include "hv/base/types.h"

static inline void put_le(uint8_t *p, uint64_t v, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

/* A bzImage of protocol 2.12: 2 setup sectors and `code` bytes of 0x90 at 1 MiB. Returns its size. */
static inline size_t make_bzimage(uint8_t *p, size_t code)
{
	memset(p, 0, 3 * 512);
	memset(p + 3 * 512, 0x90, code);
	p[0x1f1] = 2;
	put_le(p + 0x1f4, (code + 15) / 16, 4);
	put_le(p + 0x1fe, 0xaa55, 2);
	p[0x200] = 0xeb;
	p[0x201] = 0x66;
	memcpy(p + 0x202, "HdrS", 4);
	put_le(p + 0x206, 0x20c, 2);
	p[0x211] = 1;
	put_le(p + 0x214, 0x100000, 4);
	put_le(p + 0x22c, 0x37ffffff, 4);
	put_le(p + 0x230, 0x1000, 4);
	put_le(p + 0x238, 255, 4);
	put_le(p + 0x258, 0x100000, 8);
	put_le(p + 0x260, 0x20000, 4);
	return 3 * 512 + code;
}

/* A Multiboot ELF32: header at 0x60, one segment of 16 bytes (32 in memory) at 1 MiB. */
static inline size_t make_multiboot_elf(uint8_t *p)
{
	memset(p, 0, 0x90);
	memcpy(p, "\177ELF\1\1\1", 7);
	put_le(p + 16, 2, 2);
	put_le(p + 18, 3, 2);
	put_le(p + 20, 1, 4);
	put_le(p + 24, 0xc0100004, 4); /* a linear entry address */
	put_le(p + 28, 52, 4);
	put_le(p + 42, 32, 2);
	put_le(p + 44, 1, 2);
	put_le(p + 52, 1, 4);
	put_le(p + 56, 0x80, 4);
	put_le(p + 60, 0xc0100000, 4);
	put_le(p + 64, 0x100000, 4);
	put_le(p + 68, 16, 4);
	put_le(p + 72, 32, 4);
	put_le(p + 0x60, 0x1badb002, 4);
	put_le(p + 0x64, 3, 4);
	put_le(p + 0x68, (uint32_t) - (0x1badb002 + 3), 4);
	memset(p + 0x80, 0xf4, 16);
	return 0x90;
}

/* A Multiboot image with address fields: all of it loaded at 1 MiB, bss up to 0x101000. */
static inline size_t make_multiboot_flat(uint8_t *p)
{
	memset(p, 0, 64);
	put_le(p, 0x1badb002, 4);
	put_le(p + 4, 0x10003, 4);
	put_le(p + 8, (uint32_t) - (0x1badb002 + 0x10003), 4);
	put_le(p + 12, 0x100000, 4);
	put_le(p + 16, 0x100000, 4);
	put_le(p + 20, 0, 4);
	put_le(p + 24, 0x101000, 4);
	put_le(p + 28, 0x100020, 4);
	memset(p + 32, 0xf4, 32);
	return 64;
}

#endif
