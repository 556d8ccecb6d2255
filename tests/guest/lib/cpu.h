/* Instructions with no C name: ports, control registers, MSRs, CPUID, TSC. 32-bit code only. */
#ifndef TESTS_GUEST_LIB_CPU_H
#define TESTS_GUEST_LIB_CPU_H

#include "hv/base/bits.h"

#define BIT32(n) (1u << (n))

#define CR0_PE BIT32(0)
#define CR0_MP BIT32(1)
#define CR0_EM BIT32(2)
#define CR0_TS BIT32(3)
#define CR0_ET BIT32(4)
#define CR0_NE BIT32(5)
#define CR0_WP BIT32(16)
#define CR0_AM BIT32(18)
#define CR0_NW BIT32(29)
#define CR0_CD BIT32(30)
#define CR0_PG BIT32(31)

#define CR4_PSE     BIT32(4)
#define CR4_PAE     BIT32(5)
#define CR4_PGE     BIT32(7)
#define CR4_VMXE    BIT32(13)
#define CR4_OSXSAVE BIT32(18)

#define EFLAGS_CF BIT32(0)
#define EFLAGS_TF BIT32(8)
#define EFLAGS_IF BIT32(9)
#define EFLAGS_DF BIT32(10)
#define EFLAGS_NT BIT32(14)
#define EFLAGS_RF BIT32(16)
#define EFLAGS_AC BIT32(18)

#define MSR_APIC_BASE    0x1bu
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_EFER         0xc0000080u
#define EFER_LME         BIT32(8)
#define EFER_LMA         BIT32(10)
#define EFER_NXE         BIT32(11)

static inline void outb(uint16_t port, uint8_t v)
{
	asm volatile("outb %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline void outw(uint16_t port, uint16_t v)
{
	asm volatile("outw %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline void outl(uint16_t port, uint32_t v)
{
	asm volatile("outl %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t v;

	asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline uint16_t inw(uint16_t port)
{
	uint16_t v;

	asm volatile("inw %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t v;

	asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint64_t v;

	asm volatile("rdmsr" : "=A"(v) : "c"(msr) : "memory");
	return v;
}

static inline void wrmsr(uint32_t msr, uint64_t v)
{
	asm volatile("wrmsr" : : "A"(v), "c"(msr) : "memory");
}

static inline uint64_t rdtsc(void)
{
	uint64_t v;

	asm volatile("rdtsc" : "=A"(v) : : "memory");
	return v;
}

struct cpuid {
	uint32_t a, b, c, d;
};

static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid r;

	asm volatile("cpuid"
		     : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d)
		     : "a"(leaf), "c"(subleaf));
	return r;
}

#define DEFINE_REG(name)                                                     \
	static inline uint32_t read_##name(void)                             \
	{                                                                    \
		uint32_t v;                                                  \
		asm volatile("movl %%" #name ", %0" : "=r"(v) : : "memory"); \
		return v;                                                    \
	}                                                                    \
	static inline void write_##name(uint32_t v)                          \
	{                                                                    \
		asm volatile("movl %0, %%" #name : : "r"(v) : "memory");     \
	}

DEFINE_REG(cr0)
DEFINE_REG(cr2)
DEFINE_REG(cr3)
DEFINE_REG(cr4)
DEFINE_REG(dr0)
DEFINE_REG(dr6)
DEFINE_REG(dr7)

static inline uint32_t read_eflags(void)
{
	uint32_t v;

	asm volatile("pushfl; popl %0" : "=r"(v) : : "memory");
	return v;
}

static inline uint32_t read_esp(void)
{
	uint32_t v;

	asm volatile("movl %%esp, %0" : "=r"(v));
	return v;
}

static inline void invlpg(const volatile void *p)
{
	asm volatile("invlpg (%0)" : : "r"(p) : "memory");
}

static inline void irq_on(void)
{
	asm volatile("sti; nop" : : : "memory");
}

static inline void irq_off(void)
{
	asm volatile("cli" : : : "memory");
}

/* Sleeps until an interrupt has been served; interrupts are off before and after. */
static inline void irq_sleep(void)
{
	asm volatile("sti; hlt; cli" : : : "memory");
}

static inline void cpu_pause(void)
{
	asm volatile("pause" : : : "memory");
}

/* For the compiler only: memory it can't see changing may have changed. */
static inline void barrier(void)
{
	asm volatile("" : : : "memory");
}

static inline void fence(void)
{
	asm volatile("lock; addl $0, (%%esp)" : : : "memory");
}

static inline uint32_t atomic_add(volatile uint32_t *p, uint32_t v)
{
	return __atomic_add_fetch(p, v, __ATOMIC_SEQ_CST);
}

#endif
