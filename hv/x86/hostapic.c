/* SDM vol. 3, chapter 11 (local APIC); x2APIC: 11.12. */
#include <stdatomic.h>

#include "hv/x86/hostapic.h"
#include "hv/base/bits.h"
#include "hv/base/log.h"
#include "hv/x86/cpu.h"
#include "hv/x86/irq.h"
#include "hv/x86/paging.h"
#include "hv/x86/pcpu.h"
#include "hv/x86/platform.h"
#include "hv/x86/tsc.h"

// clang-format off
#define REG_ID          0x020u
#define REG_TPR         0x080u
#define REG_EOI         0x0b0u
#define REG_SVR         0x0f0u
#define REG_ESR         0x280u
#define REG_LVT_CMCI    0x2f0u
#define REG_ICR_LOW     0x300u
#define REG_ICR_HIGH    0x310u
#define REG_LVT_TIMER   0x320u
#define REG_LVT_THERMAL 0x330u
#define REG_LVT_PERF    0x340u
#define REG_LVT_LINT0   0x350u
#define REG_LVT_LINT1   0x360u
#define REG_LVT_ERROR   0x370u
#define REG_TIMER_INIT  0x380u
#define REG_TIMER_COUNT 0x390u
#define REG_TIMER_DIV   0x3e0u
#define REG_VERSION     0x030u

#define SVR_ENABLE      BIT(8)
#define LVT_MASKED      BIT(16)
#define LVT_EXTINT      (7u << 8)
#define LVT_DEADLINE    BIT(18)
#define DIVIDE_BY_16    0x3u

#define ICR_NMI         (4u << 8)
#define ICR_INIT        (5u << 8)
#define ICR_SIPI        (6u << 8)
#define ICR_PENDING     BIT(12)
#define ICR_ASSERT      (1u << 14)
#define ICR_OTHERS      (3u << 18)
// clang-format on

#define APIC_DEFAULT_BASE 0xfee00000ull
#define APIC_BASE_ADDR    BITS(51, 12)
/* An APIC takes a message within microseconds; a register read takes no less than 10 ns. */
#define SEND_POLLS        1000000u

static struct {
	bool x2apic;
	bool deadline;
	volatile uint8_t *page; /* xAPIC only */
	uint64_t timer_hz;      /* of the count register, divider applied; 0 with `deadline` */
} ha;

static uint32_t reg_read(uint32_t reg)
{
	if (ha.x2apic)
		return (uint32_t)rdmsr(MSR_X2APIC_BASE + reg / 16);
	return *(volatile uint32_t *)(volatile void *)(ha.page + reg);
}

static void reg_write(uint32_t reg, uint32_t value)
{
	atomic_signal_fence(memory_order_seq_cst); /* an IPI comes after what it tells of */
	if (ha.x2apic)
		wrmsr(MSR_X2APIC_BASE + reg / 16, value);
	else
		*(volatile uint32_t *)(volatile void *)(ha.page + reg) = value;
}

/* Firmware may have left x2APIC mode on; it can't be left without a detour through off, so stay. */
static bool want_x2apic(void)
{
	return cpuid(1, 0).ecx & CPUID1_ECX_X2APIC;
}

static void enable(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE;

	wrmsr(MSR_APIC_BASE, base);
	if (ha.x2apic)
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2APIC);
}

static void on_error(void)
{
	reg_write(REG_ESR, 0);
	pcpu_this()->apic_error_count++;
	log_warn_few(LOG_X86, "local APIC error, status %#x", reg_read(REG_ESR));
}

static uint32_t read_count(void)
{
	return reg_read(REG_TIMER_COUNT);
}

/* The rate of the count register against the TSC, over 10 ms. */
static uint64_t measure_timer(void)
{
	struct tsc_sample first, last;

	/* So long that it does not fire. */
	reg_write(REG_TIMER_INIT, UINT32_MAX);
	first = tsc_sample(read_count);
	tsc_delay_us(10000);
	last = tsc_sample(read_count);
	reg_write(REG_TIMER_INIT, 0);
	return mul_div(first.count - last.count, tsc_hz(), last.tsc - first.tsc);
}

int hostapic_setup(struct why *why)
{
	struct cpuid_regs c1 = cpuid(1, 0);

	if (!(c1.edx & CPUID1_EDX_APIC))
		return why_set(why, ERR_UNSUPPORTED,
			       "CPU 0 has no local APIC, or firmware has turned it off; "
			       "enable it in the firmware's setup");
	ha.x2apic = want_x2apic();
	ha.deadline = c1.ecx & CPUID1_ECX_TSC_DEADLINE;
	if (!ha.x2apic) {
		uint64_t base = rdmsr(MSR_APIC_BASE) & APIC_BASE_ADDR;

		ha.page = paging_map_mmio(base ? base : APIC_DEFAULT_BASE, PAGE_SIZE);
		if (!ha.page)
			return why_set(why, ERR_NOMEM,
				       "no memory to map the local APIC's registers; add RAM");
	}
	irq_handler_set(IRQ_ERROR, on_error);
	hostapic_init();
	if (!ha.deadline) {
		ha.timer_hz = measure_timer();
		if (!ha.timer_hz)
			return why_set(why, ERR_UNSUPPORTED,
				       "the local APIC's timer does not count; "
				       "this node can't run guests");
	}
	log_info(LOG_X86, "local APIC in %s mode, timer %s%llu kHz", ha.x2apic ? "x2APIC" : "xAPIC",
		 ha.deadline ? "by TSC deadline, " : "one-shot at ",
		 (unsigned long long)(ha.deadline ? tsc_hz() : ha.timer_hz) / 1000);
	return 0;
}

void hostapic_init(void)
{
	unsigned lvts;

	enable();
	/* LVT writes below fault or err where an entry does not exist: the version register says. */
	lvts = (unsigned)bits_get(reg_read(REG_VERSION), 23, 16) + 1;
	reg_write(REG_SVR, SVR_ENABLE | IRQ_SPURIOUS);
	reg_write(REG_TPR, 0);
	reg_write(REG_LVT_LINT0, LVT_MASKED);
	reg_write(REG_LVT_LINT1, ICR_NMI | LVT_MASKED);
	if (lvts >= 5)
		reg_write(REG_LVT_PERF, LVT_MASKED);
	if (lvts >= 6)
		reg_write(REG_LVT_THERMAL, LVT_MASKED);
	if (lvts >= 7)
		reg_write(REG_LVT_CMCI, LVT_MASKED);
	reg_write(REG_ESR, 0);
	reg_write(REG_LVT_ERROR, IRQ_ERROR);
	reg_write(REG_LVT_TIMER, (ha.deadline ? LVT_DEADLINE : 0) | IRQ_TIMER);
	if (!ha.deadline)
		reg_write(REG_TIMER_DIV, DIVIDE_BY_16);
	pcpu_this()->apic_id = hostapic_id();
}

uint32_t hostapic_id(void)
{
	return ha.x2apic ? reg_read(REG_ID) : reg_read(REG_ID) >> 24;
}

bool hostapic_is_x2apic(void)
{
	return ha.x2apic;
}

static void wait_sent(void)
{
	for (unsigned i = 0; i < SEND_POLLS && (reg_read(REG_ICR_LOW) & ICR_PENDING); i++)
		cpu_pause();
}

static void send(uint32_t apic_id, uint32_t command)
{
	if (ha.x2apic) {
		/* The MSR write is not serializing: earlier stores must be seen by who is woken. 11.12.3 */
		__asm__ volatile("mfence; lfence" ::: "memory");
		wrmsr(MSR_X2APIC_BASE + REG_ICR_LOW / 16, (uint64_t)apic_id << 32 | command);
		return;
	}
	wait_sent();
	reg_write(REG_ICR_HIGH, apic_id << 24);
	reg_write(REG_ICR_LOW, command);
}

void hostapic_ipi(uint32_t apic_id, uint8_t vector)
{
	send(apic_id, ICR_ASSERT | vector);
}

void hostapic_nmi(uint32_t apic_id)
{
	send(apic_id, ICR_ASSERT | ICR_NMI);
}

void hostapic_nmi_others(void)
{
	send(0, ICR_ASSERT | ICR_NMI | ICR_OTHERS);
}

/* SDM vol. 3, 8.4.4.1: INIT, 10 ms, SIPI, 200 us, SIPI. */
static void init_sipi(uint32_t apic_id, uint32_t shorthand, uint8_t page)
{
	send(apic_id, shorthand | ICR_ASSERT | ICR_INIT);
	tsc_delay_us(10000);
	for (unsigned i = 0; i < 2; i++) {
		send(apic_id, shorthand | ICR_ASSERT | ICR_SIPI | page);
		tsc_delay_us(200);
	}
}

void hostapic_init_sipi(uint32_t apic_id, uint8_t page)
{
	init_sipi(apic_id, 0, page);
}

void hostapic_init_sipi_others(uint8_t page)
{
	init_sipi(0, ICR_OTHERS, page);
}

void hostapic_extint(void)
{
	reg_write(REG_LVT_LINT0, LVT_EXTINT);
}

void hostapic_eoi(void)
{
	reg_write(REG_EOI, 0);
}

void hostapic_timer_arm(uint64_t tsc_deadline)
{
	uint64_t now, ticks;

	if (ha.deadline) {
		wrmsr(MSR_TSC_DEADLINE, tsc_deadline ? tsc_deadline : 1);
		return;
	}
	now = rdtsc();
	ticks = tsc_deadline > now ? mul_div(tsc_deadline - now, ha.timer_hz, tsc_hz()) + 1 : 1;
	reg_write(REG_TIMER_INIT, (uint32_t)MIN(ticks, UINT32_MAX));
}
