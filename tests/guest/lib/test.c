#include "tests/guest/lib/test.h"
#include "tests/guest/lib/apic.h"
#include "tests/guest/lib/pc.h"
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/trap.h"
#include "hv/base/fmt.h"
#include "hv/base/string.h"

#define DEBUG_EXIT 0xf4

/* Multiboot 0.6.96, 3.3: the first fields, which is all that is needed. */
struct multiboot_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline;
};
#define MB_INFO_MEM     BIT32(0)
#define MB_INFO_CMDLINE BIT32(2)

extern uint8_t low_load[], low_start[], low_size[];
NORETURN void guest_start(uint32_t magic, const struct multiboot_info *mb);
NORETURN void halt_for_ever(void);

struct machine machine;

static const struct test *running;
static volatile uint32_t failures; /* of the running test */
static unsigned passed, failed;
static struct context test_end;
static volatile uint32_t print_lock;

void print(const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	fmt_vprint(line, sizeof(line), fmt, ap);
	va_end(ap);
	while (__atomic_exchange_n(&print_lock, 1, __ATOMIC_ACQUIRE))
		cpu_pause();
	for (const char *p = line; *p; p++)
		serial_put(*p);
	__atomic_store_n(&print_lock, 0, __ATOMIC_RELEASE);
}

void test_fail(const char *file, int line, const char *cond, const char *fmt, ...)
{
	char text[384];
	va_list ap;

	va_start(ap, fmt);
	fmt_vprint(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (atomic_add(&failures, 1) == 1)
		print("FAIL %s: %s:%d: not (%s): %s\n", running ? running->name : "start", file,
		      line, cond, text);
	else if (failures <= 10)
		print("  and %s:%d: not (%s): %s\n", file, line, cond, text);
}

void test_abandon(void)
{
	if (!running)
		test_finish();
	context_restore(&test_end);
}

void test_skip(const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	fmt_vprint(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!failures) {
		print("SKIP %s: %s\n", running->name, text);
		running = NULL;
	}
	context_restore(&test_end);
}

void test_finish(void)
{
	bool bad = failed || failures;

	print("DONE %u passed, %u failed\n", passed, failed);
	outb(DEBUG_EXIT, bad);
	halt_for_ever();
}

/* Takes and forgets what the last test left pending. */
static void drain(void)
{
	lapic_reset();
	for (unsigned v = 0; v < 256; v += 32)
		while (lapic_read(LAPIC_IRR + v / 2)) {
			irq_on();
			irq_off();
			lapic_reset();
		}
}

/* Every test begins with interrupts off, devices quiet and the library's own gates and hooks. */
static void quiesce(void)
{
	irq_off();
	asm volatile("cld");
	trap_resume = 0;
	for (unsigned v = 0; v < 256; v++) {
		trap_hook(v, NULL);
		trap_gate_reset(v);
	}
	pic_setup(VEC_PIC, 0xffff);
	pit_stop();
	ioapic_mask_all();
	drain();
	for (unsigned v = 0; v < 256; v++)
		trap_count[v] = 0;
}

static void run(const struct test *t)
{
	failures = 0;
	running = t;
	quiesce();
	if (!context_save(&test_end))
		t->run();
	irq_off();
	if (!running)
		return; /* skipped */
	if (failures) {
		failed++;
	} else {
		passed++;
		print("PASS %s\n", t->name);
	}
	running = NULL;
	failures = 0;
}

/* Value of a word `key=value` on the command line, up to the next blank; NULL when not there. */
static const char *option(const char *key)
{
	size_t n = strlen(key);

	for (const char *p = machine.cmdline; *p; p++)
		if ((p == machine.cmdline || p[-1] == ' ') && !strncmp(p, key, n) && p[n] == '=')
			return p + n + 1;
	return NULL;
}

/* `want` is one of the words, with commas between them, that `value` begins with. */
static bool word_is(const char *value, const char *want)
{
	size_t n = strlen(want);

	for (; value; value++) {
		if (!strncmp(value, want, n) && (!value[n] || strchr(" ,", value[n])))
			return true;
		while (*value && !strchr(" ,", *value))
			value++;
		if (*value != ',')
			return false;
	}
	return false;
}

uint32_t test_rounds(uint32_t usual)
{
	const char *p = option("rounds");
	uint32_t n = 0;

	while (p && *p >= '0' && *p <= '9' && n < 100000000)
		n = n * 10 + (uint32_t)(*p++ - '0');
	return n ? n : usual;
}

static void learn_machine(uint32_t magic, const struct multiboot_info *mb)
{
	struct cpuid hv = cpuid(0x40000000, 0), vendor = cpuid(0, 0);

	if (magic == 0x2badb002 && (mb->flags & MB_INFO_CMDLINE))
		str_copy(machine.cmdline, (const char *)mb->cmdline, sizeof(machine.cmdline));
	machine.ram_top = MIB(8);
	if (magic == 0x2badb002 && (mb->flags & MB_INFO_MEM))
		machine.ram_top = (uint32_t)MIN(MIB(1) + KIB(mb->mem_upper), MIB(3072));
	machine.amalgam = word_is(option("expect"), "amalgam");
	/*
	 * After its VMRUN the vector stays noted as one to raise, and a request to leave QEMU's loop finds
	 * it.
	 */
	machine.doubles = machine.amalgam && machine.tcg_cpu;
	/* "AuthenticAMD" */
	machine.amd = vendor.b == 0x68747541 && vendor.d == 0x69746e65 && vendor.c == 0x444d4163;
	machine.bochs = word_is(option("native"), "bochs");
	/* "TCGTCGTCGTCG" */
	machine.tcg = hv.b == 0x54474354 && hv.c == 0x43544743 && hv.d == 0x47435447;
	machine.tcg_cpu = machine.tcg || word_is(option("cpu"), "tcg");
}

void guest_start(uint32_t magic, const struct multiboot_info *mb)
{
	const char *only;

	learn_machine(magic, mb);
	memcpy(low_start, low_load, (size_t)low_size);
	serial_setup();
	trap_setup();
	smp_find();
	only = option("only");
	for (const struct test *t = guest_tests; t->name; t++)
		if (!only || word_is(only, t->name))
			run(t);
	test_finish();
}
