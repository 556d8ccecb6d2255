/*
 * Runs single instructions on the CPU under this program, as a user program's, with all general registers
 * and flags given, and reports what they left or which exception they raised. x86-64 Linux.
 */
#ifndef TESTS_FUZZ_NATIVE_CPU_H
#define TESTS_FUZZ_NATIVE_CPU_H

#include <stdbool.h>
#include <stdint.h>

struct native_regs {
	uint64_t gpr[16]; /* in the order of encodings */
	uint64_t rip, flags;
	uint64_t trap, error,
		cr2; /* the exception it ended with; 3 behind the INT3 that has to follow */
};

/* Selectors of Linux's user segments. */
#define NATIVE_CS_64 0x33
#define NATIVE_CS_32 0x23
#define NATIVE_CS_16 0x07 /* in the LDT */
#define NATIVE_DS    0x2b

/* 16-bit code has its segment's base here, of one page. False when Linux gives no 16-bit segments. */
bool native_init(uint32_t base_16);
/* Code of 16, 32 or 64 bits; with a 32-bit stack if it is not of 64. */
void native_run(struct native_regs *regs, unsigned bits);

#endif
