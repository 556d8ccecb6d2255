/*
 * Exceptions that follow each other without an instruction in between. A CPU that meets such a row without
 * end takes no interrupt ever again; under the hypervisor it can still be stopped and started by the others.
 */
#include "tests/guest/lib/apic.h"
#include "tests/guest/lib/pc.h"
#include "tests/guest/lib/real.h"
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/trap.h"

#define VICTIM 1 /* the CPU that gets lost */

void user_enter(uint32_t eip, uint32_t esp, uint32_t eflags);

static volatile uint32_t steps;

static void count_step(struct regs *r)
{
	steps++;
	if (steps == 3000)
		r->eflags &= ~EFLAGS_TF;
}

/* Each step is delivered once, and DR6 says so each time; an interrupt in between has its turn. */
static void test_many_steps(void)
{
	uint32_t loops = 5000;

	trap_hook(VEC_DB, count_step);
	steps = 0;
	write_dr6(0xffff0ff0);
	asm volatile("pushfl; orl $0x100, (%%esp); popfl; 1: decl %0; jnz 1b" : "+r"(loops)::"cc");
	CHECK_EQ(steps, 3000);
	CHECK_EQ(read_dr6(), 0xffff4ff0);
	steps = 0;
	asm volatile("pushfl; orl $0x100, (%%esp); popfl; nop; nop\n"
		     "pushfl; andl $~0x100, (%%esp); popfl; nop" ::
			     : "cc");
	/* NOP, NOP, PUSHFL, ANDL, and POPFL, whose TF was still set when it began. */
	CHECK_EQ(steps, 5);
}

static void count_all(struct regs *r)
{
	steps++;
}

static void tick(struct regs *r)
{
	lapic_eoi();
}

static void step_through(void)
{
	uint32_t loops = 3000, a = 0, c = 0;

	asm volatile("sti; pushfl; orl $0x100, (%%esp); popfl\n"
		     "1: cpuid; decl %%esi; jnz 1b\n"
		     "pushfl; andl $~0x100, (%%esp); popfl; cli"
		     : "+S"(loops), "+a"(a), "+c"(c)
		     :
		     : "ebx", "edx", "cc", "memory");
}

/* Interrupts that come while an instruction is carried out for the guest do not swallow its step. */
static void test_steps_with_interrupts(void)
{
	uint32_t turns = 0;

	trap_hook(VEC_DB, count_all);
	trap_hook(VEC_USER, tick);
	steps = 0;
	lapic_write(LAPIC_TIMER_DIVIDE, 0xb);
	lapic_write(LAPIC_LVT_TIMER, LVT_PERIODIC | VEC_USER);
	lapic_write(LAPIC_TIMER_INITIAL, 100000);
	/* However seldom an emulator on a busy host finds time for its timers. */
	for (; turns < 50 && trap_count[VEC_USER] <= 10; turns++)
		step_through();
	lapic_write(LAPIC_LVT_TIMER, LVT_MASKED);
	CHECK(trap_count[VEC_USER] > 10, "%u interrupts", trap_count[VEC_USER]);
	CHECK_EQ(steps, turns * (3 * 3000 + 3));
}

/* The fault comes before the debug register is touched, and entering the handler has taken GD away. */
static void test_general_detect(void)
{
	if (machine.tcg_cpu)
		test_skip("QEMU has no general detect");
	write_dr6(0xffff0ff0);
	write_dr7(0x2400);
	CHECK_EQ(TRY("movl %%dr0, %%eax", : : "eax"), VEC_DB);
	CHECK_EQ(trap_last.eip_offset, 0);
	CHECK_EQ(read_dr6(), 0xffff2ff0);
	CHECK_EQ(read_dr7(), 0x400);
	write_dr6(0xffff0ff0);
}

static volatile uint32_t lost;

/* The victim is in its row: no interrupt would reach it, but INIT has to. */
static void rescue(void)
{
	REQUIRE(WAIT(lost, 5000), "the CPU did not get there");
	delay_us(200000);
	CHECK(!smp_done(VICTIM), "the row has an end");
	smp_stop(VICTIM);
	CHECK(smp_start(VICTIM), "the CPU does not start again");
}

static void needs_amalgam(void)
{
	if (!machine.amalgam)
		test_skip("nothing ends this on a PC");
	if (machine.tcg_cpu)
		test_skip("QEMU has no alignment check and watches no deliveries");
	smp_start_all(2);
}

static uint8_t user_stack[4096] ALIGNED(16);

static void user_push(void)
{
	asm volatile("pushl $0");
}

/* #AC's handler is at privilege level 3 too: its frame goes onto the same stack, which is not aligned. */
static void fall_into_ac(void *arg)
{
	write_cr0(read_cr0() | CR0_AM);
	lost = 1;
	user_enter((uint32_t)user_push, (uint32_t)user_stack + sizeof(user_stack) - 1,
		   EFLAGS_AC | 2);
}

static void test_endless_ac(void)
{
	needs_amalgam();
	lost = 0;
	trap_gate_set(VEC_AC, (uint32_t)user_push, SEL_USER_CS, GATE_INT32 | GATE_DPL3);
	smp_call(VICTIM, fall_into_ac, NULL);
	rescue();
	trap_gate_reset(VEC_AC);
}

/* Page tables of one large page, IDT and TSS for 64-bit mode. SDM vol. 3, 6.14.1 and 8.7 */
static uint64_t pml4[512] ALIGNED(4096), pdpt[512] ALIGNED(4096);
static uint64_t dir[512] ALIGNED(4096);
static uint64_t idt64[4] ALIGNED(16);
static uint32_t tss64[26] ALIGNED(16);
static uint64_t db_stack[32] ALIGNED(16);

extern struct pseudo64 {
	uint16_t limit;
	uint64_t base;
} PACKED idtr64;
struct pseudo64 idtr64;
extern volatile uint32_t in_long_mode;
volatile uint32_t in_long_mode;

/* In 64-bit mode #DB gets the same stack each time, whose top is watched. EDI: its address. */
asm(".text\n"
    ".code64\n"
    "fall_into_db: movl $idtr64, %eax; lidt (%rax)\n"
    "movl $0x40, %eax; ltr %ax\n"
    "movl %edi, %eax; movq %rax, %dr0\n"
    "movl $0xd0402, %eax; movq %rax, %dr7\n"
    "movl $in_long_mode, %eax; movl $1, (%rax)\n"
    "movl $0, (%rdi)\n"
    "1: jmp 1b\n"
    "on_db: jmp on_db\n"
    ".code32\n");
extern uint8_t fall_into_db[], on_db[];

static void go_long(void *arg)
{
	long_call((uint32_t)fall_into_db, (uint32_t)&db_stack[31], (uint32_t)pml4);
}

static void set_up_long(void)
{
	uint32_t handler = (uint32_t)on_db, tss = (uint32_t)tss64;

	for (uint32_t i = 0; i < 512; i++)
		dir[i] = (uint64_t)i << 21 | 0x83;
	pdpt[0] = (uint32_t)dir | 3;
	pml4[0] = (uint32_t)pdpt | 3;
	tss64[9] = (uint32_t)(db_stack + 32); /* IST1 */
	gdt_set(SEL_TEST, tss, sizeof(tss64) - 1, 0x89, 0);
	gdt[SEL_TEST / 8 + 1] = 0;
	/* Vector 1: an interrupt gate on IST1. */
	idt64[2] = (uint64_t)(handler >> 16) << 48 | 0x8e01ull << 32 | SEL_CODE64 << 16 |
		   (handler & 0xffff);
	idtr64.limit = sizeof(idt64) - 1;
	idtr64.base = (uint32_t)idt64;
	barrier();
}

static void test_endless_db(void)
{
	needs_amalgam();
	set_up_long();
	lost = 0;
	in_long_mode = 0;
	smp_call(VICTIM, go_long, NULL);
	REQUIRE(WAIT(in_long_mode, 5000), "no long mode");
	lost = 1;
	rescue();
}

const struct test guest_tests[] = {
	{"many-steps", test_many_steps},
	{"steps-with-interrupts", test_steps_with_interrupts},
	{"general-detect", test_general_detect},
	{"endless-ac", test_endless_ac},
	{"endless-db", test_endless_db},
	{NULL, NULL},
};
