/* INS and OUTS in every shape, against the UART in loopback (a FIFO of 16 bytes) and the PCI address port. */
#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/pc.h"
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/trap.h"
#include "hv/base/string.h"

#define UART     0x3f8
#define UART_LCR (UART + 3)
#define UART_MCR (UART + 4)
#define UART_LSR (UART + 5)
#define UART_SCR (UART + 7)
#define PCI_ADDR 0xcf8
#define PCI_DATA 0xcfc

/* What is sent comes back: 16550 data sheet, modem control register bit 4. */
static void loop_on(void)
{
	while (!(inb(UART_LSR) & 0x40))
		cpu_pause();
	outb(UART + 2, 0x07);
	outb(UART_MCR, 0x10);
	while (inb(UART_LSR) & 1)
		(void)inb(UART);
}

/* Everything sent has come back, or a while has passed. */
static void loop_wait(void)
{
	(void)WAIT(inb(UART_LSR) & 0x40, 1000);
	delay_us(500);
}

static void loop_off(void)
{
	outb(UART_MCR, 0x03);
	outb(UART + 2, 0x07);
}

/* Takes what came back; false when it is not exactly `want`. Leaves loopback, so that text can be printed. */
static void loop_expect(const char *what, const char *want)
{
	char got[20];
	unsigned n = 0;

	loop_wait();
	while (n < sizeof(got) - 1 && (inb(UART_LSR) & 1))
		got[n++] = (char)inb(UART);
	got[n] = '\0';
	loop_off();
	CHECK(!strcmp(got, want), "%s: '%s' came back, '%s' was sent", what, got, want);
}

static void test_outsb(void)
{
	const char *from = "abcdefgh", *at = from;
	uint32_t count = 8;

	loop_on();
	asm volatile("cld; rep outsb" : "+S"(at), "+c"(count) : "d"(UART) : "memory");
	loop_expect("rep outsb", "abcdefgh");
	CHECK(at == from + 8 && count == 0, "ESI moved by %d, ECX %u", (int)(at - from), count);
	from = at = "xy";
	loop_on();
	asm volatile("outsb" : "+S"(at) : "d"(UART) : "memory");
	loop_expect("outsb", "x");
	CHECK(at == from + 1, "ESI moved by %d", (int)(at - from));
}

static void test_outsb_down(void)
{
	const char *from = "abcdefgh", *at = from + 7;
	uint32_t count = 8;

	loop_on();
	asm volatile("std; rep outsb; cld" : "+S"(at), "+c"(count) : "d"(UART) : "memory");
	loop_expect("std; rep outsb", "hgfedcba");
	CHECK(at == from - 1 && count == 0, "ESI moved by %d, ECX %u", (int)(at - from), count);
}

static void test_insb(void)
{
	char to[8] = "........", *at = to + 1;
	const char *from = "123456";
	uint32_t count = 6;

	loop_on();
	asm volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(UART) : "memory");
	loop_wait();
	count = 6;
	asm volatile("rep insb" : "+D"(at), "+c"(count) : "d"(UART) : "memory");
	loop_off();
	CHECK(!memcmp(to, ".123456.", 8), "read '%.8s'", to);
	CHECK(at == to + 7 && count == 0, "EDI moved by %d, ECX %u", (int)(at - to), count);
}

static void test_insb_down(void)
{
	char to[8] = "........", *at = to + 6;
	const char *from = "123456";
	uint32_t count = 6;

	loop_on();
	asm volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(UART) : "memory");
	loop_wait();
	count = 6;
	asm volatile("std; rep insb; cld" : "+D"(at), "+c"(count) : "d"(UART) : "memory");
	loop_off();
	CHECK(!memcmp(to, ".654321.", 8), "read '%.8s'", to);
	CHECK(at == to, "EDI moved to %d", (int)(at - to));
}

/* The address port is a 32-bit register: what went out last is read by every INSL. */
static void test_dwords(void)
{
	uint32_t values[3] = {0x80000000, 0x80000800, 0x80001004}, *at = values, got[4];
	uint32_t count = 3, *to = got;

	asm volatile("rep outsl" : "+S"(at), "+c"(count) : "d"(PCI_ADDR) : "memory");
	CHECK(at == values + 3 && count == 0, "ESI moved by %d dwords", (int)(at - values));
	CHECK_EQ(inl(PCI_ADDR), 0x80001004);
	count = 4;
	asm volatile("rep insl" : "+D"(to), "+c"(count) : "d"(PCI_ADDR) : "memory");
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(got[i], 0x80001004);
	CHECK(to == got + 4 && count == 0, "EDI moved by %d dwords", (int)(to - got));
	outl(PCI_ADDR, 0);
}

/* Words from the host bridge's configuration space. */
static void test_words(void)
{
	uint16_t got[4] = {0}, *to = got, want;
	uint32_t count = 4;

	outl(PCI_ADDR, 0x80000000);
	want = inw(PCI_DATA + 2);
	asm volatile("rep insw" : "+D"(to), "+c"(count) : "d"(PCI_DATA + 2) : "memory");
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(got[i], want);
	CHECK(to == got + 4, "EDI moved by %d words", (int)(to - got));
	to = got + 3;
	count = 2;
	asm volatile("std; rep insw; cld" : "+D"(to), "+c"(count) : "d"(PCI_DATA + 2) : "memory");
	CHECK(to == got + 1, "EDI moved to word %d", (int)(to - got));
	outl(PCI_ADDR, 0);
}

static void test_count_zero(void)
{
	const char *at = (const char *)0xd0000000;
	uint32_t count = 0;

	outb(UART_SCR, 0x5a);
	CHECK_EQ(TRY("rep outsb", "+S"(at), "+c"(count) : "d"(UART_SCR) : "memory"), -1);
	CHECK_EQ(inb(UART_SCR), 0x5a);
	CHECK(at == (const char *)0xd0000000 && count == 0, "ESI %p ECX %u", at, count);
	CHECK_EQ(TRY("rep insb", "+D"(at), "+c"(count) : "d"(UART_SCR) : "memory"), -1);
	CHECK(at == (const char *)0xd0000000 && count == 0, "EDI %p ECX %u", at, count);
}

/* Address size 16: only SI and CX count and change. */
static void test_addr16(void)
{
	char *low = (char *)LOW_TEST_PAGE;
	uint32_t at = 0xabc00000 | LOW_TEST_PAGE, count = 0x12340004;

	memcpy(low, "wxyz", 4);
	loop_on();
	asm volatile("rep; .byte 0x67; outsb" : "+S"(at), "+c"(count) : "d"(UART) : "memory");
	loop_expect("addr16 rep outsb", "wxyz");
	CHECK_EQ(at, 0xabc00000 | (LOW_TEST_PAGE + 4));
	CHECK_EQ(count, 0x12340000);
}

/* The source's segment can be overridden; its base counts. */
static void test_segment(void)
{
	static char text[] = "0123456789";
	uint32_t at = 4, count = 5;

	gdt_set(SEL_TEST, (uint32_t)text, 9, 0x93, 4);
	asm volatile("movl %0, %%gs" : : "r"(SEL_TEST));
	loop_on();
	asm volatile("rep outsb %%gs:(%%esi), %%dx" : "+S"(at), "+c"(count) : "d"(UART) : "memory");
	loop_expect("gs rep outsb", "45678");
	CHECK(at == 9 && count == 0, "ESI %u ECX %u", at, count);
	if (!machine.tcg) { /* QEMU checks no segment limits */
		at = 8;
		count = 4;
		loop_on();
		CHECK_EQ(TRY("rep outsb %%gs:(%%esi), %%dx", "+S"(at), "+c"(count)
			     : "d"(UART)
			     : "memory"),
			 VEC_GP);
		loop_expect("to the limit", "89");
		CHECK(at == 10 && count == 2, "ESI %u ECX %u at the limit", at, count);
		CHECK(trap_last.error == 0 && trap_last.eip_offset == 0, "error %#x EIP +%u",
		      trap_last.error, trap_last.eip_offset);
	}
	asm volatile("movl %0, %%gs" : : "r"(SEL_DATA32));
}

/* Two RAM pages for the window, filled with letters. */
static uint8_t frames[2][4096] ALIGNED(4096);

static void window_on(unsigned pages)
{
	for (unsigned i = 0; i < 4096; i++) {
		frames[0][i] = (uint8_t)('a' + i % 26);
		frames[1][i] = (uint8_t)('A' + i % 26);
	}
	paging_on();
	for (unsigned i = 0; i < pages; i++)
		*window_pte(i) = (uint32_t)frames[1 - i] | PTE_W | PTE_P;
	barrier();
}

/* Linear pages next to each other, physical pages in the other order. */
static void test_page_cross(void)
{
	char *at = (char *)WINDOW + 4092, want[9] = {0};
	uint32_t count = 8;

	window_on(2);
	for (unsigned i = 0; i < 8; i++)
		want[i] = at[i];
	loop_on();
	asm volatile("rep outsb" : "+S"(at), "+c"(count) : "d"(UART) : "memory");
	paging_off();
	loop_expect("across pages", want);
	CHECK_EQ(want[4], 'a');
}

static void test_dword_cross(void)
{
	uint32_t *at = (uint32_t *)(WINDOW + 4094), *to = at;
	uint32_t count = 1;

	window_on(2);
	*at = 0x80001234;
	barrier(); /* the compiler does not know that the frames have changed */
	CHECK_EQ(frames[1][4095] << 8 | frames[1][4094], 0x1234);
	CHECK_EQ(frames[0][1] << 8 | frames[0][0], 0x8000);
	asm volatile("rep outsl" : "+S"(at), "+c"(count) : "d"(PCI_ADDR) : "memory");
	CHECK_EQ(inl(PCI_ADDR), 0x80001234);
	*to = 0;
	asm volatile("insl" : "+D"(to) : "d"(PCI_ADDR) : "memory");
	CHECK_EQ(*(uint32_t *)(WINDOW + 4094), 0x80001234);
	outl(PCI_ADDR, 0);
	paging_off();
}

static volatile uint32_t faults, fault_cr2, fault_esi, fault_edi, fault_ecx, fault_error;

static void map_second(struct regs *r)
{
	faults++;
	fault_cr2 = read_cr2();
	fault_ecx = r->ecx;
	fault_esi = r->esi;
	fault_edi = r->edi;
	fault_error = r->error;
	*window_pte(1) = (uint32_t)frames[0] | PTE_W | PTE_P;
	invlpg((void *)(WINDOW + 4096));
}

/* The second page is missing: the bytes before it are out, registers say so, then it resumes. */
static void test_fault_out(void)
{
	char *at = (char *)WINDOW + 4093;
	uint32_t count = 7;

	window_on(1);
	trap_hook(VEC_PF, map_second);
	faults = 0;
	memcpy(&frames[1][4093], "end", 3);
	memcpy(&frames[0][0], "next", 4);
	loop_on();
	asm volatile("rep outsb" : "+S"(at), "+c"(count) : "d"(UART) : "memory");
	paging_off();
	loop_expect("over a fault", "endnext");
	CHECK_EQ(faults, 1);
	CHECK_EQ(fault_cr2, WINDOW + 4096);
	CHECK_EQ(fault_esi, WINDOW + 4096);
	CHECK_EQ(fault_ecx, 4);
	CHECK_EQ(fault_error, 0);
	CHECK(count == 0 && at == (char *)WINDOW + 4100, "ECX %u ESI %p", count, at);
}

static void test_fault_in(void)
{
	uint32_t *at = (uint32_t *)(WINDOW + 4088), count = 4;

	window_on(1);
	trap_hook(VEC_PF, map_second);
	faults = 0;
	outl(PCI_ADDR, 0x80000804);
	asm volatile("rep insl" : "+D"(at), "+c"(count) : "d"(PCI_ADDR) : "memory");
	CHECK_EQ(faults, 1);
	CHECK_EQ(fault_cr2, WINDOW + 4096);
	CHECK_EQ(fault_edi, WINDOW + 4096);
	CHECK_EQ(fault_ecx, 2);
	CHECK_EQ(fault_error, PF_W);
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(((uint32_t *)(WINDOW + 4088))[i], 0x80000804);
	CHECK(count == 0 && at == (uint32_t *)(WINDOW + 4104), "ECX %u EDI %p", count, at);
	outl(PCI_ADDR, 0);
	paging_off();
}

/* Into a page that is write-protected. */
static void test_read_only(void)
{
	char *at = (char *)WINDOW + 16;
	uint32_t count = 3;

	window_on(1);
	*window_pte(0) = (uint32_t)frames[1] | PTE_P;
	invlpg((void *)WINDOW);
	write_cr0(read_cr0() | CR0_WP);
	CHECK_EQ(TRY("rep insb", "+D"(at), "+c"(count) : "d"(UART_SCR) : "memory"), VEC_PF);
	CHECK_EQ(trap_last.error, PF_P | PF_W);
	CHECK_EQ(trap_last.cr2, WINDOW + 16);
	CHECK(at == (char *)WINDOW + 16 && count == 3, "EDI %p ECX %u", at, count);
	paging_off();
}

/* A long one: more than a hypervisor would do in one go. */
static void test_long(void)
{
	static uint32_t sink[3000];
	uint32_t *to = sink, count = ARRAY_LEN(sink);

	outl(PCI_ADDR, 0x80000008);
	asm volatile("rep insl" : "+D"(to), "+c"(count) : "d"(PCI_ADDR) : "memory");
	CHECK(count == 0 && to == sink + ARRAY_LEN(sink), "ECX %u", count);
	for (unsigned i = 0; i < ARRAY_LEN(sink); i++)
		REQUIRE(sink[i] == 0x80000008, "dword %u is %#x", i, sink[i]);
	outl(PCI_ADDR, 0);
}

/* Ports that nobody answers read ones. */
static void test_open_bus(void)
{
	uint8_t got[3] = {0}, *to = got;
	uint32_t count = 3;

	CHECK_EQ(inb(0x1234), 0xff);
	CHECK_EQ(inw(0x1234), 0xffff);
	CHECK_EQ(inl(0x1234), 0xffffffff);
	asm volatile("rep insb" : "+D"(to), "+c"(count) : "d"(0x1234) : "memory");
	CHECK_EQ(got[0] & got[1] & got[2], 0xff);
}

const struct test guest_tests[] = {
	{"outsb", test_outsb},
	{"outsb-down", test_outsb_down},
	{"insb", test_insb},
	{"insb-down", test_insb_down},
	{"dwords", test_dwords},
	{"words", test_words},
	{"count-zero", test_count_zero},
	{"addr16", test_addr16},
	{"segment", test_segment},
	{"page-cross", test_page_cross},
	{"dword-cross", test_dword_cross},
	{"fault-out", test_fault_out},
	{"fault-in", test_fault_in},
	{"read-only", test_read_only},
	{"long", test_long},
	{"open-bus", test_open_bus},
	{NULL, NULL},
};
