#include "tests/guest/lib/trap.h"
#include "tests/guest/lib/layout.h"
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/test.h"

struct pseudo {
	uint16_t limit;
	uint32_t base;
} PACKED;

extern uint8_t trap_stubs[];
void trap_load(const struct pseudo *gdtr, const struct pseudo *idtr, uint32_t tss);
void user_enter(uint32_t eip, uint32_t esp, uint32_t eflags);
void trap_dispatch(struct regs *r);

volatile struct trap trap_last;
volatile uint32_t trap_resume, trap_at;
volatile uint32_t trap_count[256];
uint64_t idt[256] ALIGNED(8);
uint64_t gdt[SEL_TSS / 8 + MAX_CPUS] ALIGNED(8);

static trap_fn *hooks[256];
static struct tss tss[MAX_CPUS];
static uint8_t user_stack[4096] ALIGNED(16);
static struct context user_back;

void trap_hook(unsigned vector, trap_fn *fn)
{
	hooks[vector] = fn;
}

void gdt_set(uint16_t selector, uint32_t base, uint32_t limit, uint8_t access, uint8_t flags)
{
	gdt[selector / 8] = (uint64_t)(base >> 24) << 56 | (uint64_t)(flags & 0xf) << 52 |
			    (uint64_t)(limit >> 16 & 0xf) << 48 | (uint64_t)access << 40 |
			    (uint64_t)(base & 0xffffff) << 16 | (limit & 0xffff);
}

void trap_gate_set(unsigned vector, uint32_t offset, uint16_t selector, uint8_t type)
{
	idt[vector] = (uint64_t)(offset >> 16) << 48 | (uint64_t)type << 40 |
		      (uint64_t)selector << 16 | (offset & 0xffff);
}

void trap_gate_reset(unsigned vector)
{
	uint8_t type = vector == VEC_BP || vector == VEC_OF ? GATE_INT32 | GATE_DPL3 : GATE_INT32;

	trap_gate_set(vector, (uint32_t)trap_stubs + vector * STUB_SIZE, SEL_CODE32, type);
}

void trap_setup(void)
{
	gdt_set(SEL_CODE32, 0, 0xfffff, 0x9b, 0xc);
	gdt_set(SEL_DATA32, 0, 0xfffff, 0x93, 0xc);
	gdt_set(SEL_CODE16, 0, 0xffff, 0x9b, 0);
	gdt_set(SEL_DATA16, 0, 0xffff, 0x93, 0);
	gdt_set(SEL_CODE64, 0, 0xfffff, 0x9b, 0xa);
	gdt_set(SEL_USER_CS, 0, 0xfffff, 0xfb, 0xc);
	gdt_set(SEL_USER_DS, 0, 0xfffff, 0xf3, 0xc);
	for (unsigned v = 0; v < 256; v++)
		trap_gate_reset(v);
	trap_setup_cpu(0);
}

void trap_setup_cpu(unsigned index)
{
	const struct pseudo gdtr = {sizeof(gdt) - 1, (uint32_t)gdt};
	const struct pseudo idtr = {sizeof(idt) - 1, (uint32_t)idt};
	uint16_t selector = (uint16_t)(SEL_TSS + 8 * index);

	tss[index].ss0 = SEL_DATA32;
	/* Half of the stack stays for whoever called user_run. */
	tss[index].esp0 = (uint32_t)cpu_stacks + index * STACK_SIZE + STACK_SIZE / 2;
	tss[index].io_map = sizeof(struct tss);
	gdt_set(selector, (uint32_t)&tss[index], sizeof(struct tss) - 1, 0x89, 0);
	trap_load(&gdtr, &idtr, selector);
}

static void record(struct regs *r)
{
	trap_last.vector = (int)r->vector;
	trap_last.error = r->error;
	trap_last.eip = r->eip;
	trap_last.cs = r->cs;
	trap_last.eflags = r->eflags;
	trap_last.cr2 = read_cr2();
	trap_last.eax = r->eax;
	trap_last.ecx = r->ecx;
	trap_last.edx = r->edx;
	trap_last.esi = r->esi;
	trap_last.edi = r->edi;
	trap_last.at = trap_at;
	trap_last.eip_offset = r->eip - trap_at;
}

static NORETURN void unexpected(struct regs *r)
{
	test_fail(__FILE__, __LINE__, "no exception",
		  "cpu %u: vector %u error %#x eip %#x cs %#x eflags %#x cr2 %#x cr0 %#x eax %#x "
		  "ebx %#x ecx %#x edx %#x esi %#x edi %#x",
		  cpu_self()->index, r->vector, r->error, r->eip, r->cs, r->eflags, read_cr2(),
		  read_cr0(), r->eax, r->ebx, r->ecx, r->edx, r->esi, r->edi);
	if (cpu_self()->index == 0)
		test_abandon();
	for (;;)
		asm volatile("cli; hlt");
}

void trap_dispatch(struct regs *r)
{
	atomic_add(&trap_count[r->vector], 1);
	if (hooks[r->vector]) {
		hooks[r->vector](r);
		return;
	}
	if ((r->cs & 3) == 3) {
		record(r);
		context_restore(&user_back);
	}
	if (r->vector >= 32)
		return;
	if (!trap_resume)
		unexpected(r);
	record(r);
	r->eip = trap_resume;
	r->eflags &= ~(EFLAGS_TF | EFLAGS_DF);
	trap_resume = 0;
}

int user_run(void (*entry)(void), uint32_t eflags)
{
	if (!context_save(&user_back))
		user_enter((uint32_t)entry, (uint32_t)user_stack + sizeof(user_stack) - 16,
			   eflags | 2);
	asm volatile("movl %0, %%ds; movl %0, %%es" : : "r"(SEL_DATA32));
	return trap_last.vector;
}

int rdmsr_try(uint32_t msr, uint64_t *value)
{
	uint64_t v = 0;
	int vector = TRY("rdmsr", "+A"(v) : "c"(msr) : "memory");

	*value = v;
	return vector;
}

int wrmsr_try(uint32_t msr, uint64_t value)
{
	return TRY("wrmsr", : "A"(value), "c"(msr) : "memory");
}
