/*
 * What nodes tell each other of their CPUs, in docs/wire.md's order: registers of CPUID, and a bit for the
 * vendor. What all have in common is what a guest may see of them.
 */
#ifndef HV_CPU_CPU_WORDS_H
#define HV_CPU_CPU_WORDS_H

#include "hv/base/types.h"

enum cpu_word {
	CPU_1_ECX,
	CPU_1_EDX,
	CPU_7_EBX,
	CPU_7_ECX,
	CPU_7_EDX,
	CPU_EXT1_ECX,
	CPU_EXT1_EDX,
	CPU_VENDOR,
	CPU_WORDS
};

/* The words of the calling CPU. */
void cpu_words(uint32_t words[CPU_WORDS]);
/* What a bit is called in sentences, by its number, word * 32 + bit; NULL for those without a name. */
const char *cpu_word_name(unsigned bit);

#endif
