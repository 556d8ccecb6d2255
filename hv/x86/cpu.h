/* One inline function per privileged instruction. Nothing here keeps state. */
#ifndef HV_X86_CPU_H
#define HV_X86_CPU_H

#include "hv/base/compiler.h"
#include "hv/x86/msr.h"

struct cpuid_regs {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid_regs cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_regs r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(subleaf));
	return r;
}

/* True when the CPU has the leaf; `leaf` is a basic (0...) or an extended (0x80000000...) one. */
static inline bool cpuid_has(uint32_t leaf)
{
	uint32_t max = cpuid(leaf & 0x80000000u, 0).eax;

	return max >= leaf && (max ^ leaf) < 0x80000000u;
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
	return (uint64_t)hi << 32 | lo;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

/*
 * A fault at the local label 1 goes on at `label` instead of panicking; see irq.c. The table has
 * absolute addresses: the core runs where it is linked.
 */
#define EX_TABLE(label) \
	".pushsection __ex_table,\"a\"\n\t.balign 8\n\t.quad 1b, " label "\n\t.popsection"

/* False, and *value untouched, when the CPU answers with #GP. */
static inline bool rdmsr_safe(uint32_t msr, uint64_t *value)
{
	uint32_t lo, hi;

	__asm__ goto("1: rdmsr\n\t" EX_TABLE("%l[fault]")
		     : "=a"(lo), "=d"(hi)
		     : "c"(msr)
		     : "memory"
		     : fault);
	*value = (uint64_t)hi << 32 | lo;
	return true;
fault:
	return false;
}

static inline bool wrmsr_safe(uint32_t msr, uint64_t value)
{
	__asm__ goto("1: wrmsr\n\t" EX_TABLE("%l[fault]")
		     :
		     : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
		     : "memory"
		     : fault);
	return true;
fault:
	return false;
}

static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi)::"memory");
	return (uint64_t)hi << 32 | lo;
}

/* Not executed before earlier loads are done: for readings that are compared between CPUs. */
static inline uint64_t rdtsc_ordered(void)
{
	__asm__ volatile("lfence" ::: "memory");
	return rdtsc();
}

#define CPU_CR_ACCESSORS(n)                                                 \
	static inline uint64_t read_cr##n(void)                             \
	{                                                                   \
		uint64_t v;                                                 \
                                                                            \
		__asm__ volatile("mov %%cr" #n ", %0" : "=r"(v)::"memory"); \
		return v;                                                   \
	}                                                                   \
	static inline void write_cr##n(uint64_t v)                          \
	{                                                                   \
		__asm__ volatile("mov %0, %%cr" #n::"r"(v) : "memory");     \
	}

CPU_CR_ACCESSORS(0)
CPU_CR_ACCESSORS(2)
CPU_CR_ACCESSORS(3)
CPU_CR_ACCESSORS(4)

#define CPU_DR_ACCESSORS(n)                                       \
	static inline uint64_t read_dr##n(void)                   \
	{                                                         \
		uint64_t v;                                       \
                                                                  \
		__asm__ volatile("mov %%dr" #n ", %0" : "=r"(v)); \
		return v;                                         \
	}                                                         \
	static inline void write_dr##n(uint64_t v)                \
	{                                                         \
		__asm__ volatile("mov %0, %%dr" #n::"r"(v));      \
	}

CPU_DR_ACCESSORS(0)
CPU_DR_ACCESSORS(1)
CPU_DR_ACCESSORS(2)
CPU_DR_ACCESSORS(3)
CPU_DR_ACCESSORS(7)

/* DR0 to DR3, which the hypervisor has no use for. */
static inline void breakpoints_get(uint64_t dr[4])
{
	dr[0] = read_dr0();
	dr[1] = read_dr1();
	dr[2] = read_dr2();
	dr[3] = read_dr3();
}

static inline void breakpoints_set(const uint64_t dr[4])
{
	write_dr0(dr[0]);
	write_dr1(dr[1]);
	write_dr2(dr[2]);
	write_dr3(dr[3]);
}

/* CR4.OSXSAVE must be set for both. */
static inline uint64_t xgetbv(uint32_t index)
{
	uint32_t lo, hi;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(index));
	return (uint64_t)hi << 32 | lo;
}

static inline void xsetbv(uint32_t index, uint64_t value)
{
	__asm__ volatile("xsetbv"
			 :
			 : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

#define CPU_PORT_ACCESSORS(suffix, type)                                                    \
	static inline type in##suffix(uint16_t port)                                        \
	{                                                                                   \
		type v;                                                                     \
                                                                                            \
		__asm__ volatile("in" #suffix " %1, %0" : "=a"(v) : "Nd"(port) : "memory"); \
		return v;                                                                   \
	}                                                                                   \
	static inline void out##suffix(uint16_t port, type v)                               \
	{                                                                                   \
		__asm__ volatile("out" #suffix " %0, %1" ::"a"(v), "Nd"(port) : "memory");  \
	}

/* As in the SDM's OUT DX, AL the port comes first: outb(port, value). */
CPU_PORT_ACCESSORS(b, uint8_t)
CPU_PORT_ACCESSORS(w, uint16_t)
CPU_PORT_ACCESSORS(l, uint32_t)

static inline void cpu_cli(void)
{
	__asm__ volatile("cli" ::: "memory");
}

static inline void cpu_sti(void)
{
	__asm__ volatile("sti" ::: "memory");
}

static inline void cpu_pause(void)
{
	__asm__ volatile("pause" ::: "memory");
}

/* All stores of this CPU so far, non-temporal ones too, are seen before any later one. SDM vol. 3, 12.3.1 */
static inline void cpu_drain_stores(void)
{
	__asm__ volatile("sfence" ::: "memory");
}

static inline void cpu_hlt(void)
{
	__asm__ volatile("hlt" ::: "memory");
}

/* Stops the calling CPU for good. */
NORETURN static inline void cpu_halt_forever(void)
{
	for (;;)
		__asm__ volatile("cli; hlt" ::: "memory");
}

/*
 * Sleeps until an interrupt has been handled. Call with interrupts off, after the last look for work:
 * STI takes effect only after the HLT has begun, so a wake-up in between is not lost.
 */
static inline void cpu_idle(void)
{
	__asm__ volatile("sti; hlt; cli" ::: "memory");
}

/* Takes the host interrupts that wait. The NOP is the instruction under STI's shadow. */
static inline void cpu_irq_window(void)
{
	__asm__ volatile("sti; nop; cli" ::: "memory");
}

/* Runs the NMI handler behind the IDT; its IRET also ends the blocking that an NMI exit leaves. */
static inline void cpu_int_nmi(void)
{
	__asm__ volatile("int $2" ::: "memory");
}

static inline uint64_t read_rflags(void)
{
	uint64_t v;

	__asm__ volatile("pushfq; pop %0" : "=r"(v)::"memory");
	return v;
}

static inline bool cpu_irqs_on(void)
{
	return read_rflags() & RFLAGS_IF;
}

/* SDM vol. 3, 2.4.1: the operand of LGDT and LIDT. */
struct x86_table_ptr {
	uint16_t limit;
	uint64_t base;
} PACKED;

static inline void lgdt(const struct x86_table_ptr *p)
{
	__asm__ volatile("lgdt %0" ::"m"(*p) : "memory");
}

static inline void lidt(const struct x86_table_ptr *p)
{
	__asm__ volatile("lidt %0" ::"m"(*p) : "memory");
}

static inline struct x86_table_ptr sgdt(void)
{
	struct x86_table_ptr p;

	__asm__ volatile("sgdt %0" : "=m"(p));
	return p;
}

static inline struct x86_table_ptr sidt(void)
{
	struct x86_table_ptr p;

	__asm__ volatile("sidt %0" : "=m"(p));
	return p;
}

static inline void ltr(uint16_t selector)
{
	__asm__ volatile("ltr %0" ::"r"(selector) : "memory");
}

static inline uint16_t str(void)
{
	uint16_t v;

	__asm__ volatile("str %0" : "=r"(v));
	return v;
}

static inline void invlpg(const void *p)
{
	__asm__ volatile("invlpg (%0)" ::"r"(p) : "memory");
}

static inline void wbinvd(void)
{
	__asm__ volatile("wbinvd" ::: "memory");
}

#endif
