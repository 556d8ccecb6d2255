/*
 * Every exception that can be provoked, with its error code and the address it reports, and debug
 * traps and interrupt shadows around instructions a hypervisor has to emulate. SDM vol. 3, chapter 6.
 */
#include "tests/guest/lib/apic.h"
#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/trap.h"

static void expect(int vector, int want, uint32_t error, uint32_t eip_offset)
{
	CHECK(vector == want, "vector %d, expected %d", vector, want);
	if (vector == want) {
		CHECK(trap_last.error == error, "vector %d: error %#x, expected %#x", vector,
		      trap_last.error, error);
		CHECK(trap_last.eip_offset == eip_offset, "vector %d: EIP +%u, expected +%u",
		      vector, trap_last.eip_offset, eip_offset);
		CHECK(trap_last.cs == SEL_CODE32, "CS %#x", trap_last.cs);
	}
}

static void test_de(void)
{
	expect(TRY("divl %%ecx", : "a"(1), "d"(0), "c"(0)), VEC_DE, 0, 0);
	expect(TRY("idivl %%ecx", : "a"(0), "d"(0x40000000), "c"(-1)), VEC_DE, 0, 0);
	expect(TRY("aam $0", : "a"(1)), VEC_DE, 0, 0);
}

static void test_bp(void)
{
	expect(TRY("int3", :), VEC_BP, 0, 1);
	expect(TRY(".byte 0xcd, 3", :), VEC_BP, 0, 2);
}

static void test_of(void)
{
	expect(TRY("movb $0x7f, %%al; incb %%al; into", : : "eax"), VEC_OF, 0, 5);
	CHECK_EQ(TRY("xorl %%eax, %%eax; into", : : "eax"), -1);
}

static void test_br(void)
{
	int32_t bounds[2] = {-3, 5};

	expect(TRY("boundl %%eax, (%%ecx)", : "a"(6), "c"(bounds) : "memory"), VEC_BR, 0, 0);
	expect(TRY("boundl %%eax, (%%ecx)", : "a"(-4), "c"(bounds) : "memory"), VEC_BR, 0, 0);
	CHECK_EQ(TRY("boundl %%eax, (%%ecx)", : "a"(5), "c"(bounds) : "memory"), -1);
}

static void test_ud(void)
{
	expect(TRY("ud2", :), VEC_UD, 0, 0);
	expect(TRY(".byte 0xf0, 0x90", :), VEC_UD, 0, 0);               /* LOCK NOP */
	expect(TRY(".byte 0x0f, 0x20, 0xc8", : : "eax"), VEC_UD, 0, 0); /* from CR1 */
	expect(TRY(".byte 0x8e, 0xc8", :), VEC_UD, 0, 0);               /* to CS */
}

static void test_nm(void)
{
	uint32_t old = read_cr0();

	write_cr0(old | CR0_TS);
	expect(TRY("fnop", :), VEC_NM, 0, 0);
	asm volatile("clts");
	CHECK(!(read_cr0() & CR0_TS), "CLTS leaves TS set");
	CHECK_EQ(TRY("fnop", :), -1);
	write_cr0(old | CR0_EM);
	expect(TRY("fnop", :), VEC_NM, 0, 0);
	write_cr0(old | CR0_TS | CR0_MP);
	expect(TRY("fwait", :), VEC_NM, 0, 0);
	write_cr0(old);
}

static void test_segment_loads(void)
{
	gdt_set(SEL_TEST, 0, 0xfffff, 0x13, 0xc); /* not present data */
	expect(TRY("movl %0, %%fs", : "r"(SEL_TEST)), VEC_NP, SEL_TEST, 0);
	expect(TRY("movl %0, %%ss", : "r"(SEL_TEST)), VEC_SS, SEL_TEST, 0);
	expect(TRY("movl %0, %%fs", : "r"(0x7f8)), VEC_GP, 0x7f8, 0); /* beyond the limit */
	expect(TRY("movl %0, %%ss", : "r"(0)), VEC_GP, 0, 0);
	expect(TRY("movl %0, %%fs", : "r"(SEL_TEST | 4)), VEC_GP, SEL_TEST | 4, 0); /* no LDT */
	gdt_set(SEL_TEST, 0, 0xfffff, 0x99, 0xc); /* execute-only code */
	expect(TRY("movl %0, %%fs", : "r"(SEL_TEST)), VEC_GP, SEL_TEST, 0);
	asm volatile("movl %0, %%fs" : : "r"(SEL_DATA32));
}

static void test_segment_limits(void)
{
	uint32_t v;

	if (machine.tcg_cpu)
		test_skip("QEMU checks no segment limits");
	gdt_set(SEL_TEST, 0x1000, 0xfff, 0x93, 4); /* 4 KiB at 4 KiB, byte granular */
	asm volatile("movl %0, %%fs" : : "r"(SEL_TEST));
	CHECK_EQ(TRY("movl %%fs:0xffc, %0", "=r"(v)), -1);
	expect(TRY("movl %%fs:0xffd, %0", "=r"(v)), VEC_GP, 0, 0);
	expect(TRY("movl %%ecx, %%fs:0x1000", : "c"(0)), VEC_GP, 0, 0);
	gdt_set(SEL_TEST, 0x1000, 0xfff, 0x91, 4); /* read-only */
	asm volatile("movl %0, %%fs" : : "r"(SEL_TEST));
	expect(TRY("movl %%ecx, %%fs:0", : "c"(0)), VEC_GP, 0, 0);
	asm volatile("movl %0, %%fs" : : "r"(0));
	expect(TRY("movl %%fs:0, %0", "=r"(v)), VEC_GP, 0, 0);
	asm volatile("movl %0, %%fs" : : "r"(SEL_DATA32));
}

/* Outside a stack segment's limit: #SS with error code 0. */
static void test_stack_limit(void)
{
	uint32_t stack = read_esp();
	int vector;

	if (machine.tcg_cpu)
		test_skip("QEMU checks no segment limits");
	/* The limit lies above everything of ours, far below the address used. */
	gdt_set(SEL_TEST, 0, 0x2ffff, 0x93, 0xc);
	vector = TRY("movl %0, %%ss\n"
		     "movl %%ss:0x70000000, %%ecx",
		     : "r"(SEL_TEST)
		     : "ecx");
	asm volatile("movl %0, %%ss" : : "r"(SEL_DATA32));
	CHECK_EQ(vector, VEC_SS);
	CHECK_EQ(trap_last.error, 0);
	CHECK_EQ(trap_last.eip_offset, 2);
	CHECK(read_esp() == stack, "ESP moved");
}

static void test_gp(void)
{
	CHECK_EQ(TRY("int $0x30", :), -1);
	trap_gate_set(0x30, 0, 0, 0);
	/* Vector 0x30 in the IDT: bit 1; SDM vol. 3, 6.13. */
	expect(TRY("int $0x30", :), VEC_GP, 0x30 * 8 + 2, 0);
	trap_gate_set(0x30, 0, SEL_CODE32, GATE_INT32 & 0x7f);
	expect(TRY("int $0x30", :), VEC_NP, 0x30 * 8 + 2, 0);
	trap_gate_reset(0x30);
	if (machine.tcg_cpu)
		return;                                             /* QEMU takes both of these */
	expect(TRY("movl %0, %%cr0", : "r"(CR0_PG)), VEC_GP, 0, 0); /* PG without PE */
	expect(TRY("ltr %w0", : "r"(0)), VEC_GP, 0, 0);
}

static volatile uint32_t user_word[4];

static void user_cli(void)
{
	asm volatile("cli");
}

static void user_out(void)
{
	asm volatile("outb %al, $0x80");
}

static void user_hlt(void)
{
	asm volatile("hlt");
}

static void user_int(void)
{
	asm volatile("int $0x31");
}

static void user_int3(void)
{
	asm volatile("int3");
}

static void user_cr3(void)
{
	asm volatile("mov %cr3, %eax");
}

static void user_unaligned(void)
{
	asm volatile("movl %0, %%eax"
		     :
		     : "m"(*(volatile uint32_t *)((uint32_t)user_word + 1))
		     : "eax");
}

static void test_user(void)
{
	static const struct {
		void (*entry)(void);
		int vector;
		uint32_t error;
	} cases[] = {
		{user_cli, VEC_GP, 0},     {user_out, VEC_GP, 0},  {user_hlt, VEC_GP, 0},
		{user_int, VEC_GP, 0x18a}, {user_int3, VEC_BP, 0}, {user_cr3, VEC_GP, 0},
	};

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		int vector = user_run(cases[i].entry, 0);

		CHECK(vector == cases[i].vector && trap_last.error == cases[i].error,
		      "case %u: vector %d error %#x, expected %d %#x", i, vector, trap_last.error,
		      cases[i].vector, cases[i].error);
		CHECK(trap_last.cs == SEL_USER_CS, "case %u: CS %#x", i, trap_last.cs);
	}
}

static void test_ac(void)
{
	int vector;

	if (machine.tcg_cpu)
		test_skip("QEMU has no alignment check");
	vector = user_run(user_unaligned, EFLAGS_AC);
	CHECK(vector != VEC_AC, "#AC with CR0.AM clear");
	write_cr0(read_cr0() | CR0_AM);
	vector = user_run(user_unaligned, EFLAGS_AC);
	CHECK(vector == VEC_AC && trap_last.error == 0, "vector %d, error %#x", vector,
	      trap_last.error);
	write_cr0(read_cr0() & ~CR0_AM);
}

static void test_pf(void)
{
	uint32_t v, address = WINDOW + 0x123;

	paging_on();
	expect(TRY("movl (%1), %0", "=r"(v) : "r"(address)), VEC_PF, 0, 0);
	CHECK_EQ(trap_last.cr2, address);
	expect(TRY("movl %1, (%0)", : "r"(address), "r"(1) : "memory"), VEC_PF, PF_W, 0);
	CHECK_EQ(trap_last.cr2, address);
	if (!machine.tcg_cpu) /* which reads first */
		expect(TRY("lock; incl (%0)", : "r"(address) : "memory"), VEC_PF, PF_W, 0);
	paging_off();
}

/* #GP cannot be delivered for want of its gate: #NP while delivering #GP makes #DF. */
static void test_df(void)
{
	int vector;

	trap_gate_set(VEC_GP, 0, SEL_CODE32, GATE_INT32 & 0x7f);
	vector = TRY("movl %0, %%fs", : "r"(0x7f8));
	CHECK(vector == VEC_DF && trap_last.error == 0, "vector %d, error %#x", vector,
	      trap_last.error);
	trap_gate_reset(VEC_GP);
}

/* #NP while delivering #PF makes #DF too; a benign #UD is just replaced. SDM vol. 3, table 6-5 */
static void test_df_after_pf(void)
{
	int vector;
	uint32_t v;

	paging_on();
	trap_gate_set(VEC_PF, 0, SEL_CODE32, GATE_INT32 & 0x7f);
	vector = TRY("movl (%1), %0", "=r"(v) : "r"(WINDOW));
	CHECK(vector == VEC_DF && trap_last.error == 0, "vector %d, error %#x", vector,
	      trap_last.error);
	CHECK_EQ(trap_last.cr2, WINDOW);
	trap_gate_reset(VEC_PF);
	paging_off();
	trap_gate_set(VEC_UD, 0, SEL_CODE32, GATE_INT32 & 0x7f);
	vector = TRY("ud2", :);
	CHECK(vector == VEC_NP && (trap_last.error & ~1u) == VEC_UD * 8 + 2, "vector %d, error %#x",
	      vector, trap_last.error);
	trap_gate_reset(VEC_UD);
}

static void test_mf(void)
{
	uint16_t control = 0x37b; /* divide by zero unmasked */
	int vector;

	write_cr0(read_cr0() | CR0_NE | CR0_MP);
	asm volatile("fninit; fldcw %0" : : "m"(control));
	vector = TRY("fld1; fldz; fdivrp; fwait", :);
	CHECK(vector == VEC_MF, "vector %d", vector);
	CHECK_EQ(trap_last.eip_offset, 6);
	asm volatile("fnclex; fninit");
}

static void test_xm(void)
{
	uint32_t mxcsr = 0x1f80 & ~0x200u, old = read_cr4();
	int vector;

	if (!(cpuid(1, 0).d & BIT32(25)))
		test_skip("no SSE");
	if (machine.tcg_cpu)
		test_skip("QEMU raises no unmasked SSE exceptions");
	write_cr4(old | BIT32(9) | BIT32(10)); /* OSFXSR, OSXMMEXCPT */
	asm volatile("ldmxcsr %0" : : "m"(mxcsr));
	vector = TRY("movl $0x3f800000, %%eax; movd %%eax, %%xmm0; xorps %%xmm1, %%xmm1\n"
		     "divss %%xmm1, %%xmm0",
		     :
		     : "eax");
	CHECK(vector == VEC_XM, "vector %d", vector);
	CHECK_EQ(trap_last.eip_offset, 12);
	mxcsr = 0x1f80;
	asm volatile("ldmxcsr %0" : : "m"(mxcsr));
	write_cr4(old);
}

/* x87 and SSE registers survive exits. */
static void test_fpu_state(void)
{
	uint32_t old = read_cr4(), value = 0x40490fdb, x87 = 0, sse = 0;

	if (!(cpuid(1, 0).d & BIT32(25)))
		test_skip("no SSE");
	write_cr4(old | BIT32(9));
	asm volatile("fninit; flds %2; movss %2, %%xmm3\n"
		     "movl $0, %%eax; cpuid; outb %%al, $0x80; movl 0xfee00020, %%eax\n"
		     "fstps %0; movss %%xmm3, %1"
		     : "=m"(x87), "=m"(sse)
		     : "m"(value)
		     : "eax", "ebx", "ecx", "edx");
	CHECK_EQ(x87, value);
	CHECK_EQ(sse, value);
	write_cr4(old);
}

/* PUSHFL, ORL $0x100 in 7 bytes, POPFL: the trap comes after the instruction behind these. */
#define TF_ON     "pushfl; orl $0x100, (%%esp); popfl\n"
#define TF_ON_LEN 9

#define STEP_OVER(insn, length, ...)                                         \
	do {                                                                 \
		write_dr6(0xffff0ff0);                                       \
		expect(TRY(TF_ON insn "\nnop; nop", __VA_ARGS__), VEC_DB, 0, \
		       TF_ON_LEN + (length));                                \
		CHECK(read_dr6() & BIT32(14), insn ": DR6 %#x", read_dr6()); \
	} while (0)

static void test_step_plain(void)
{
	STEP_OVER("nop", 1, :);
	STEP_OVER("incl %%eax", 1, : : "eax");
}

static void test_step_cpuid(void)
{
	uint32_t a = 0, c = 0;

	STEP_OVER("cpuid", 2, "+a"(a), "+c"(c) : : "ebx", "edx");
}

static void test_step_io(void)
{
	STEP_OVER("outb %%al, $0x80", 2, : "a"(0));
	STEP_OVER("inb $0x61, %%al", 2, : : "eax");
}

static void test_step_msr(void)
{
	STEP_OVER("rdmsr", 2, : "c"(MSR_APIC_BASE) : "eax", "edx");
	STEP_OVER("wrmsr", 2, : "c"(MSR_APIC_BASE), "A"(rdmsr(MSR_APIC_BASE)));
}

static void test_step_mmio(void)
{
	STEP_OVER("movl %%eax, 0xfee00080", 5, : "a"(0) : "memory");
	STEP_OVER("movl 0xfec00000, %%eax", 5, : : "eax", "memory");
	STEP_OVER("orl $0, 0xfec00000", 7, : : "memory");
}

static void test_step_cr(void)
{
	STEP_OVER("movl %%eax, %%cr0", 3, : "a"(read_cr0() ^ CR0_MP) : "memory");
	STEP_OVER("movl %%eax, %%cr4", 3, : "a"(read_cr4()) : "memory");
	STEP_OVER("wbinvd", 2, : : "memory");
}

/* Each iteration of a repeated string instruction is a step of its own. */
static void test_step_rep(void)
{
	uint32_t count = 3;
	const char *from = "xyz";

	STEP_OVER("rep outsb", 0, "+c"(count), "+S"(from) : "d"(0x80) : "memory");
	CHECK_EQ(count, 2);
}

/* SDM vol. 3, 6.8.3: MOV to SS holds the trap back until after the next instruction. */
static void test_step_mov_ss(void)
{
	uint32_t a = 0, c = 0;

	STEP_OVER("movl %%eax, %%ss; nop", 3, : "a"(SEL_DATA32));
	STEP_OVER("movl %%esi, %%ss; cpuid", 4, "+a"(a), "+c"(c) : "S"(SEL_DATA32) : "ebx", "edx");
}

static volatile uint32_t irq_eip;

static void note_eip(struct regs *r)
{
	irq_eip = r->eip;
	lapic_eoi();
}

/* With an interrupt pending, `insn` behind STI runs before it is taken. */
#define SHADOW(insn, length, ...)                                                                \
	do {                                                                                     \
		trap_hook(VEC_USER, note_eip);                                                   \
		irq_eip = 0;                                                                     \
		lapic_ipi(0, ICR_SELF | VEC_USER);                                               \
		CHECK_EQ(TRY("sti; " insn "\nnop; nop; cli", __VA_ARGS__), -1);                  \
		CHECK(irq_eip - trap_at == 1 + (length), "sti; " insn ": EIP +%u, expected +%u", \
		      irq_eip - trap_at, 1 + (length));                                          \
	} while (0)

static void test_sti_shadow(void)
{
	uint32_t a = 0, c = 0;

	SHADOW("nop", 1, :);
	SHADOW("cpuid", 2, "+a"(a), "+c"(c) : : "ebx", "edx");
	SHADOW("outb %%al, $0x80", 2, : "a"(0));
	SHADOW("inb $0x61, %%al", 2, : : "eax");
	SHADOW("rdmsr", 2, : "c"(MSR_APIC_BASE) : "eax", "edx");
	SHADOW("movl 0xfec00000, %%eax", 5, : : "eax", "memory");
	SHADOW("hlt", 1, :);
}

/* STI with interrupts on already has no shadow; STI; CLI lets nothing through. */
static void test_sti_cli(void)
{
	trap_hook(VEC_USER, note_eip);
	irq_eip = 0;
	lapic_ipi(0, ICR_SELF | VEC_USER);
	asm volatile("sti; cli");
	CHECK_EQ(irq_eip, 0);
	asm volatile("sti; nop; cli");
	CHECK(irq_eip, "not taken afterwards");
}

static void test_breakpoint(void)
{
	uint32_t target;

	asm volatile("movl $2f, %0; jmp 3f; 2: cpuid; 3:"
		     : "=r"(target)
		     :
		     : "eax", "ebx", "ecx", "edx");
	asm volatile("movl %0, %%dr0" : : "r"(target));
	write_dr6(0xffff0ff0);
	write_dr7(0x402);
	CHECK_EQ(TRY("jmp *%%edi", : "D"(target) : "eax", "ebx", "ecx", "edx"), VEC_DB);
	write_dr7(0x400);
	CHECK_EQ(trap_last.eip, target);
	CHECK_EQ(read_dr6() & 0xf, 1);
}

static volatile uint32_t db_hits;

static void resume_db(struct regs *r)
{
	db_hits++;
	r->eflags |= EFLAGS_RF;
}

/* RF in the returned flags lets the instruction at a breakpoint run once. */
static void test_resume_flag(void)
{
	uint32_t a;

	trap_hook(VEC_DB, resume_db);
	db_hits = 0;
	asm volatile("movl $2f, %%eax; movl %%eax, %%dr0; movl $0x402, %%eax; movl %%eax, %%dr7\n"
		     "xorl %%eax, %%eax; xorl %%ecx, %%ecx\n"
		     "2: cpuid; movl $0x400, %%ecx; movl %%ecx, %%dr7"
		     : "=a"(a)
		     :
		     : "ebx", "ecx", "edx", "memory");
	CHECK_EQ(db_hits, 1);
	CHECK(a >= 1, "CPUID did not run");
}

static void test_watchpoint(void)
{
	static volatile uint32_t watched;

	asm volatile("movl %0, %%dr1" : : "r"(&watched));
	write_dr6(0xffff0ff0);
	write_dr7(0x00d00408); /* DR1: 4 bytes, on writes, global */
	CHECK_EQ(TRY("movl $1, (%0)\nnop", : "r"(&watched) : "memory"), VEC_DB);
	write_dr7(0x400);
	CHECK_EQ(trap_last.eip_offset, 6); /* a trap: behind the instruction */
	CHECK_EQ(read_dr6() & 0xf, 2);
	CHECK_EQ(watched, 1);
}

static void test_icebp(void)
{
	if (machine.tcg_cpu)
		test_skip("QEMU knows no ICEBP");
	expect(TRY(".byte 0xf1", :), VEC_DB, 0, 1);
}

static volatile uint32_t nmi_depth, nmi_nested, nmi_total;

static void on_nmi(struct regs *r)
{
	nmi_total++;
	if (nmi_depth++)
		nmi_nested++;
	if (nmi_total == 1) {
		lapic_ipi(lapic_id(), ICR_NMI);
		for (volatile unsigned i = 0; i < 10000; i++)
			;
	}
	nmi_depth--;
}

/* A second NMI waits for the first one's IRET. */
static void test_nmi_blocking(void)
{
	nmi_depth = nmi_nested = nmi_total = 0;
	trap_hook(VEC_NMI, on_nmi);
	lapic_ipi(lapic_id(), ICR_NMI);
	for (volatile unsigned i = 0; i < 100000 && nmi_total < 2; i++)
		;
	CHECK_EQ(nmi_total, 2);
	CHECK_EQ(nmi_nested, 0);
}

const struct test guest_tests[] = {
	{"de", test_de},
	{"bp", test_bp},
	{"of", test_of},
	{"br", test_br},
	{"ud", test_ud},
	{"nm", test_nm},
	{"segment-loads", test_segment_loads},
	{"segment-limits", test_segment_limits},
	{"stack-limit", test_stack_limit},
	{"gp", test_gp},
	{"user", test_user},
	{"ac", test_ac},
	{"pf", test_pf},
	{"df", test_df},
	{"df-after-pf", test_df_after_pf},
	{"mf", test_mf},
	{"xm", test_xm},
	{"fpu-state", test_fpu_state},
	{"step-plain", test_step_plain},
	{"step-cpuid", test_step_cpuid},
	{"step-io", test_step_io},
	{"step-msr", test_step_msr},
	{"step-mmio", test_step_mmio},
	{"step-cr", test_step_cr},
	{"step-rep", test_step_rep},
	{"step-mov-ss", test_step_mov_ss},
	{"sti-shadow", test_sti_shadow},
	{"sti-cli", test_sti_cli},
	{"breakpoint", test_breakpoint},
	{"resume-flag", test_resume_flag},
	{"watchpoint", test_watchpoint},
	{"icebp", test_icebp},
	{"nmi-blocking", test_nmi_blocking},
	{NULL, NULL},
};
