/* Provokes faults on purpose, so that a test can see that they are reported properly. */
#include "hv/base/assert.h"
#include "hv/base/string.h"
#include "hv/x86/cpu.h"
#include "hv/x86/irq.h"
#include "hv/x86/hostapic.h"
#include "hv/x86/panic.h"
#include "hv/x86/pcpu.h"
#include "hv/x86/x86.h"

/* Each stands alone so that the backtrace can name it. */
#define TEST_FUNCTION static __attribute__((noinline, noclone)) void

/* Volatile, so that the compiler does not know what the functions below are up to. */
static volatile uintptr_t bad_address = 0x10;
static volatile unsigned deepest = UINT_MAX, overrun = 48, zero;

TEST_FUNCTION panic_test_page(void)
{
	*(volatile uint32_t *)bad_address = 1;
}

/* Not tail-recursive: the call's result is used, and the array is really there. */
static __attribute__((noinline, noclone)) unsigned eat_stack(unsigned depth)
{
	volatile uint8_t room[512];

	room[0] = (uint8_t)depth;
	return depth == deepest ? 0 : eat_stack(depth + 1) + room[0];
}

TEST_FUNCTION panic_test_stack(void)
{
	zero = eat_stack(0);
}

TEST_FUNCTION panic_test_div(void)
{
	unsigned divisor = zero;

	__asm__ volatile("divl %0" ::"r"(divisor), "a"(1), "d"(0)); /* C's own is undefined at 0 */
}

TEST_FUNCTION panic_test_assert(void)
{
	ASSERT(zero == 1);
}

/* A buffer overrun: the return address and the canary before it are gone when the function ends. */
TEST_FUNCTION panic_test_smash(void)
{
	uint8_t room[16];

	memset(room, 1, overrun);
	zero = room[0];
}

/* As if another CPU had died: the NMI that stops this one must find its handler and stack. */
static void on_nmi(void)
{
	plat_panic("NMI taken on its own stack");
}

TEST_FUNCTION panic_test_nmi(void)
{
	irq_nmi_handler_set(on_nmi);
	hostapic_nmi(pcpu_this()->apic_id);
	for (;;)
		cpu_pause();
}

int panic_test(const char *kind, struct why *why)
{
	static const struct {
		const char *name;
		void (*fn)(void);
	} tests[] = {
		{"page", panic_test_page}, {"stack", panic_test_stack},
		{"div", panic_test_div},   {"assert", panic_test_assert},
		{"nmi", panic_test_nmi},   {"smash", panic_test_smash},
	};

	for (size_t i = 0; i < ARRAY_LEN(tests); i++)
		if (!strcmp(tests[i].name, kind))
			tests[i].fn();
	return why_set(why, ERR_INVALID,
		       "test-panic=%.20s is unknown; expected page, stack, div, "
		       "assert, nmi or smash",
		       kind);
}
