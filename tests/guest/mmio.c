/*
 * Memory that is not RAM: device registers reached by every common instruction form, addresses with
 * nothing behind them, and the borders between RAM and what is not.
 */
#include "tests/guest/lib/apic.h"
#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/trap.h"
#include "hv/base/string.h"

/* Backed by nothing on any machine we run on. */
#define HOLE 0xd0000000u

#define TPR_TEXT   "0xfee00080"
#define INDEX_TEXT "0xfec00000"

/*
 * Two registers that hold any 8 bits: the local APIC's task priority (interrupts are off, so any value
 * is safe), which hardware may virtualize, and the IOAPIC's index, which it never does.
 */
static volatile uint32_t *const registers[] = {
	(volatile uint32_t *)(LAPIC_BASE + LAPIC_TPR),
	(volatile uint32_t *)IOAPIC_BASE,
};

static uint32_t tpr(void)
{
	return *registers[0];
}

static void tpr_set(uint32_t v)
{
	*registers[0] = v;
}

/* The one under test, and how assembly reaches it. */
static volatile uint32_t *reg;
#define REG "(%%edi)"

static void both(void (*test)(void))
{
	for (unsigned i = 0; i < ARRAY_LEN(registers); i++) {
		reg = registers[i];
		test();
	}
	tpr_set(0);
}

static void test_mov(void)
{
	uint32_t v = 0x31;

	asm volatile("movl %0, (%1)" : : "r"(v), "r"(LAPIC_BASE + LAPIC_TPR) : "memory");
	CHECK_EQ(tpr(), 0x31);
	asm volatile("movl $0x42, (%0)" : : "r"(LAPIC_BASE + LAPIC_TPR) : "memory");
	CHECK_EQ(tpr(), 0x42);
	asm volatile("movl $0x53, " TPR_TEXT : : : "memory");
	CHECK_EQ(tpr(), 0x53);
	asm volatile("movl %%eax, " TPR_TEXT : : "a"(0x64) : "memory"); /* moffs */
	CHECK_EQ(tpr(), 0x64);
	asm volatile("movl " TPR_TEXT ", %%eax" : "=a"(v));
	CHECK_EQ(v, 0x64);
	asm volatile("movl " TPR_TEXT ", %%edi" : "=D"(v));
	CHECK_EQ(v, 0x64);
	asm volatile("movl 0x80(%1, %2, 4), %0" : "=r"(v) : "r"(LAPIC_BASE - 0x40), "r"(0x10));
	CHECK_EQ(v, 0x64);
}

/* By byte and word. The local APIC promises dwords only, the IOAPIC's index register takes all. */
static void test_extend(void)
{
	uint32_t v;

	*(volatile uint32_t *)IOAPIC_BASE = 0xf5;
	asm volatile("movzbl " INDEX_TEXT ", %0" : "=r"(v));
	CHECK_EQ(v, 0xf5);
	asm volatile("movsbl " INDEX_TEXT ", %0" : "=r"(v));
	CHECK_EQ(v, 0xfffffff5);
	asm volatile("movzwl " INDEX_TEXT ", %0" : "=r"(v));
	CHECK_EQ(v, 0xf5);
	asm volatile("movb " INDEX_TEXT ", %b0" : "=q"(v) : "0"(0x12345678));
	CHECK_EQ(v, 0x123456f5);
	asm volatile("movw " INDEX_TEXT ", %w0" : "=r"(v) : "0"(0x12345678));
	CHECK_EQ(v, 0x123400f5);
}

static void exchange(void)
{
	uint32_t v = 0x21;

	*reg = 0x55;
	asm volatile("xchgl %0, " REG : "+r"(v) : "D"(reg) : "memory");
	CHECK_EQ(v, 0x55);
	CHECK_EQ(*reg, 0x21);
	v = 2;
	asm volatile("lock; xaddl %0, " REG : "+r"(v) : "D"(reg) : "memory");
	CHECK_EQ(v, 0x21);
	CHECK_EQ(*reg, 0x23);
	v = 0x23;
	asm volatile("lock; cmpxchgl %1, " REG : "+a"(v) : "r"(0x77), "D"(reg) : "memory");
	CHECK_EQ(*reg, 0x77);
	v = 0x23;
	asm volatile("lock; cmpxchgl %1, " REG : "+a"(v) : "r"(0x99), "D"(reg) : "memory");
	CHECK_EQ(v, 0x77);
	CHECK_EQ(*reg, 0x77);
}

static void test_exchange(void)
{
	both(exchange);
}

/* Read, change, write in one instruction, ECX being 0x0f; the flags count as well. */
#define RMW(before, insn, after, flags_on, flags_off)                                         \
	do {                                                                                  \
		uint32_t flags_;                                                              \
		*reg = before;                                                                \
		asm volatile(insn "; pushfl; popl %0"                                         \
			     : "=r"(flags_)                                                   \
			     : "c"(0x0f), "D"(reg)                                            \
			     : "memory", "cc");                                               \
		CHECK(*reg == (after), insn ": %#x, expected %#x at %p", *reg, (after), reg); \
		CHECK((flags_ & (flags_on)) == (flags_on) && !(flags_ & (flags_off)),         \
		      insn ": flags %#x at %p", flags_, reg);                                 \
	} while (0)

#define ZF 0x40u
#define SF 0x80u

static void arithmetic(void)
{
	RMW(0x50, "orl $0x05, " REG, 0x55u, 0u, ZF | SF | EFLAGS_CF);
	RMW(0x50, "orl %%ecx, " REG, 0x5fu, 0u, ZF);
	RMW(0x5f, "andl $0xf0, " REG, 0x50u, 0u, ZF);
	RMW(0x50, "andl %%ecx, " REG, 0u, ZF, SF);
	RMW(0x50, "addl $0x11, " REG, 0x61u, 0u, ZF | EFLAGS_CF);
	RMW(0x50, "addl %%ecx, " REG, 0x5fu, 0u, ZF);
	RMW(0x51, "subl $0x51, " REG, 0u, ZF, EFLAGS_CF);
	RMW(0x50, "xorl $0x50, " REG, 0u, ZF, 0u);
	RMW(0x50, "xorl %%ecx, " REG, 0x5fu, 0u, ZF);
	RMW(0x50, "incl " REG, 0x51u, 0u, ZF);
	RMW(0x50, "decl " REG, 0x4fu, 0u, ZF);
	RMW(0x50, "lock; orl $1, " REG, 0x51u, 0u, ZF);
	RMW(0x50, "stc; adcl $1, " REG, 0x52u, 0u, ZF);
	RMW(0x50, "stc; sbbl $1, " REG, 0x4eu, 0u, ZF);
}

static void test_arithmetic(void)
{
	both(arithmetic);
}

static void bits(void)
{
	RMW(0x50, "btl $4, " REG, 0x50u, EFLAGS_CF, 0u);
	RMW(0x50, "btl $5, " REG, 0x50u, 0u, EFLAGS_CF);
	RMW(0x50, "btsl $0, " REG, 0x51u, 0u, EFLAGS_CF);
	RMW(0x50, "btrl $6, " REG, 0x10u, EFLAGS_CF, 0u);
	RMW(0x50, "btcl $6, " REG, 0x10u, EFLAGS_CF, 0u);
	RMW(0x50, "notl " REG "; andl $0xff, " REG, 0xafu, 0u, ZF);
	RMW(0x14, "shll $2, " REG, 0x50u, 0u, ZF | EFLAGS_CF);
	RMW(0x50, "shrl $4, " REG, 0x05u, 0u, ZF | EFLAGS_CF);
	RMW(0x58, "shrl $4, " REG, 0x05u, EFLAGS_CF, ZF);
	RMW(0x50, "sarl " REG, 0x28u, 0u, ZF | EFLAGS_CF);
}

static void test_bits(void)
{
	both(bits);
}

static void compare(void)
{
	RMW(0x50, "cmpl $0x50, " REG, 0x50u, ZF, EFLAGS_CF);
	RMW(0x50, "cmpl $0x51, " REG, 0x50u, EFLAGS_CF | SF, ZF);
	RMW(0x50, "cmpl %%ecx, " REG, 0x50u, 0u, ZF | EFLAGS_CF);
	RMW(0x50, "cmpl " REG ", %%ecx", 0x50u, EFLAGS_CF, ZF);
	RMW(0x50, "testl $0x40, " REG, 0x50u, 0u, ZF);
	RMW(0x50, "testl $0x0f, " REG, 0x50u, ZF, 0u);
	RMW(0x50, "testl %%ecx, " REG, 0x50u, ZF, 0u);
}

static void test_compare(void)
{
	both(compare);
}

/* A general register is the destination, the device the source. */
#define LOAD(start, insn, result)                                                              \
	do {                                                                                   \
		uint32_t v_ = start;                                                           \
		asm volatile(insn : "+r"(v_) : "D"(reg) : "cc");                               \
		CHECK(v_ == (result), "%s: %#x, expected %#x at %p", insn, v_, (result), reg); \
	} while (0)

static void source(void)
{
	*reg = 0x21;
	LOAD(0x100, "addl " REG ", %0", 0x121u);
	LOAD(0x100, "orl " REG ", %0", 0x121u);
	LOAD(0x1f0, "andl " REG ", %0", 0x20u);
	LOAD(0x121, "subl " REG ", %0", 0x100u);
	LOAD(0x121, "xorl " REG ", %0", 0x100u);
	LOAD(3, "imull " REG ", %0", 0x63u);
	LOAD(0, "imull $3, " REG ", %0", 0x63u);
	LOAD(0, "imull $-3, " REG ", %0", (uint32_t)-0x63);
	LOAD(7, "stc; cmovcl " REG ", %0", 0x21u);
	LOAD(7, "clc; cmovcl " REG ", %0", 7u);
	LOAD(7, "stc; cmovncl " REG ", %0", 7u);
}

static void test_source(void)
{
	both(source);
	/* SETcc stores a byte, which the local APIC does not promise to take. */
	asm volatile("stc; setc " INDEX_TEXT : : : "memory");
	CHECK_EQ(*registers[1], 1);
	asm volatile("stc; setnc " INDEX_TEXT : : : "memory");
	CHECK_EQ(*registers[1], 0);
}

static void push_pop(void)
{
	uint32_t v, esp = read_esp();

	*reg = 0x35;
	asm volatile("pushl " REG "; popl %0" : "=r"(v) : "D"(reg) : "memory");
	CHECK_EQ(v, 0x35);
	asm volatile("pushl $0x46; popl " REG : : "D"(reg) : "memory");
	CHECK_EQ(*reg, 0x46);
	CHECK_EQ(read_esp(), esp);
}

static void test_push_pop(void)
{
	both(push_pop);
}

static void strings(void)
{
	uint32_t buf[4] = {0x11, 0x22, 0x33, 0x44}, got[4], v;
	const volatile void *from = buf;
	volatile void *to = reg;
	bool equal;

	asm volatile("movsl" : "+S"(from), "+D"(to) : : "memory");
	CHECK_EQ(*reg, 0x11);
	CHECK(from == buf + 1 && to == reg + 1, "ESI %p EDI %p", from, to);
	from = reg;
	to = got;
	asm volatile("movsl" : "+S"(from), "+D"(to) : : "memory");
	CHECK_EQ(got[0], 0x11);
	to = reg;
	asm volatile("stosl" : "+D"(to) : "a"(0x57) : "memory");
	CHECK_EQ(*reg, 0x57);
	from = reg;
	asm volatile("lodsl" : "=a"(v), "+S"(from));
	CHECK_EQ(v, 0x57);
	to = reg;
	asm volatile("scasl" : "+D"(to), "=@ccz"(equal) : "a"(0x57) : "memory");
	CHECK(equal && to == reg + 1, "SCAS: equal %d, EDI %p", equal, to);
	buf[0] = 0x58;
	from = buf;
	to = reg;
	asm volatile("cmpsl" : "+S"(from), "+D"(to), "=@ccz"(equal) : : "memory");
	CHECK(!equal && from == buf + 1 && to == reg + 1, "CMPS: equal %d, ESI %p EDI %p", equal,
	      from, to);
}

static void test_strings(void)
{
	both(strings);
}

/* From and to a hole: the count runs out, what was there is all ones. */
static void test_rep_strings(void)
{
	static uint32_t buf[64];
	const void *from = (void *)HOLE;
	void *to = buf;
	uint32_t count = ARRAY_LEN(buf);

	asm volatile("rep movsl" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
	CHECK(count == 0 && from == (void *)(HOLE + 256) && to == buf + 64, "ECX %u ESI %p EDI %p",
	      count, from, to);
	if (!machine.tcg)
		CHECK(buf[0] == 0xffffffff && buf[63] == 0xffffffff, "%#x, %#x", buf[0], buf[63]);
	from = buf;
	to = (void *)HOLE;
	count = ARRAY_LEN(buf);
	asm volatile("rep movsl" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
	CHECK(count == 0 && to == (void *)(HOLE + 256), "ECX %u EDI %p", count, to);
	to = (void *)(HOLE + 0x1000);
	count = 33;
	asm volatile("std; rep stosb; cld" : "+D"(to), "+c"(count) : "a"(0) : "memory");
	CHECK(count == 0 && to == (void *)(HOLE + 0x1000 - 33), "ECX %u EDI %p", count, to);
}

/* Scans end where they find, or where the count does. */
static void test_scans(void)
{
	static uint8_t ones[64];
	const void *from = ones;
	void *to = (void *)HOLE;
	uint32_t count = 10;
	bool equal;

	if (machine.tcg)
		test_skip("QEMU reads zeros");
	memset(ones, 0xff, sizeof(ones));
	ones[20] = 0x12;
	barrier();
	asm volatile("repe scasb" : "+D"(to), "+c"(count), "=@ccz"(equal) : "a"(0xff) : "memory");
	CHECK(equal && count == 0 && to == (void *)(HOLE + 10), "equal %d ECX %u EDI %p", equal,
	      count, to);
	count = 10;
	asm volatile("repne scasb" : "+D"(to), "+c"(count), "=@ccz"(equal) : "a"(0xff) : "memory");
	CHECK(equal && count == 9 && to == (void *)(HOLE + 11), "equal %d ECX %u EDI %p", equal,
	      count, to);
	to = (void *)HOLE;
	count = 64;
	asm volatile("repe cmpsb" : "+S"(from), "+D"(to), "+c"(count), "=@ccz"(equal) : : "memory");
	CHECK(!equal && count == 64 - 21 && from == ones + 21 && to == (void *)(HOLE + 21),
	      "equal %d ECX %u ESI %p EDI %p", equal, count, from, to);
}

/* Index and window of the IOAPIC, by byte and by dword. */
static void test_ioapic(void)
{
	uint32_t id = ioapic_read(IOAPIC_ID);

	asm volatile("movb $1, 0xfec00000" : : : "memory");
	CHECK_EQ(*(volatile uint32_t *)(IOAPIC_BASE + 0x10), ioapic_read(IOAPIC_VERSION));
	ioapic_write(IOAPIC_ID, 0x0a000000);
	CHECK_EQ(ioapic_read(IOAPIC_ID) & 0x0f000000, 0x0a000000);
	*(volatile uint32_t *)IOAPIC_BASE = IOAPIC_ID;
	asm volatile("andl $0xf5ffffff, 0xfec00010" : : : "memory");
	CHECK_EQ(ioapic_read(IOAPIC_ID) & 0x0f000000, 0);
	ioapic_write(IOAPIC_ID, id);
}

/* Registers and flags that no access should touch stay. */
static void test_registers_stay(void)
{
	uint32_t a = 0xa1a1a1a1, b = 0xb2b2b2b2, c = 0xc3c3c3c3, d = 0xd4d4d4d4, s = 0xe5e5e5e5,
		 flags;

	asm volatile("pushl %%ebp; movl $0xf6f6f6f6, %%ebp; stc\n"
		     "movl $0x10, " TPR_TEXT "\n"
		     "pushfl; popl %%edi; cmpl $0xf6f6f6f6, %%ebp; popl %%ebp; je 1f\n"
		     "movl $0, %%edi\n"
		     "1:"
		     : "+a"(a), "+b"(b), "+c"(c), "+d"(d), "+S"(s), "=D"(flags)
		     :
		     : "memory");
	CHECK_EQ(a, 0xa1a1a1a1);
	CHECK_EQ(b, 0xb2b2b2b2);
	CHECK_EQ(c, 0xc3c3c3c3);
	CHECK_EQ(d, 0xd4d4d4d4);
	CHECK_EQ(s, 0xe5e5e5e5);
	CHECK(flags & EFLAGS_CF, "EBP or CF has changed: flags %#x", flags);
}

/* The instruction itself lies across a page. */
static void test_code_across_pages(void)
{
	static uint8_t code[2 * 4096] ALIGNED(4096);
	/* movl $0x29, 0xfee00080; ret */
	static const uint8_t insn[] = {0xc7, 0x05, 0x80, 0x00, 0xe0, 0xfe, 0x29, 0, 0, 0, 0xc3};

	for (unsigned at = 4096 - sizeof(insn); at <= 4096; at++) {
		memcpy(code + at, insn, sizeof(insn));
		tpr_set(0);
		asm volatile("call *%0" : : "r"(code + at) : "memory");
		CHECK(tpr() == 0x29, "at page offset %#x: %#x", at, tpr());
	}
}

/* With paging on, by a page that maps the registers, and with a small segment. */
static void test_mapped(void)
{
	uint32_t v;

	tpr_set(0x37);
	paging_on();
	*window_pte(3) = LAPIC_BASE | PTE_W | PTE_P;
	asm volatile("movl %1, %0" : "=r"(v) : "m"(*(volatile uint32_t *)(WINDOW + 0x3080)));
	CHECK_EQ(v, 0x37);
	*(volatile uint32_t *)(WINDOW + 0x3080) = 0x48;
	CHECK_EQ(tpr(), 0x48);
	/* Writing where the guest's own table says read-only is the guest's fault, not a device access. */
	*window_pte(3) = LAPIC_BASE | PTE_P;
	invlpg((void *)(WINDOW + 0x3000));
	write_cr0(read_cr0() | CR0_WP);
	CHECK_EQ(TRY("movl $1, (%0)", : "r"(WINDOW + 0x3080) : "memory"), VEC_PF);
	CHECK_EQ(trap_last.error, PF_P | PF_W);
	CHECK_EQ(tpr(), 0x48);
	paging_off();
	gdt_set(SEL_TEST, LAPIC_BASE, 0x3ff, 0x93, 4);
	asm volatile("movl %0, %%fs; movl $0x59, %%fs:0x80" : : "r"(SEL_TEST) : "memory");
	CHECK_EQ(tpr(), 0x59);
	asm volatile("movl %0, %%fs" : : "r"(SEL_DATA32));
}

/* --- Nothing there --- */

static void test_hole(void)
{
	volatile uint32_t *p = (volatile uint32_t *)HOLE;
	uint32_t v = 5;

	*p = 0x12345678;
	*(volatile uint8_t *)(HOLE + 1) = 1;
	*(volatile uint16_t *)(HOLE + 2) = 2;
	if (machine.tcg)
		test_skip("QEMU reads zeros");
	CHECK_EQ(*p, 0xffffffff);
	CHECK_EQ(*(volatile uint8_t *)(HOLE + 7), 0xff);
	CHECK_EQ(*(volatile uint16_t *)(HOLE + 0xffe), 0xffff);
	asm volatile("xchgl %0, (%1)" : "+r"(v) : "r"(HOLE) : "memory");
	CHECK_EQ(v, 0xffffffff);
	asm volatile("lock; incl (%0)" : : "r"(HOLE) : "memory");
	CHECK_EQ(*p, 0xffffffff);
	/* Across two pages of the hole. */
	CHECK_EQ(*(volatile uint32_t *)(HOLE + 0xffe), 0xffffffff);
	*(volatile uint32_t *)(HOLE + 0xffe) = 0;
}

static void test_vga_hole(void)
{
	if (!machine.amalgam)
		test_skip("a PC has its screen memory there");
	*(volatile uint32_t *)0xa0000 = 0;
	CHECK_EQ(*(volatile uint32_t *)0xa0000, 0xffffffff);
	CHECK_EQ(*(volatile uint32_t *)0xbfffc, 0xffffffff);
	/* RAM begins below it and, for firmware tables, above it. */
	*(volatile uint32_t *)0x9fffc = 0x13572468;
	CHECK_EQ(*(volatile uint32_t *)0x9fffc, 0x13572468);
	CHECK_EQ(*(volatile uint32_t *)0x9fffe & 0xffff, 0x1357);
	CHECK_EQ(*(volatile uint32_t *)0x9fffe >> 16, 0xffff);
}

/* --- Borders --- */

/* A dword across `border` is the four bytes there, one by one; so is a store. */
static void check_border(uint32_t border)
{
	for (uint32_t at = border - 3; at < border; at++) {
		volatile uint8_t *byte = (volatile uint8_t *)at;
		uint32_t bytes = 0, old = *(volatile uint32_t *)at, got;

		for (unsigned i = 0; i < 4; i++)
			bytes |= (uint32_t)byte[i] << 8 * i;
		CHECK(old == bytes, "at %#x: dword %#x, bytes %#x", at, old, bytes);
		*(volatile uint32_t *)at = 0x5ac3b41d;
		for (unsigned i = 0; at + i < border; i++)
			CHECK(byte[i] == (uint8_t)(0x5ac3b41d >> 8 * i), "at %#x: byte %u is %#x",
			      at, i, byte[i]);
		got = 0;
		for (unsigned i = 0; i < 4; i++)
			got |= (uint32_t)byte[i] << 8 * i;
		CHECK_EQ(*(volatile uint32_t *)at, got);
		*(volatile uint32_t *)at = old;
	}
}

static void test_ram_end(void)
{
	check_border(machine.ram_top);
	if (!machine.amalgam)
		return; /* firmware's own RAM may follow */
	CHECK_EQ(*(volatile uint32_t *)(machine.ram_top & ~4095u), 0xffffffff);
	*(volatile uint32_t *)(machine.ram_top - 4) = 0x600d600d;
	CHECK_EQ(*(volatile uint32_t *)(machine.ram_top - 4), 0x600d600d);
	CHECK_EQ(*(volatile uint32_t *)(machine.ram_top - 2), 0xffff600d);
}

static void test_large_page_border(void)
{
	check_border(0x400000);
	check_border(0x600000);
	check_border(0x801000);
}

/* Code runs over the border, too: the instruction that leaves RAM is tested in bad.c. */
static void test_code_at_large_page_border(void)
{
	static const uint8_t insn[] = {0xb8, 0x78, 0x56,
				       0x34, 0x12, 0xc3}; /* movl $0x12345678, %eax; ret */
	uint32_t v;

	for (unsigned at = 0x600000 - sizeof(insn); at <= 0x600000; at++) {
		memcpy((void *)at, insn, sizeof(insn));
		asm volatile("call *%1" : "=a"(v) : "r"(at) : "memory");
		CHECK_EQ(v, 0x12345678);
	}
}

/* Every page holds its own address, and nobody else's. */
static void test_all_ram(void)
{
	for (uint32_t at = 0x800000; at + 4096 <= machine.ram_top; at += 4096) {
		*(volatile uint32_t *)at = at ^ 0xa5a5a5a5;
		*(volatile uint32_t *)(at + 4092) = ~at;
	}
	for (uint32_t at = 0x800000; at + 4096 <= machine.ram_top; at += 4096)
		REQUIRE(*(volatile uint32_t *)at == (at ^ 0xa5a5a5a5) &&
				*(volatile uint32_t *)(at + 4092) == ~at,
			"page %#x holds %#x and %#x", at, *(volatile uint32_t *)at,
			*(volatile uint32_t *)(at + 4092));
}

const struct test guest_tests[] = {
	{"mov", test_mov},
	{"extend", test_extend},
	{"exchange", test_exchange},
	{"arithmetic", test_arithmetic},
	{"bits", test_bits},
	{"compare", test_compare},
	{"source", test_source},
	{"push-pop", test_push_pop},
	{"strings", test_strings},
	{"rep-strings", test_rep_strings},
	{"scans", test_scans},
	{"ioapic", test_ioapic},
	{"registers-stay", test_registers_stay},
	{"code-across-pages", test_code_across_pages},
	{"mapped", test_mapped},
	{"hole", test_hole},
	{"vga-hole", test_vga_hole},
	{"ram-end", test_ram_end},
	{"large-page-border", test_large_page_border},
	{"code-at-large-page-border", test_code_at_large_page_border},
	{"all-ram", test_all_ram},
	{NULL, NULL},
};
