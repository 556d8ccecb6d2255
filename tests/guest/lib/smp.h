/* The CPUs of the machine: who they are, starting them, giving them work. */
#ifndef TESTS_GUEST_LIB_SMP_H
#define TESTS_GUEST_LIB_SMP_H

#include "hv/base/compiler.h"
#include "tests/guest/lib/layout.h"

struct cpu {
	uint32_t index;   /* 0 is the one that booted */
	uint32_t apic_id; /* as the firmware's tables say */
	volatile uint32_t online;
	void (*volatile work)(void *arg);
	void *volatile arg;
};

/* A CPU's structure lies at the bottom of its stack. */
extern uint8_t cpu_stacks[MAX_CPUS][STACK_SIZE];
extern unsigned cpu_count; /* CPUs the tables list, at most MAX_CPUS; known after smp_find */

static inline struct cpu *cpu_get(unsigned index)
{
	return (struct cpu *)cpu_stacks[index];
}

static inline struct cpu *cpu_self(void)
{
	uint32_t esp;

	asm volatile("movl %%esp, %0" : "=r"(esp));
	return (struct cpu *)(esp & ~(STACK_SIZE - 1u));
}

/* Reads the ACPI MADT, or else the MP table. */
void smp_find(void);
/* Starts CPU `index` with INIT and start-up IPIs; false when it doesn't come up. */
bool smp_start(unsigned index);
/* Starts all; fails the running test when one doesn't come up, ends it when there are fewer than `least`. */
void smp_start_all(unsigned least);
/* `fn(arg)` on another CPU that has been started; it runs with interrupts off. */
void smp_call(unsigned index, void (*fn)(void *arg), void *arg);
bool smp_done(unsigned index);
/* Waits; fails the running test and ends it when it takes longer than `timeout_ms`. */
void smp_wait(unsigned index, unsigned timeout_ms);
/* Sends the CPU back to wait-for-SIPI. */
void smp_stop(unsigned index);

/* What CPU registers held in its first real-mode instruction after the last start-up IPI. */
struct ap_report {
	uint32_t eax, ebx, ecx, edx, esi, edi, ebp, esp;
	uint32_t cr0, cr2, cr3, cr4, eflags;
	uint16_t cs, ds, es, fs, gs, ss, ip;
	uint16_t gdt_limit;
	uint32_t gdt_base;
	uint16_t idt_limit;
	uint32_t idt_base;
} PACKED;
extern struct ap_report ap_report;

#endif
