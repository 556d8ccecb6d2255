/* Back to real mode: segments, big segments, the vector table at 0, HLT, I/O, and home again. */
#include "tests/guest/lib/apic.h"
#include "tests/guest/lib/pc.h"
#include "tests/guest/lib/real.h"
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/trap.h"
#include "hv/base/string.h"

/* 16-bit code linked below 64 KiB; each routine ends with a near return. */
asm(".section .low, \"awx\"\n"
    ".code16\n"
    ".balign 4\n"
    "rm_a: .long 0\n"
    "rm_b: .long 0\n"
    "rm_c: .long 0\n"
    "rm_d: .long 0\n"

    "rm_state: movl %cr0, %eax\n"
    "movl %eax, rm_a\n"
    "movw %cs, rm_b\n"
    "pushfl\n"
    "popl rm_c\n"
    "smsw %ax\n"
    "movw %ax, rm_d\n"
    "ret\n"

    /* DS = 0x2000: offset 0x10 there is 0x20010. Wraps at 64 KiB: FS = 0x1ff0, offset 0x110. */
    "rm_segments: movw $0x2000, %ax\n"
    "movw %ax, %ds\n"
    "movl 0x10, %eax\n"
    "movl %eax, %cs:rm_a\n"
    "movw $0x1ff0, %ax\n"
    "movw %ax, %fs\n"
    "movl %fs:0x110, %eax\n"
    "movl %eax, %cs:rm_b\n"
    "movw $0xffff, %ax\n" /* FFFF:0110 is 1 MiB + 0x100: A20 is on */
    "movw %ax, %es\n"
    "movl %es:0x110, %eax\n"
    "movl %eax, %cs:rm_c\n"
    "ret\n"

    /* Far call through another segment: 0x0800:off is 0:0x8000+off. */
    "rm_far: movw %cs, rm_a\n"
    "lcall $0x0800, $(rm_far_target - 0x8000)\n"
    "movw %cs, rm_c\n"
    "ret\n"
    "rm_far_target: movw %cs, %cs:(rm_b - 0x8000)\n"
    "lret\n"

    /* Unreal: a 4 GiB limit loaded in protected mode stays in FS when PE is cleared. */
    "rm_unreal: movl %cr0, %eax\n"
    "orb $1, %al\n"
    "movl %eax, %cr0\n"
    "jmp 1f\n"
    "1: movw $0x10, %bx\n"
    "movw %bx, %fs\n"
    "andb $0xfe, %al\n"
    "movl %eax, %cr0\n"
    "jmp 2f\n"
    "2: movl $0x00300000, %esi\n"
    "movl %fs:(%esi), %eax\n"
    "movl %eax, rm_a\n"
    "movl $0x1badcafe, %fs:4(%esi)\n"
    "movl $0xfec00000, %esi\n" /* and device registers are within reach */
    "movl $1, %fs:(%esi)\n"
    "movl %fs:0x10(%esi), %eax\n"
    "movl %eax, rm_b\n"
    "xorw %bx, %bx\n" /* a new selector gives a new base, the limit stays */
    "movw %bx, %fs\n"
    "movl $0x00300000, %esi\n"
    "movl %fs:4(%esi), %eax\n"
    "movl %eax, rm_c\n"
    "ret\n"

    /* INT 0x60 through the vector table: flags, CS, IP are pushed as words. */
    "rm_int: movw %sp, rm_c\n"
    "movw $0x1234, %ax\n"
    "stc\n"
    "int $0x60\n"
    "rm_int_back: movw %ax, rm_a\n"
    "ret\n"
    "rm_int_handler: movw %sp, rm_d\n"
    "pushw %bp\n"
    "movw %sp, %bp\n"
    "movw 2(%bp), %bx\n"
    "movw %bx, rm_b\n"
    "movw 6(%bp), %bx\n"
    "movw %bx, rm_b + 2\n"
    "popw %bp\n"
    "addw $1, %ax\n"
    "iretw\n"

    /* Exceptions come the same way, with no error code: divide by zero is INT 0, its IP that of DIV. */
    "rm_divide: xorw %cx, %cx\n"
    "xorw %dx, %dx\n"
    "movw $1, %ax\n"
    "rm_div_at: divw %cx\n"
    "ret\n"
    "rm_div_handler: popw %ax\n"
    "movw %ax, rm_a\n"
    "movw $1, rm_b\n"
    "addw $2, %ax\n"
    "pushw %ax\n"
    "iretw\n"

    /* HLT until the timer has ticked five times through the 8259. */
    "rm_halt: movl $0, rm_a\n"
    "1: sti\n"
    "hlt\n"
    "cli\n"
    "cmpl $5, rm_a\n"
    "jb 1b\n"
    "ret\n"
    "rm_tick: pushw %ax\n"
    "incl rm_a\n"
    "movb $0x20, %al\n"
    "outb %al, $0x20\n"
    "popw %ax\n"
    "iretw\n"

    /* Ports, and instructions that leave the guest. */
    "rm_io: movw $0x3ff, %dx\n"
    "movb $0x6c, %al\n"
    "outb %al, %dx\n"
    "xorb %al, %al\n"
    "inb %dx, %al\n"
    "movzbl %al, %eax\n"
    "movl %eax, rm_a\n"
    "movl $0x80000000, %eax\n"
    "movw $0xcf8, %dx\n"
    "outl %eax, %dx\n"
    "xorl %eax, %eax\n"
    "inl %dx, %eax\n"
    "movl %eax, rm_b\n"
    "xorl %eax, %eax\n"
    "outl %eax, %dx\n"
    "cpuid\n"
    "movl %ebx, rm_c\n"
    "movl $0x1b, %ecx\n"
    "rdmsr\n"
    "movl %eax, rm_d\n"
    "ret\n"

    /* String I/O with 16-bit registers: SI, not ESI. */
    "rm_string: movw $0x3ff, %dx\n"
    "movl $0x12340000 + rm_text, %esi\n"
    "movl $0x56780003, %ecx\n"
    "cld\n"
    "rep outsb\n"
    "movl %esi, rm_a\n"
    "movl %ecx, rm_b\n"
    "inb %dx, %al\n"
    "movzbl %al, %eax\n"
    "movl %eax, rm_c\n"
    "ret\n"
    "rm_text: .ascii \"abc\"\n"
    ".code32\n"
    ".previous\n");

extern volatile uint32_t rm_a, rm_b, rm_c, rm_d;
extern uint8_t rm_state[], rm_segments[], rm_far[], rm_far_target[], rm_unreal[], rm_int[],
	rm_int_back[], rm_int_handler[], rm_divide[], rm_div_at[], rm_div_handler[], rm_halt[],
	rm_tick[], rm_io[], rm_string[], rm_text[];

static void run(const uint8_t *code)
{
	rm_a = rm_b = rm_c = rm_d = 0;
	real_call((uint32_t)code);
}

/* The table lies at 0, where C does not like to look. */
static void vector_set(unsigned vector, const uint8_t *handler)
{
	uint32_t where = vector * 4;

	asm volatile("" : "+r"(where));
	*(volatile uint32_t *)where = (uint32_t)handler & 0xffff;
}

static void test_state(void)
{
	run(rm_state);
	CHECK(!(rm_a & CR0_PE), "CR0 %#x", rm_a);
	CHECK_EQ(rm_b, 0);
	CHECK(!(rm_c & EFLAGS_IF), "EFLAGS %#x", rm_c);
	CHECK_EQ(rm_d & 1, 0);
}

static void test_many(void)
{
	for (unsigned i = 0; i < 1000; i++) {
		run(rm_state);
		REQUIRE(!(rm_a & CR0_PE), "turn %u: CR0 %#x", i, rm_a);
	}
}

static void test_segments(void)
{
	*(volatile uint32_t *)0x20010 = 0x11112222;
	*(volatile uint32_t *)0x100100 ^= 0; /* in our image, whatever it is */
	run(rm_segments);
	CHECK_EQ(rm_a, 0x11112222);
	CHECK_EQ(rm_b, *(volatile uint32_t *)0x20010);
	CHECK_EQ(rm_c, *(volatile uint32_t *)0x100100);
}

static void test_far(void)
{
	run(rm_far);
	CHECK_EQ(rm_a, 0);
	CHECK_EQ(rm_b, 0x800);
	CHECK_EQ(rm_c, 0);
}

static void test_unreal(void)
{
	volatile uint32_t *p = (volatile uint32_t *)0x300000;

	p[0] = 0x55667788;
	p[1] = 0;
	run(rm_unreal);
	CHECK_EQ(rm_a, 0x55667788);
	CHECK_EQ(p[1], 0x1badcafe);
	CHECK_EQ(rm_b, ioapic_read(IOAPIC_VERSION));
	CHECK_EQ(rm_c, 0x1badcafe);
}

static void test_int(void)
{
	vector_set(0x60, rm_int_handler);
	run(rm_int);
	CHECK_EQ(rm_a, 0x1235);
	CHECK_EQ(rm_b & 0xffff, (uint32_t)rm_int_back & 0xffff);
	CHECK(rm_b >> 16 & 1, "CF is not in the pushed flags %#x", rm_b >> 16);
	CHECK_EQ(rm_c - rm_d, 6);
}

static void test_divide(void)
{
	vector_set(0, rm_div_handler);
	run(rm_divide);
	CHECK_EQ(rm_b, 1);
	CHECK_EQ(rm_a, (uint32_t)rm_div_at & 0xffff);
}

/*
 * A PC gives one interrupt for each turn of the timer, and drops what comes while one waits. Whoever runs
 * the machine may stop it for a while just before CLI, which lets in another, so time says how many may come.
 */
static void test_halt(void)
{
	uint32_t most;
	uint64_t start;

	vector_set(8, rm_tick);
	pic_setup(8, 0xfffe);
	lapic_write(LAPIC_LVT_LINT0, RTE_EXTINT);
	(void)tsc_per_ms();
	start = rdtsc();
	pit_set(0, 2, PIT_HZ / 1000);
	run(rm_halt);
	/* The TSC's rate is measured, and not well when the machine stood still meanwhile. */
	most = (uint32_t)((rdtsc() - start) * 9 / 8 / tsc_per_ms());
	pic_setup(VEC_PIC, 0xffff);
	lapic_write(LAPIC_LVT_LINT0, LVT_MASKED);
	CHECK(rm_a == 5 || (rm_a > 5 && rm_a <= most), "%u ticks, expected 5 to %u", rm_a, most);
}

static void test_io(void)
{
	run(rm_io);
	CHECK_EQ(rm_a, 0x6c);
	CHECK_EQ(rm_b, 0x80000000);
	CHECK_EQ(rm_c, cpuid(0, 0).b);
	CHECK_EQ(rm_d, (uint32_t)rdmsr(MSR_APIC_BASE));
}

static void test_string(void)
{
	run(rm_string);
	CHECK_EQ(rm_a, 0x12340000 + (uint32_t)rm_text + 3);
	CHECK_EQ(rm_b, 0x56780000);
	CHECK_EQ(rm_c, 'c');
}

const struct test guest_tests[] = {
	{"state", test_state},
	{"many", test_many},
	{"segments", test_segments},
	{"far", test_far},
	{"unreal", test_unreal},
	{"int", test_int},
	{"divide", test_divide},
	{"halt", test_halt},
	{"io", test_io},
	{"string", test_string},
	{NULL, NULL},
};
