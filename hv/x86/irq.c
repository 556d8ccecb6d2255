#include "hv/x86/irq.h"
#include "hv/base/assert.h"
#include "hv/base/bits.h"
#include "hv/base/log.h"
#include "hv/x86/cpu.h"
#include "hv/x86/hostapic.h"
#include "hv/x86/panic.h"
#include "hv/x86/pcpu.h"

#define VECTORS   256
#define FIRST_IRQ 0x20
#define VEC_NMI   2
#define VEC_DF    8
#define VEC_MC    18
#define STUB_SIZE 16

#define GATE_INTERRUPT 0x8e /* present, DPL 0, 64-bit interrupt gate */

#define PIC1_CMD  0x20
#define PIC1_DATA 0x21
#define PIC2_CMD  0xa0
#define PIC2_DATA 0xa1
#define PIC_EOI   0x20

/* SDM vol. 3, figure 6-8: a 64-bit gate. */
struct gate {
	uint16_t offset_low;
	uint16_t selector;
	uint8_t ist;
	uint8_t type;
	uint16_t offset_mid;
	uint32_t offset_high;
	uint32_t reserved;
};
ASSERT_SIZE(struct gate, 16);

struct ex_entry {
	uint64_t fault, resume;
};

extern const uint8_t irq_stubs[];
extern const struct ex_entry core_ex_table[], core_ex_table_end[];

void irq_entry(struct irq_frame *f);

static struct gate idt[VECTORS] ALIGNED(16);
static void (*handlers[VECTORS])(void);
static void (*nmi_handler)(void);
static uint64_t logged[BITMAP_WORDS(VECTORS)];

/*
 * Masks both PICs after moving their vectors off the exceptions: a spurious one still comes through.
 * The order of the words is the 8259A's: ICW1 to ICW4.
 */
static void mask_pics(void)
{
	outb(PIC1_CMD, 0x11);
	outb(PIC2_CMD, 0x11);
	outb(PIC1_DATA, 0x20);
	outb(PIC2_DATA, 0x28);
	outb(PIC1_DATA, 4);
	outb(PIC2_DATA, 2);
	outb(PIC1_DATA, 1);
	outb(PIC2_DATA, 1);
	outb(PIC1_DATA, 0xff);
	outb(PIC2_DATA, 0xff);
}

/* Ends the service of the line in both PICs, as a non-specific EOI does. */
static void pic_eoi(uint8_t vector)
{
	if (vector >= FIRST_IRQ + 8)
		outb(PIC2_CMD, PIC_EOI);
	outb(PIC1_CMD, PIC_EOI);
}

void irq_pic_open(unsigned line, void (*fn)(void))
{
	ASSERT(line < PIC_LINES && line != PIC_CASCADE);
	irq_handler_set((uint8_t)(FIRST_IRQ + line), fn);
	if (line >= 8) {
		outb(PIC2_DATA, (uint8_t)(inb(PIC2_DATA) & ~(1u << (line - 8))));
		line = PIC_CASCADE;
	}
	outb(PIC1_DATA, (uint8_t)(inb(PIC1_DATA) & ~(1u << line)));
}

void irq_init(void)
{
	for (unsigned v = 0; v < VECTORS; v++) {
		uint64_t stub = (uintptr_t)irq_stubs + (uint64_t)v * STUB_SIZE;

		idt[v] = (struct gate){
			.offset_low = (uint16_t)stub,
			.offset_mid = (uint16_t)(stub >> 16),
			.offset_high = (uint32_t)(stub >> 32),
			.selector = GDT_CODE,
			.type = GATE_INTERRUPT,
		};
	}
	mask_pics();
}

void irq_use_ist(void)
{
	idt[VEC_NMI].ist = IST_NMI;
	idt[VEC_DF].ist = IST_DOUBLE_FAULT;
	idt[VEC_MC].ist = IST_MACHINE_CHECK;
}

void irq_load(void)
{
	struct x86_table_ptr idtr = {.limit = sizeof(idt) - 1, .base = (uintptr_t)idt};

	lidt(&idtr);
}

void irq_handler_set(uint8_t vector, void (*fn)(void))
{
	ASSERT(vector >= FIRST_IRQ);
	handlers[vector] = fn;
}

void irq_nmi_handler_set(void (*fn)(void))
{
	nmi_handler = fn;
}

void irq_dispatch(uint8_t vector)
{
	struct pcpu *me = pcpu_this();

	me->irq_count[vector]++;
	if (vector == IRQ_SPURIOUS) {
		me->spurious_count++;
		return;
	}
	if (handlers[vector]) {
		handlers[vector]();
		if (vector < FIRST_IRQ + PIC_LINES)
			pic_eoi(vector);
	} else if (!bitmap_test(logged, vector)) {
		bitmap_set(logged, vector);
		log_warn_few(LOG_X86, "interrupt vector %#x has no handler; it is ignored", vector);
	}
	hostapic_eoi();
}

static void nmi(struct irq_frame *f)
{
	pcpu_this()->nmi_count++;
	panic_stop_if_asked();
	if (nmi_handler)
		nmi_handler();
}

/* True when the instruction was one of the safe accessors of cpu.h; it goes on at its fault label. */
static bool fixed_up(struct irq_frame *f)
{
	for (const struct ex_entry *e = core_ex_table; e < core_ex_table_end; e++)
		if (e->fault == f->rip) {
			f->rip = e->resume;
			return true;
		}
	return false;
}

/* Called by the stubs in entry.S, interrupts off. */
void irq_entry(struct irq_frame *f)
{
	if (f->vector >= FIRST_IRQ)
		irq_dispatch((uint8_t)f->vector);
	else if (f->vector == VEC_NMI)
		nmi(f);
	else if (!fixed_up(f))
		panic_exception(f);
}
