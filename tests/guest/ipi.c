/* Between CPUs: start-up, every way to address an interrupt, and the order of stores before it. */
#include "tests/guest/lib/apic.h"
#include "tests/guest/lib/pc.h"
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/trap.h"
#include "hv/base/string.h"

#define VEC_IPI  0x51
#define VEC_PONG 0x52

static volatile uint32_t taken[MAX_CPUS]; /* interrupts by CPU index */
static volatile uint32_t leave, ready;

static void count(struct regs *r)
{
	taken[cpu_self()->index]++;
	lapic_eoi();
}

static void eoi_only(struct regs *r)
{
	lapic_eoi();
}

static void count_nmi(struct regs *r)
{
	taken[cpu_self()->index]++;
}

/* What the other CPUs do meanwhile: take interrupts, half of them asleep. */
static void serve(void *arg)
{
	const uint32_t *logical = arg;

	if (logical) {
		lapic_write(LAPIC_DFR, logical[0]);
		lapic_write(LAPIC_LDR, logical[1 + cpu_self()->index] << 24);
	}
	atomic_add(&ready, 1);
	while (!leave) {
		if (cpu_self()->index % 2) {
			irq_sleep();
		} else {
			irq_on();
			cpu_pause();
			irq_off();
		}
	}
}

static void begin(const void *logical)
{
	smp_start_all(2);
	leave = ready = 0;
	memset((void *)taken, 0, sizeof(taken));
	trap_hook(VEC_IPI, count);
	trap_hook(VEC_USER, eoi_only);
	for (unsigned i = 1; i < cpu_count; i++)
		smp_call(i, serve, (void *)logical);
	REQUIRE(WAIT(ready == cpu_count - 1, 5000), "%u CPUs are ready", ready);
	irq_on();
}

static void end(void)
{
	leave = 1;
	fence();
	lapic_ipi(0, ICR_OTHERS | VEC_USER); /* wakes who sleeps */
	for (unsigned i = 1; i < cpu_count; i++)
		smp_wait(i, 5000);
	irq_off();
}

/* Each CPU's count reaches 1 where its bit is set in `mask`, and stays 0 elsewhere. */
static void expect(const char *what, uint32_t mask)
{
	for (unsigned i = 0; i < cpu_count; i++)
		if (mask >> i & 1)
			CHECK(WAIT(taken[i] == 1, 5000), "%s: CPU %u got %u", what, i, taken[i]);
	delay_us(200);
	for (unsigned i = 0; i < cpu_count; i++) {
		CHECK(taken[i] == (mask >> i & 1), "%s: CPU %u got %u", what, i, taken[i]);
		taken[i] = 0;
	}
}

/* SDM vol. 3, table 10-1 (state after INIT) and 9.4.4.1; the processor starts at vector << 12. */
static void test_startup_state(void)
{
	struct ap_report *r = &ap_report;

	if (cpu_count < 2)
		test_skip("one CPU");
	memset(r, 0xaa, sizeof(*r));
	if (cpu_get(1)->online)
		smp_stop(1);
	REQUIRE(smp_start(1), "does not start");
	CHECK_EQ(r->cs, LOW_CODE >> 4);
	CHECK_EQ(r->ip, 0);
	CHECK_EQ(r->ds | r->es | r->fs | r->gs | r->ss, 0);
	CHECK_EQ(r->cr0 & ~(CR0_CD | CR0_NW), CR0_ET);
	CHECK_EQ(r->cr2 | r->cr3 | r->cr4, 0);
	CHECK_EQ(r->eflags & ~0x8d5u, 2); /* all but the arithmetic flags, which code has changed */
	CHECK_EQ(r->eax | r->ebx | r->ecx | r->esi | r->edi | r->ebp | r->esp, 0);
	if (!machine.tcg)
		CHECK_EQ(r->idt_limit, 0xffff);
	CHECK_EQ(r->idt_base, 0);
	CHECK_EQ(r->gdt_base, 0);
}

/* A stub that writes its CS and a cookie into its own page and halts; it runs wherever it lies. */
asm(".section .low, \"awx\"\n"
    ".code16\n"
    "stub: cli\n"
    "movw %cs, %cs:(stub_cs - stub)\n"
    "movl $0x600df00d, %cs:(stub_cookie - stub)\n"
    "1: hlt\n"
    "jmp 1b\n"
    ".balign 4\n"
    "stub_cs: .word 0\n"
    ".balign 4\n"
    "stub_cookie: .long 0\n"
    "stub_end:\n"
    ".code32\n"
    ".previous\n");

extern uint8_t stub[], stub_cs[], stub_cookie[], stub_end[];

static void test_startup_vectors(void)
{
	static const uint8_t vectors[] = {0x11, 0x40, 0x79};

	if (cpu_count < 2)
		test_skip("one CPU");
	for (unsigned i = 0; i < ARRAY_LEN(vectors); i++) {
		uint8_t *page = (uint8_t *)(vectors[i] << 12);
		volatile uint32_t *cookie = (volatile uint32_t *)(page + (stub_cookie - stub));

		memcpy(page, stub, (size_t)(stub_end - stub));
		smp_stop(1);
		lapic_ipi(cpu_get(1)->apic_id, ICR_STARTUP | ICR_ASSERT | vectors[i]);
		CHECK(WAIT(*cookie == 0x600df00d, 5000), "vector %#x does not run", vectors[i]);
		CHECK_EQ(*(uint16_t *)(page + (stub_cs - stub)), vectors[i] << 8);
	}
	smp_stop(1);
}

/* A start-up IPI to a CPU that runs is ignored. */
static void test_startup_running(void)
{
	begin(NULL);
	lapic_ipi(cpu_get(1)->apic_id, ICR_STARTUP | ICR_ASSERT | 0x11);
	delay_us(2000);
	lapic_ipi(cpu_get(1)->apic_id, VEC_IPI);
	expect("after a start-up IPI", 1u << 1);
	end();
}

static void test_physical(void)
{
	begin(NULL);
	for (unsigned i = 0; i < cpu_count; i++) {
		lapic_ipi(cpu_get(i)->apic_id, VEC_IPI);
		expect("physical", 1u << i);
	}
	lapic_ipi(0xff, VEC_IPI);
	expect("physical broadcast", (1u << cpu_count) - 1);
	end();
}

static void test_shorthand(void)
{
	const uint32_t all = (1u << cpu_count) - 1;

	begin(NULL);
	lapic_ipi(0, ICR_SELF | VEC_IPI);
	expect("self", 1);
	lapic_ipi(0, ICR_ALL | VEC_IPI);
	expect("all", all);
	lapic_ipi(0, ICR_OTHERS | VEC_IPI);
	expect("others", all & ~1u);
	end();
}

static void test_logical_flat(void)
{
	static uint32_t ids[1 + MAX_CPUS] = {0xffffffff};
	const unsigned n = MIN(cpu_count, 8u);

	for (unsigned i = 0; i < n; i++)
		ids[1 + i] = 1u << i;
	lapic_write(LAPIC_DFR, ids[0]);
	lapic_write(LAPIC_LDR, ids[1] << 24);
	begin(ids);
	for (unsigned i = 0; i < n; i++) {
		lapic_ipi(1u << i, ICR_LOGICAL | VEC_IPI);
		expect("flat, one", 1u << i);
	}
	lapic_ipi(3, ICR_LOGICAL | VEC_IPI);
	expect("flat, two", 3);
	lapic_ipi(0xff, ICR_LOGICAL | VEC_IPI);
	expect("flat, all", (1u << n) - 1);
	lapic_ipi(0x80, ICR_LOGICAL | VEC_IPI);
	expect("flat, nobody", n == 8 ? 1u << 7 : 0);
	end();
}

static void test_logical_cluster(void)
{
	static uint32_t ids[1 + MAX_CPUS] = {0x0fffffff};

	/* Two per cluster: 0x01, 0x02, 0x11, 0x12 ... */
	for (unsigned i = 0; i < cpu_count; i++)
		ids[1 + i] = i / 2 << 4 | 1u << i % 2;
	lapic_write(LAPIC_DFR, ids[0]);
	lapic_write(LAPIC_LDR, ids[1] << 24);
	begin(ids);
	for (unsigned i = 0; i < cpu_count; i++) {
		lapic_ipi(ids[1 + i], ICR_LOGICAL | VEC_IPI);
		expect("cluster, one", 1u << i);
	}
	lapic_ipi(0x03, ICR_LOGICAL | VEC_IPI);
	expect("cluster 0, both", 3);
	lapic_ipi(0xe3, ICR_LOGICAL | VEC_IPI);
	expect("cluster 14, nobody", 0);
	end();
}

/* One of the addressed CPUs takes it, whichever. */
static void test_lowest_priority(void)
{
	static uint32_t ids[1 + MAX_CPUS] = {0xffffffff};
	uint32_t sum = 0;

	for (unsigned i = 0; i < MIN(cpu_count, 8u); i++)
		ids[1 + i] = 1u << i;
	lapic_write(LAPIC_DFR, ids[0]);
	lapic_write(LAPIC_LDR, ids[1] << 24);
	begin(ids);
	for (unsigned n = 1; n <= 20; n++) {
		lapic_ipi(0xff, ICR_LOGICAL | ICR_LOWEST | VEC_IPI);
		for (unsigned tries = 0; tries < 1000; tries++) {
			sum = 0;
			for (unsigned i = 0; i < cpu_count; i++)
				sum += taken[i];
			if (sum >= n)
				break;
			delay_us(1000);
		}
		CHECK(sum == n, "%u taken of %u sent", sum, n);
	}
	end();
}

static void test_nmi(void)
{
	begin(NULL);
	trap_hook(VEC_NMI, count_nmi);
	for (unsigned i = 1; i < cpu_count; i++) {
		lapic_ipi(cpu_get(i)->apic_id, ICR_NMI);
		expect("NMI", 1u << i);
	}
	lapic_ipi(0, ICR_OTHERS | ICR_NMI);
	expect("NMI to others", ((1u << cpu_count) - 1) & ~1u);
	end();
}

static void spin_off(void *arg)
{
	atomic_add(&ready, 1);
	while (!leave)
		cpu_pause();
	irq_on(); /* takes the fixed interrupt that waited */
	irq_off();
}

/* An NMI gets through while interrupts are off; a fixed interrupt waits. */
static void test_nmi_masked(void)
{
	begin(NULL);
	end();
	trap_hook(VEC_NMI, count_nmi);
	leave = ready = 0;
	memset((void *)taken, 0, sizeof(taken));
	smp_call(1, spin_off, NULL);
	REQUIRE(WAIT(ready, 5000), "CPU 1 is not there");
	lapic_ipi(cpu_get(1)->apic_id, VEC_IPI);
	delay_us(2000);
	CHECK_EQ(taken[1], 0);
	lapic_ipi(cpu_get(1)->apic_id, ICR_NMI);
	expect("NMI with interrupts off", 1u << 1);
	CHECK(trap_count[VEC_NMI] == 1 && trap_count[VEC_IPI] == 0, "%u NMIs, %u fixed interrupts",
	      trap_count[VEC_NMI], trap_count[VEC_IPI]);
	leave = 1;
	smp_wait(1, 5000);
}

static volatile uint32_t nmi_depth, nmi_deepest;

/* The first one brings two more while it runs: they become one, and it comes after the IRET. */
static void nmi_again(struct regs *r)
{
	if (++nmi_depth > nmi_deepest)
		nmi_deepest = nmi_depth;
	if (++taken[0] == 1)
		for (unsigned i = 0; i < 2; i++) {
			lapic_ipi(cpu_self()->apic_id, ICR_NMI);
			delay_us(100);
		}
	nmi_depth--;
}

static void test_nmi_blocked(void)
{
	memset((void *)taken, 0, sizeof(taken));
	nmi_depth = nmi_deepest = 0;
	trap_hook(VEC_NMI, nmi_again);
	for (unsigned round = 1; round <= 3; round++) {
		taken[0] = 0;
		lapic_ipi(cpu_self()->apic_id, ICR_NMI);
		CHECK(WAIT(taken[0] == 2, 1000), "round %u: %u NMIs", round, taken[0]);
		delay_us(100);
		CHECK_EQ(taken[0], 2);
		CHECK_EQ(nmi_deepest, 1);
		CHECK(!(read_eflags() & EFLAGS_TF), "the NMI leaves TF behind");
	}
}

static volatile uint32_t pings, pongs, rounds;

static void on_ping(struct regs *r)
{
	pings++;
	lapic_eoi();
	lapic_ipi(cpu_get(0)->apic_id, VEC_PONG);
}

static void on_pong(struct regs *r)
{
	pongs++;
	lapic_eoi();
	if (pongs < rounds)
		lapic_ipi(cpu_get(1)->apic_id, VEC_IPI);
}

/* Not one lost, not one doubled. */
static void test_ping_pong(void)
{
	/* On QEMU's AMD-V a round is two wake-ups of a host's thread, which makes it slow. */
	rounds = test_rounds(machine.doubles ? 2000 : 100000);
	begin(NULL);
	pings = pongs = 0;
	trap_hook(VEC_IPI, on_ping);
	trap_hook(VEC_PONG, on_pong);
	lapic_ipi(cpu_get(1)->apic_id, VEC_IPI);
	(void)WAIT(pongs >= rounds, 300000);
	delay_us(1000);
	CHECK(pings == rounds || (machine.doubles && pings > rounds), "%u pings", pings);
	CHECK(pongs == rounds || (machine.doubles && pongs > rounds), "%u pongs", pongs);
	end();
}

static volatile uint32_t message[64], message_bad, message_seen;

static void on_message(struct regs *r)
{
	for (unsigned i = 0; i < ARRAY_LEN(message); i++)
		if (message[i] != message_seen + 1)
			message_bad++;
	message_seen++;
	lapic_eoi();
}

/* The handler sees every store made before the IPI was sent. */
static void test_message(void)
{
	begin(NULL);
	message_seen = message_bad = 0;
	trap_hook(VEC_IPI, on_message);
	for (uint32_t n = 1; n <= 2000; n++) {
		for (unsigned i = 0; i < ARRAY_LEN(message); i++)
			message[i] = n;
		lapic_ipi(cpu_get(1)->apic_id, VEC_IPI);
		REQUIRE(WAIT(message_seen == n, 5000), "message %u is not taken", n);
	}
	CHECK_EQ(message_bad, 0);
	end();
}

/* Nobody is there: the sender goes on, nobody is interrupted. */
static void test_nobody(void)
{
	begin(NULL);
	lapic_ipi(0x5a, VEC_IPI);
	expect("to an id that nobody has", 0);
	end();
}

const struct test guest_tests[] = {
	{"startup-state", test_startup_state},
	{"startup-vectors", test_startup_vectors},
	{"startup-running", test_startup_running},
	{"physical", test_physical},
	{"shorthand", test_shorthand},
	{"logical-flat", test_logical_flat},
	{"logical-cluster", test_logical_cluster},
	{"lowest-priority", test_lowest_priority},
	{"nmi", test_nmi},
	{"nmi-masked", test_nmi_masked},
	{"nmi-blocked", test_nmi_blocked},
	{"ping-pong", test_ping_pong},
	{"message", test_message},
	{"nobody", test_nobody},
	{NULL, NULL},
};
