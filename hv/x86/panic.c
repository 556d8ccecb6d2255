#include <stdatomic.h>

#include "hv/x86/panic.h"
#include "hv/base/bits.h"
#include "hv/base/log.h"
#include "hv/base/plat.h"
#include "hv/x86/cpu.h"
#include "hv/x86/irq.h"
#include "hv/x86/logsink.h"
#include "hv/x86/paging.h"
#include "hv/x86/pcpu.h"
#include "hv/x86/smp.h"
#include "hv/x86/symbols.h"
#include "hv/x86/x86.h"

#define BACKTRACE_MAX 24

static const char *const exception_names[32] = {
	[0] = "#DE divide error",
	[1] = "#DB debug",
	[2] = "NMI",
	[3] = "#BP breakpoint",
	[4] = "#OF overflow",
	[5] = "#BR bound range",
	[6] = "#UD invalid opcode",
	[7] = "#NM device not available",
	[8] = "#DF double fault",
	[10] = "#TS invalid TSS",
	[11] = "#NP segment not present",
	[12] = "#SS stack fault",
	[13] = "#GP general protection",
	[14] = "#PF page fault",
	[16] = "#MF x87 error",
	[17] = "#AC alignment check",
	[18] = "#MC machine check",
	[19] = "#XM SIMD error",
	[21] = "#CP control protection",
};

static _Atomic bool stopping;
static _Atomic unsigned panic_owner; /* CPU index + 1 */

void panic_ask_stop(void)
{
	atomic_store(&stopping, true);
}

void panic_stop_if_asked(void)
{
	if (atomic_load(&stopping) && atomic_load(&panic_owner) != pcpu_this()->index + 1)
		cpu_halt_forever();
}

/* One CPU reports; any other that panics meanwhile halts, and one that panics in its own report too. */
static void begin(void)
{
	unsigned none = 0, me = pcpu_this()->index + 1;

	cpu_cli();
	if (!atomic_compare_exchange_strong(&panic_owner, &none, me)) {
		if (none == me) {
			log_error(LOG_X86, "panic: another fault while reporting the first");
			logsink_drain();
		}
		cpu_halt_forever();
	}
	log_panic_mode();
	smp_stop_others();
	logsink_panic();
}

NORETURN static void end(void)
{
	log_error(LOG_BOOT,
		  "panic: this is a fault in Amalgam itself; please report the lines above");
	log_info(LOG_BOOT, "node halted");
	logsink_drain();
	cpu_halt_forever();
}

static void print_address(const char *what, uint64_t va)
{
	uint64_t offset;
	const char *name = symbols_find(va, &offset);

	if (name)
		log_error(LOG_X86, "%s %016llx %s+%#llx", what, (unsigned long long)va, name,
			  (unsigned long long)offset);
	else
		log_error(LOG_X86, "%s %016llx", what, (unsigned long long)va);
}

/* Follows the frame pointers as long as they lead upward through mapped memory. */
static void backtrace(uint64_t rbp)
{
	for (unsigned i = 0; i < BACKTRACE_MAX; i++) {
		const uint64_t *frame = (const uint64_t *)(uintptr_t)rbp;

		if (rbp % 8 || !paging_is_mapped(rbp) || !paging_is_mapped(rbp + 15) || !frame[1])
			return;
		print_address("  called from", frame[1]);
		if (frame[0] <= rbp)
			return;
		rbp = frame[0];
	}
}

static void dump_registers(const struct irq_frame *f)
{
#define ROW(a, b, c, d)                                                                         \
	log_error(LOG_X86, #a "=%016llx " #b "=%016llx " #c "=%016llx " #d "=%016llx",          \
		  (unsigned long long)f->a, (unsigned long long)f->b, (unsigned long long)f->c, \
		  (unsigned long long)f->d)
	ROW(rax, rbx, rcx, rdx);
	ROW(rsi, rdi, rbp, rsp);
	ROW(r8, r9, r10, r11);
	ROW(r12, r13, r14, r15);
	ROW(cs, ss, rflags, error);
#undef ROW
	log_error(LOG_X86, "cr0=%016llx cr2=%016llx cr3=%016llx cr4=%016llx",
		  (unsigned long long)read_cr0(), (unsigned long long)read_cr2(),
		  (unsigned long long)read_cr3(), (unsigned long long)read_cr4());
}

/* What a page fault was trying to do. SDM vol. 3, 4.7 */
static void describe_fault(const struct irq_frame *f)
{
	uint64_t va = read_cr2();
	const char *what = paging_describe_fault(va);

	log_error(LOG_X86, "panic: %s of address %016llx, which is %s%s%s",
		  f->vector == 8      ? "an access"
		  : f->error & BIT(4) ? "execution"
		  : f->error & BIT(1) ? "a write"
				      : "a read",
		  (unsigned long long)va,
		  f->vector != 8 && (f->error & BIT(0)) ? "mapped without that right"
							: "not mapped",
		  what ? ": " : "", what ? what : "");
}

void panic_exception(const struct irq_frame *f)
{
	const char *name = exception_names[f->vector];

	begin();
	log_error(LOG_X86, "panic: exception %u, %s, in the hypervisor on CPU %u",
		  (unsigned)f->vector, name ? name : "reserved", pcpu_this()->index);
	if (f->vector == 14 || (f->vector == 8 && paging_describe_fault(read_cr2())))
		describe_fault(f);
	print_address("at", f->rip);
	backtrace(f->rbp);
	dump_registers(f);
	end();
}

/* The canary of -fstack-protector-strong, set by entry.S; both names are the compiler's. */
uintptr_t __stack_chk_guard;
NORETURN void __stack_chk_fail(void);

void __stack_chk_fail(void)
{
	plat_panic("a function overran a buffer on its stack");
}

void panic_report(const char *text, uintptr_t at, uintptr_t rbp)
{
	begin();
	log_error(LOG_X86, "panic: %s", text);
	print_address("at", at);
	backtrace(rbp);
	end();
}
