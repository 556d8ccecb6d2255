/*
 * What an exit costs, in TSC ticks. Lines `bench NAME total loop_overhead per_op`, all for so many turns;
 * per_op has the empty loop subtracted. On Bochs a tick is about an instruction, so the numbers repeat
 * exactly there and say how many instructions the hypervisor spends.
 */
#include "tests/guest/lib/apic.h"
#include "tests/guest/lib/pc.h"
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/trap.h"

/* Pages above this have not been touched by the image or its loader. */
#define FRESH_FROM 0x1000000u

static uint32_t loops = 10000; /* unless rounds= says otherwise */
static uint64_t overhead;

static void report(const char *name, uint64_t total, uint32_t turns)
{
	uint64_t base = overhead * turns / loops;

	print("bench %-16s %10llu %8llu %8llu\n", name, total, base,
	      (total > base ? total - base : 0) / turns);
}

/* `body` `loops` times; it may use EAX, EBX, ECX and EDX. */
#define MEASURE(body)                                                                  \
	({                                                                             \
		uint64_t start_ = rdtsc();                                             \
		for (uint32_t i_ = 0; i_ < loops; i_++)                                \
			asm volatile(body : : : "eax", "ebx", "ecx", "edx", "memory"); \
		rdtsc() - start_;                                                      \
	})

#define BENCH(name, body) report(name, MEASURE(body), loops)

static void test_loop(void)
{
	loops = test_rounds(loops);
	overhead = MEASURE("");
	report("empty", overhead, loops);
}

static void test_cpuid(void)
{
	BENCH("cpuid", "xorl %%eax, %%eax; xorl %%ecx, %%ecx; cpuid");
}

static void test_ports(void)
{
	BENCH("out-0x80", "outb %%al, $0x80");
	BENCH("in-0x61", "inb $0x61, %%al");
	BENCH("in-open-bus", "movw $0x1234, %%dx; inb %%dx, %%al");
}

static void test_lapic(void)
{
	lapic_write(LAPIC_TPR, 0);
	BENCH("apic-tpr-write", "movl $0, 0xfee00080");
	BENCH("apic-tpr-read", "movl 0xfee00080, %%eax");
	BENCH("apic-id-read", "movl 0xfee00020, %%eax");
	BENCH("apic-timer-read", "movl 0xfee00390, %%eax");
	BENCH("apic-eoi", "movl $0, 0xfee000b0");
	BENCH("ioapic-read", "movl 0xfec00010, %%eax");
}

static void eoi_only(struct regs *r)
{
	lapic_eoi();
}

/* A self-IPI from the write of ICR to its handler's EOI. */
static void test_self_ipi(void)
{
	trap_hook(VEC_USER, eoi_only);
	irq_on();
	BENCH("self-ipi", "movl $0x40040, 0xfee00300; nop");
	irq_off();
	CHECK(trap_count[VEC_USER] == loops || (machine.doubles && trap_count[VEC_USER] > loops),
	      "%u interrupts", trap_count[VEC_USER]);
}

/* The timer's one-shot interrupt wakes a halted CPU: armed at 1 tick, so the wait itself is small. */
static void test_halt(void)
{
	trap_hook(VEC_USER, eoi_only);
	lapic_write(LAPIC_TIMER_DIVIDE, 0xb);
	lapic_write(LAPIC_LVT_TIMER, VEC_USER);
	BENCH("halt-wake", "movl $1000, 0xfee00380; sti; hlt; cli");
	CHECK(trap_count[VEC_USER] >= loops, "%u wakes", trap_count[VEC_USER]);
}

static void test_msr(void)
{
	BENCH("rdmsr-apic-base", "movl $0x1b, %%ecx; rdmsr");
	BENCH("rdtsc", "rdtsc");
}

/* 5 is KVM's wake-up of the CPU with the APIC id in ECX: of this one, which is awake. */
#define HYPERCALLS(insn)                                                                  \
	do {                                                                              \
		uint32_t a_ = 0x7fff;                                                     \
                                                                                          \
		if (TRY(insn, "+a"(a_) : : "ebx", "ecx", "edx", "memory") != -1)          \
			test_skip("no hypercalls");                                       \
		BENCH("hypercall-kick", "movl $5, %%eax; xorl %%ebx, %%ebx; xorl %%ecx, " \
					"%%ecx; " insn);                                  \
		BENCH("hypercall-none", "movl $0x7fff, %%eax; " insn);                    \
	} while (0)

static void test_hypercall(void)
{
	if (machine.amd)
		HYPERCALLS("vmmcall");
	else
		HYPERCALLS("vmcall");
}

/* The first touch of a page nobody has used. */
static void test_fresh_pages(void)
{
	uint32_t end = MIN(machine.ram_top, FRESH_FROM + loops * 4096),
		 pages = (end - FRESH_FROM) / 4096;
	uint64_t total;

	if (machine.ram_top <= FRESH_FROM + 64 * 4096)
		test_skip("too little RAM");
	total = rdtsc();
	for (uint32_t at = FRESH_FROM; at < end; at += 4096)
		*(volatile uint32_t *)at = 1;
	report("fresh-page-write", rdtsc() - total, pages);
	total = rdtsc();
	for (uint32_t at = FRESH_FROM; at < end; at += 4096)
		*(volatile uint32_t *)at = 2;
	report("used-page-write", rdtsc() - total, pages);
}

static volatile uint32_t pongs;

static void on_ping(struct regs *r)
{
	lapic_eoi();
	lapic_ipi(cpu_get(0)->apic_id, VEC_USER + 2);
}

static void on_pong(struct regs *r)
{
	pongs++;
	lapic_eoi();
}

static volatile uint32_t leave;

static void serve(void *arg)
{
	irq_on();
	while (!leave)
		;
	irq_off();
}

/* To another CPU and back, both busy. */
static void test_ipi(void)
{
	const uint32_t turns = 1000;
	uint64_t total;

	smp_start_all(2);
	leave = pongs = 0;
	trap_hook(VEC_USER + 1, on_ping);
	trap_hook(VEC_USER + 2, on_pong);
	smp_call(1, serve, NULL);
	irq_on();
	total = rdtsc();
	for (uint32_t i = 1; i <= turns; i++) {
		lapic_ipi(cpu_get(1)->apic_id, VEC_USER + 1);
		while (pongs < i)
			;
	}
	report("ipi-round-trip", rdtsc() - total, turns);
	leave = 1;
	smp_wait(1, 5000);
	irq_off();
}

const struct test guest_tests[] = {
	{"loop", test_loop},
	{"cpuid", test_cpuid},
	{"ports", test_ports},
	{"lapic", test_lapic},
	{"self-ipi", test_self_ipi},
	{"halt", test_halt},
	{"msr", test_msr},
	{"hypercall", test_hypercall},
	{"fresh-pages", test_fresh_pages},
	{"ipi", test_ipi},
	{NULL, NULL},
};
