/*
 * What each physical CPU of this node has for itself, reached through the GS base. The log and the locks need
 * it, so nothing here logs or locks; pcpu_setup.h makes it.
 */
#ifndef HV_X86_PCPU_H
#define HV_X86_PCPU_H

#include <stdatomic.h>

#include "hv/base/assert.h"
#include "hv/base/compiler.h"

#define PCPU_MAX 128

/* Selectors of every CPU's GDT. */
#define GDT_CODE 0x08
#define GDT_DATA 0x10
#define GDT_TSS  0x18 /* takes two entries */
#define GDT_SIZE 0x28

/* Interrupt stack table slots (1-based, as in the IDT). */
enum ist { IST_NONE, IST_NMI, IST_DOUBLE_FAULT, IST_MACHINE_CHECK, IST_END };

#define PCPU_STACK_SIZE KIB(32)
#define PCPU_IST_SIZE   KIB(16)

/* SDM vol. 3, figure 8-11: the 64-bit task-state segment. */
struct x86_tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7]; /* ist[0] is IST1 */
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t iomap_base;
} PACKED;
ASSERT_SIZE(struct x86_tss, 104);
ASSERT_OFFSET(struct x86_tss, ist, 36);

struct pcpu {
	struct pcpu *self; /* first: read through GS */
	uint8_t *stack_top;
	unsigned index; /* 0-based within the node; 0 started the core */
	uint32_t apic_id;
	_Atomic bool online;
	bool in_panic;
	uint32_t ranks; /* see hv/base/spinlock.h */
	struct x86_tss tss;
	uint64_t gdt[GDT_SIZE / 8] ALIGNED(16);
	uint64_t nmi_count, spurious_count, apic_error_count;
	uint64_t irq_count[256];
	/* What the machine has of it, for hv/core. */
	void *core;
};
ASSERT_OFFSET(struct pcpu, self, 0);
ASSERT_OFFSET(struct pcpu, stack_top, 8);

static inline struct pcpu *pcpu_this(void)
{
	struct pcpu *p;

	/* Volatile is not needed: a context never moves to another CPU. */
	__asm__("mov %%gs:0, %0" : "=r"(p));
	return p;
}

#endif
