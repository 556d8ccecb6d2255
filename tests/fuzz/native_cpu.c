/*
 * The way in is a signal whose handler changes the context that it returns to; the way out the signal of
 * the exception, whose handler puts the first context back. Handlers have a stack of their own, so RSP may
 * be anything, and Linux returns to code of 16 or 32 bits if CS says so.
 */
#define _GNU_SOURCE
#include "tests/fuzz/native_cpu.h"

#include <asm/ldt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static const int greg_of[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
				REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
				REG_R12, REG_R13, REG_R14, REG_R15};

static struct native_regs *regs;
static greg_t selectors;
static gregset_t home;
static volatile sig_atomic_t away;

static void set_out(int sig, siginfo_t *info, void *context)
{
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;

	memcpy(home, g, sizeof(home));
	for (unsigned i = 0; i < 16; i++)
		g[greg_of[i]] = (greg_t)regs->gpr[i];
	g[REG_RIP] = (greg_t)regs->rip;
	g[REG_EFL] = (greg_t)regs->flags;
	g[REG_CSGSFS] = (g[REG_CSGSFS] & 0xffffffff0000) | selectors;
	away = 1;
}

static void come_home(int sig, siginfo_t *info, void *context)
{
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;

	if (!away) { /* a fault of this program itself */
		signal(sig, SIG_DFL);
		return;
	}
	for (unsigned i = 0; i < 16; i++)
		regs->gpr[i] = (uint64_t)g[greg_of[i]];
	regs->rip = (uint64_t)g[REG_RIP];
	regs->flags = (uint64_t)g[REG_EFL];
	regs->trap = (uint64_t)g[REG_TRAPNO];
	regs->error = (uint64_t)g[REG_ERR];
	regs->cr2 = (uint64_t)g[REG_CR2];
	memcpy(g, home, sizeof(home));
	away = 0;
}

static bool make_code_16(uint32_t base)
{
	struct user_desc d = {.entry_number = 0, .base_addr = base, .limit = 0xfff};

	d.contents = 2; /* code, not conforming */
	return syscall(SYS_modify_ldt, 1, &d, sizeof(d)) == 0;
}

bool native_init(uint32_t base_16)
{
	static const int ends[] = {SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
	static uint8_t stack[65536];
	const stack_t own = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct sigaction in = {.sa_flags = SA_SIGINFO | SA_ONSTACK};
	struct sigaction out = {.sa_flags = SA_SIGINFO | SA_ONSTACK};

	in.sa_sigaction = set_out;
	out.sa_sigaction = come_home;
	if (sigaltstack(&own, NULL) || sigaction(SIGUSR1, &in, NULL))
		abort();
	for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (sigaction(ends[i], &out, NULL))
			abort();
	/* 64-bit code does not look at them, 32-bit code needs them. */
	__asm__ volatile("mov %0, %%ds\n\tmov %0, %%es" ::"r"(NATIVE_DS));
	return make_code_16(base_16);
}

void native_run(struct native_regs *r, unsigned bits)
{
	regs = r;
	selectors = (greg_t)NATIVE_DS << 48 | (bits == 64   ? NATIVE_CS_64
					       : bits == 32 ? NATIVE_CS_32
							    : NATIVE_CS_16);
	raise(SIGUSR1);
}
