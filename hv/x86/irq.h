/* The interrupt descriptor table: exceptions end in a panic dump, vectors from 0x20 on call a handler. */
#ifndef HV_X86_IRQ_H
#define HV_X86_IRQ_H

#include "hv/base/compiler.h"

#define IRQ_KICK     0xf0 /* look at your posted work */
#define IRQ_NIC      0xe0 /* the network card, where it interrupts by message */
#define IRQ_TIMER    0xf1 /* hostapic_timer_arm */
#define IRQ_ERROR    0xfe
#define IRQ_SPURIOUS 0xff

/* What the entry stubs push; the last five are the CPU's. SDM vol. 3, figure 6-9. */
struct irq_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

/* Fills the IDT and masks the legacy PICs; once, on the first CPU. */
void irq_init(void);
/* From now on NMI, #DF and #MC switch to stacks of their own: every pcpu_load()ed CPU has them. */
void irq_use_ist(void);
/* Loads the IDT on the calling CPU. */
void irq_load(void);

/*
 * Sets what runs on a vector >= 0x20, with interrupts off, on the CPU that got it; the EOI comes after
 * fn has returned. Handlers take no locks. A vector without a handler is counted and logged once.
 */
void irq_handler_set(uint8_t vector, void (*fn)(void));

#define PIC_LINES   16u
#define PIC_CASCADE 2u

/*
 * Lets a line of the legacy PICs (0 to 15) through and sets what runs on it, as irq_handler_set();
 * `fn` must quiet the device. It reaches the CPU that has called hostapic_extint().
 */
void irq_pic_open(unsigned line, void (*fn)(void));

/* Runs on an NMI that is not panic's stop request. NULL (the default): counted in pcpu and ignored. */
void irq_nmi_handler_set(void (*fn)(void));

/* The dispatcher for a vector, for a CPU mode in which hardware hands interrupts over by number. */
void irq_dispatch(uint8_t vector);

#endif
