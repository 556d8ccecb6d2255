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
#define NATIVE_DS    0x2b

void native_init(void);
void native_run(struct native_regs *regs, bool code_64);

#endif
