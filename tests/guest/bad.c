/* What a guest should not do: each ends as on a PC, in a fault or in nothing, never in a hang. */
#include "tests/guest/lib/apic.h"
#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/trap.h"

static int try_cr0(uint32_t v)
{
	return TRY("movl %0, %%cr0", : "r"(v) : "memory");
}

static int try_xsetbv(uint32_t index, uint64_t v)
{
	return TRY("xsetbv", : "c"(index), "A"(v) : "memory");
}

static void test_cr0(void)
{
	uint32_t old = read_cr0();

	if (machine.tcg)
		test_skip("QEMU takes any CR0");
	if (!machine.bochs) /* which takes NW without CD */
		CHECK_EQ(try_cr0(old | CR0_NW), VEC_GP);
	CHECK_EQ(try_cr0((old | CR0_PG) & ~CR0_PE), VEC_GP);
	CHECK_EQ(read_cr0(), old);
	CHECK_EQ(try_cr0(old | CR0_CD | CR0_NW), -1);
	CHECK_EQ(read_cr0() & (CR0_CD | CR0_NW), CR0_CD | CR0_NW);
	CHECK_EQ(try_cr0(old | CR0_CD), -1);
	CHECK_EQ(try_cr0(old), -1);
	/* Reserved bits of the low half are ignored, but QEMU's CPU keeps them; ET can't be cleared. */
	CHECK_EQ(try_cr0(old | BIT32(10) | BIT32(25)), -1);
	if (!machine.tcg_cpu)
		CHECK_EQ(read_cr0() | CR0_ET, old | CR0_ET);
	CHECK_EQ(try_cr0(old & ~CR0_ET), -1);
	CHECK(read_cr0() & CR0_ET, "ET can be cleared");
	write_cr0(old);
}

/* LMSW sets PE, MP, EM, TS, clears all but PE. */
static void test_lmsw(void)
{
	uint32_t old = read_cr0();

	asm volatile("lmsw %w0" : : "r"(0));
	CHECK_EQ(read_cr0() & 0xf, CR0_PE);
	asm volatile("lmsw %w0" : : "r"(CR0_TS | CR0_MP | CR0_PE));
	CHECK_EQ(read_cr0() & 0xf, CR0_TS | CR0_MP | CR0_PE);
	asm volatile("clts");
	CHECK_EQ(read_cr0() & 0xf, CR0_MP | CR0_PE);
	write_cr0(old);
}

static void test_xsetbv(void)
{
	uint32_t old = read_cr4(), low, high;

	if (!(cpuid(1, 0).c & BIT32(26)))
		test_skip("no XSAVE");
	CHECK_EQ(try_xsetbv(0, 1), VEC_UD); /* OSXSAVE is clear */
	write_cr4(old | CR4_OSXSAVE);
	asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	CHECK_EQ(try_xsetbv(0, 0), VEC_GP); /* x87 can't be off */
	CHECK_EQ(try_xsetbv(0, 1ull << 62 | 1), VEC_GP);
	CHECK_EQ(try_xsetbv(0, 5), VEC_GP); /* AVX without SSE */
	CHECK_EQ(try_xsetbv(1, 1), VEC_GP);
	CHECK_EQ(try_xsetbv(0, 3), -1);
	asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	CHECK_EQ(low, 3);
	CHECK_EQ(try_xsetbv(0, 1), -1);
	write_cr4(old);
}

/* What KVM says to a hypercall that it doesn't know: -KVM_ENOSYS. */
static void test_hypercall(void)
{
	uint32_t a = 0x7fff;
	int vector = machine.amd ? TRY("vmmcall", "+a"(a)
				       : "b"(1), "c"(2), "d"(3)
				       : "memory")
				 : TRY("vmcall", "+a"(a)
				       : "b"(1), "c"(2), "d"(3)
				       : "memory");

	if (!machine.amalgam) {
		CHECK_EQ(vector, VEC_UD);
		return;
	}
	CHECK_EQ(vector, -1);
	CHECK_EQ(a, -1000);
}

static void user_vmcall(void)
{
	asm volatile("movl $5, %eax; vmcall; int3");
}

static void user_vmmcall(void)
{
	asm volatile("movl $5, %eax; vmmcall; int3");
}

/* From level 3: refused, not done. */
static void test_hypercall_user(void)
{
	int vector = user_run(machine.amd ? user_vmmcall : user_vmcall, 0);

	CHECK_EQ(vector, machine.amalgam ? VEC_BP : VEC_UD);
	if (machine.amalgam)
		CHECK_EQ(trap_last.eax, -1); /* -KVM_EPERM */
}

static void test_x2apic_msrs_off(void)
{
	uint64_t v;

	if (machine.tcg || machine.bochs)
		test_skip("this emulator lets them be read");
	CHECK_EQ(rdmsr_try(0x802, &v), VEC_GP);
	CHECK_EQ(wrmsr_try(0x80b, 0), VEC_GP);
	CHECK_EQ(wrmsr_try(0x830, 0), VEC_GP);
}

static void test_debug_registers(void)
{
	uint32_t old = read_cr4();

	/* DR4 is DR6 until CR4.DE is set. */
	CHECK_EQ(TRY(".byte 0x0f, 0x21, 0xe0", : : "eax"), -1);
	write_cr4(old | BIT32(3));
	CHECK_EQ(TRY(".byte 0x0f, 0x21, 0xe0", : : "eax"), VEC_UD);
	write_cr4(old);
	if (machine.tcg_cpu)
		return; /* QEMU has no general detect */
	/* General detect: any access to a debug register traps before it happens. */
	write_dr6(0xffff0ff0);
	write_dr7(0x2400);
	CHECK_EQ(TRY("movl %%eax, %%dr0", : : "eax"), VEC_DB);
	CHECK_EQ(trap_last.eip_offset, 0);
	CHECK(read_dr6() & BIT32(13), "DR6 %#x", read_dr6());
	write_dr7(0x400);
}

static void test_too_long(void)
{
	if (machine.tcg)
		test_skip("QEMU reports another fault");
	/* Fifteen prefixes and an instruction: over 15 bytes is #GP. */
	CHECK_EQ(TRY(".rept 15; .byte 0x3e; .endr; nop", :), VEC_GP);
	/* The same in front of an instruction that a hypervisor emulates. */
	CHECK_EQ(TRY(".rept 11; .byte 0x3e; .endr; movl 0xfec00000, %%eax", : : "eax"), VEC_GP);
	CHECK_EQ(TRY(".rept 10; .byte 0x3e; .endr; movl 0xfec00000, %%eax", : : "eax"), -1);
}

/* To a CS that is a data segment; the frame stays on the stack, and goes with it. */
static void test_bad_iret(void)
{
	uint32_t esp;
	int vector = TRY("movl %%esp, %0; pushfl; pushl $0x10; pushl $0; iretl\n", "=S"(esp)
			 :
			 : "memory");

	asm volatile("movl %0, %%esp" : : "r"(esp));
	CHECK_EQ(vector, VEC_GP);
	CHECK_EQ(trap_last.error, 0x10);
}

/* Nothing at all happens: ports nobody has, CPU cache instructions, a NOP that looks like more. */
static void test_harmless(void)
{
	asm volatile("wbinvd" : : : "memory");
	asm volatile("prefetchnta (%0)" : : "r"(0xd0000000));
	asm volatile(".byte 0xf3, 0x0f, 0x1e, 0xfa"); /* ENDBR64 */
	outb(0x1234, 1);
	outw(0x1235, 1);
	outl(0x1237, 1);
	outl(0xffff, 1);
	(void)inl(0xfffd);
}

const struct test guest_tests[] = {
	{"cr0", test_cr0},
	{"lmsw", test_lmsw},
	{"xsetbv", test_xsetbv},
	{"hypercall", test_hypercall},
	{"hypercall-user", test_hypercall_user},
	{"x2apic-msrs-off", test_x2apic_msrs_off},
	{"debug-registers", test_debug_registers},
	{"too-long", test_too_long},
	{"bad-iret", test_bad_iret},
	{"harmless", test_harmless},
	{NULL, NULL},
};
