/*
 * Exceptions and interrupts. Every vector has a stub; a handler may be hooked per vector. TRY runs
 * instructions that may fault and says what happened.
 */
#ifndef TESTS_GUEST_LIB_TRAP_H
#define TESTS_GUEST_LIB_TRAP_H

#include "tests/guest/lib/cpu.h"

enum vector {
	VEC_DE,
	VEC_DB,
	VEC_NMI,
	VEC_BP,
	VEC_OF,
	VEC_BR,
	VEC_UD,
	VEC_NM,
	VEC_DF,
	VEC_TS = 10,
	VEC_NP,
	VEC_SS,
	VEC_GP,
	VEC_PF,
	VEC_MF = 16,
	VEC_AC,
	VEC_MC,
	VEC_XM,
	VEC_PIC = 0x20,  /* 8259 pair: 0x20 to 0x2f */
	VEC_USER = 0x40, /* free for tests up to 0xfe */
	VEC_SPURIOUS = 0xff
};

/* As the stubs push it; user_esp and user_ss are there only when the privilege changed. */
struct regs {
	uint32_t gs, fs, es, ds;
	uint32_t edi, esi, ebp, esp, ebx, edx, ecx, eax;
	uint32_t vector, error;
	uint32_t eip, cs, eflags;
	uint32_t user_esp, user_ss;
};

typedef void trap_fn(struct regs *r);

/* NULL: an interrupt is counted and forgotten, an exception ends the test. */
void trap_hook(unsigned vector, trap_fn *fn);
/* How often `vector` was delivered, on all CPUs together; hooks or not. */
extern volatile uint32_t trap_count[256];

/* The IDT itself, for tests that bend a gate; trap_gate_reset puts the library's gate back. */
extern uint64_t idt[256];
void trap_gate_set(unsigned vector, uint32_t offset, uint16_t selector, uint8_t type);
void trap_gate_reset(unsigned vector);

#define GATE_INT32  0x8e
#define GATE_TRAP32 0x8f
#define GATE_TASK   0x85
#define GATE_DPL3   0x60

/* What the last TRY met; vector is -1 when nothing happened. One TRY at a time in the machine. */
struct trap {
	int vector;
	uint32_t error, eip, cs, eflags, cr2;
	uint32_t eax, ecx, edx, esi, edi;
	uint32_t at;         /* address of TRY's first instruction */
	uint32_t eip_offset; /* eip - at */
};

extern volatile struct trap trap_last;
extern volatile uint32_t trap_resume, trap_at;

/*
 * TRY("instructions", outputs : inputs : clobbers) yields the vector of the exception they met, or
 * -1. Execution goes on behind them with all registers as they were at the exception. Local labels
 * 90 and 91 are taken. Write %% for registers.
 */
#define TRY(insn, ...)                                    \
	({                                                \
		trap_last.vector = -1;                    \
		asm volatile("movl $90f, trap_at\n"       \
			     "movl $91f, trap_resume\n"   \
			     "90: " insn "\n"             \
			     "91: movl $0, trap_resume\n" \
			     : __VA_ARGS__);              \
		asm volatile("" : : : "memory");          \
		trap_last.vector;                         \
	})

int rdmsr_try(uint32_t msr, uint64_t *value);
int wrmsr_try(uint32_t msr, uint64_t value);

/* Segment selectors of the library's GDT. */
#define SEL_CODE32  0x08
#define SEL_DATA32  0x10
#define SEL_CODE16  0x18 /* base 0, limit 64 KiB */
#define SEL_DATA16  0x20
#define SEL_CODE64  0x28
#define SEL_USER_CS 0x33
#define SEL_USER_DS 0x3b
#define SEL_TEST    0x40 /* four descriptors for tests: 0x40, 0x48, 0x50, 0x58 */
#define SEL_TSS     0x60 /* one per CPU from here */

extern uint64_t gdt[];
/* `access` is P, DPL, S and type; `flags` is G, D/B, L, AVL as a nibble. SDM vol. 3, 3.4.5 */
void gdt_set(uint16_t selector, uint32_t base, uint32_t limit, uint8_t access, uint8_t flags);

/* SDM vol. 3, 7.2.1 */
struct tss {
	uint32_t link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags;
	uint32_t eax, ecx, edx, ebx, esp, ebp, esi, edi;
	uint32_t es, cs, ss, ds, fs, gs, ldt;
	uint16_t trap, io_map;
};
_Static_assert(sizeof(struct tss) == 104, "SDM vol. 3, figure 7-2");

/*
 * Runs `entry` at privilege level 3 on its own small stack with EFLAGS = `eflags`; comes back at its
 * first exception or INT, which trap_last then describes. The first CPU only.
 */
int user_run(void (*entry)(void), uint32_t eflags);

/* Where an unexpected exception returns to; like setjmp and longjmp. */
struct context {
	uint32_t ebx, esi, edi, ebp, esp, eip;
};
int context_save(struct context *c) __attribute__((returns_twice));
NORETURN void context_restore(const struct context *c);

void trap_setup(void);               /* once, on the first CPU */
void trap_setup_cpu(unsigned index); /* on every CPU: GDT, IDT, TSS */

#endif
