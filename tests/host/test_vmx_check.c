/* hv/vmx/vmx_check.c: good states pass; each rule, broken, is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hv/vmx/vmx_bits.h"
#include "hv/vmx/vmx_check.h"
#include "hv/x86/msr.h"

static struct vmx_seg_state seg(uint16_t selector, uint64_t base, uint32_t limit, uint32_t access)
{
	return (struct vmx_seg_state){selector, limit, access, base};
}

/* As after RESET. */
static struct vmx_guest_state real_mode(void)
{
	struct vmx_guest_state g = {
		.cr0 = CR0_NE | CR0_ET,
		.cr4 = CR4_VMXE,
		.dr7 = 0x400,
		.rip = 0xfff0,
		.rflags = RFLAGS_FIXED,
		.pat = 0x0007040600070406ull,
		.link_pointer = UINT64_MAX,
		.gdtr_limit = 0xffff,
		.idtr_limit = 0xffff,
		.pin = PIN_VIRTUAL_NMIS,
		.proc = PROC_SECONDARY,
		.proc2 = PROC2_UNRESTRICTED,
		.entry = ENTRY_LOAD_DEBUG | ENTRY_LOAD_EFER | ENTRY_LOAD_PAT,
		.cr0_fixed0 = 0x80000021,
		.cr0_fixed1 = 0xffffffff,
		.cr4_fixed0 = CR4_VMXE,
		.cr4_fixed1 = 0x3727ff,
		.activity_states = 15,
		.phys_bits = 40,
		.linear_bits = 48,
	};

	for (enum virt_seg_id id = SEG_ES; id <= SEG_GS; id++)
		g.seg[id] = seg(0, 0, 0xffff, 0x93);
	g.seg[SEG_CS] = seg(0xf000, 0xffff0000, 0xffff, 0x9b);
	g.seg[SEG_TR] = seg(0, 0, 0xffff, 0x8b);
	g.seg[SEG_LDTR] = seg(0, 0, 0xffff, 0x82);
	return g;
}

/* A 32-bit kernel with PAE. */
static struct vmx_guest_state pae_kernel(void)
{
	struct vmx_guest_state g = real_mode();

	g.cr0 |= CR0_PE | CR0_PG | CR0_WP;
	g.cr4 |= CR4_PAE;
	g.cr3 = 0x1000;
	g.rip = 0xc0100000;
	for (enum virt_seg_id id = SEG_ES; id <= SEG_GS; id++)
		g.seg[id] = seg(0x68, 0, 0xffffffff, 0xc093);
	g.seg[SEG_CS] = seg(0x60, 0, 0xffffffff, 0xc09b);
	g.seg[SEG_LDTR].access = ACCESS_UNUSABLE;
	for (unsigned i = 0; i < 4; i++)
		g.pdpte[i] = 0x2001 + 0x1000 * i;
	return g;
}

static struct vmx_guest_state long_mode(void)
{
	struct vmx_guest_state g = pae_kernel();

	g.entry |= ENTRY_GUEST_64;
	g.efer = EFER_LME | EFER_LMA;
	g.rip = 0xffffffff81000000ull;
	g.seg[SEG_CS] = seg(0x10, 0, 0xffffffff, 0xa09b);
	return g;
}

static struct vmx_guest_state v86(void)
{
	struct vmx_guest_state g = pae_kernel();

	g.rflags |= RFLAGS_VM;
	g.rip = 0x100;
	for (enum virt_seg_id id = SEG_ES; id <= SEG_GS; id++)
		g.seg[id] = seg(0x1234, 0x12340, 0xffff, 0xf3);
	return g;
}

static void good_states_pass(void **state)
{
	struct vmx_guest_state states[] = {real_mode(), pae_kernel(), long_mode(), v86()};
	struct why why = {""};

	for (unsigned i = 0; i < ARRAY_LEN(states); i++)
		if (vmx_check_guest(&states[i], &why))
			fail_msg("state %u: %s", i, why.text);
}

/* Breaks one thing in a state and expects the sentence to say so. */
#define BREAKS(make, change, part)                                                                \
	do {                                                                                      \
		struct vmx_guest_state g = make();                                                \
		struct why why = {"no rule"};                                                     \
                                                                                                  \
		change;                                                                           \
		int err = vmx_check_guest(&g, &why);                                              \
		if (err != ERR_INVALID || !strstr(why.text, part))                                \
			fail_msg("%s: %d, '%s' does not say '%s'", #change, err, why.text, part); \
	} while (0)

#define PASSES(make, change)                                   \
	do {                                                   \
		struct vmx_guest_state g = make();             \
		struct why why = {""};                         \
                                                               \
		change;                                        \
		if (vmx_check_guest(&g, &why))                 \
			fail_msg("%s: %s", #change, why.text); \
	} while (0)

static void control_registers(void **state)
{
	BREAKS(real_mode, g.cr0 &= ~CR0_NE, "CR0 is 0x10; VT-x wants bits 0x20");
	BREAKS(real_mode, g.cr0 |= BIT(40), "VT-x wants bits 0x10000000000");
	BREAKS(real_mode, g.cr0 |= CR0_PG, "without protected mode");
	BREAKS(pae_kernel, g.proc2 = 0; g.cr0 &= ~CR0_PE, "VT-x wants bits 0x1 of it");
	BREAKS(real_mode, g.cr4 = 0, "CR4 is 0; VT-x wants bits 0x2000");
	BREAKS(real_mode, g.cr4 |= BIT(30), "CR4 is 0x40002000");
	BREAKS(long_mode, g.cr4 &= ~CR4_PAE, "IA-32e mode guest, but CR0.PG is 1 and CR4.PAE is 0");
	BREAKS(pae_kernel, g.cr4 |= CR4_PCIDE, "CR4.PCIDE");
	BREAKS(pae_kernel, g.cr3 = BIT(40), "CR3 is 0x10000000000, beyond the 40");
}

static void msrs(void **state)
{
	BREAKS(real_mode, g.debugctl = 8, "IA32_DEBUGCTL is 0x8");
	BREAKS(real_mode, g.dr7 |= BIT(32), "DR7 is 0x100000400");
	BREAKS(real_mode, g.sysenter_eip = BIT(47), "IA32_SYSENTER_EIP 0x800000000000");
	BREAKS(real_mode, g.pat = 0x0200, "IA32_PAT");
	BREAKS(real_mode, g.efer = BIT(1), "IA32_EFER is 0x2");
	BREAKS(real_mode, g.efer = EFER_LMA, "LMA is 1 but the entry control");
	BREAKS(pae_kernel, g.efer = EFER_LME, "LMA is 0 and LME is 1");
	PASSES(real_mode, g.efer = EFER_LME);
	assert_true(vmx_pat_valid(0x0706050401000706ull));
	assert_false(vmx_pat_valid(8));
	assert_false(vmx_pat_valid(3ull << 56));
}

static void code_segment(void **state)
{
	BREAKS(real_mode, g.seg[SEG_CS].base = BIT(32), "CS base is 0x100000000");
	PASSES(real_mode, g.seg[SEG_CS].access = 0x93);
	BREAKS(real_mode, g.seg[SEG_CS].access = 0xb3, "CS type is 3 (data) with DPL 1");
	BREAKS(pae_kernel, g.proc2 = 0;
	       g.seg[SEG_CS].access = 0xc093, "without unrestricted guest");
	BREAKS(pae_kernel, g.seg[SEG_CS].access = 0xc0fb, "CS DPL is 3 but SS DPL is 0");
	BREAKS(pae_kernel, g.seg[SEG_CS].access = 0xc0ff, "for conforming code");
	BREAKS(pae_kernel, g.seg[SEG_CS].access = 0xc09a, "CS type is 10");
	BREAKS(long_mode, g.seg[SEG_CS].access = 0xe09b, "CS has L = 1 and D = 1");
	BREAKS(real_mode, g.seg[SEG_CS].access = 0x1b,
	       "CS access rights are 0x1b: it is usable, so P");
	BREAKS(real_mode, g.seg[SEG_CS].access = 0x8b, "CS access rights are 0x8b: S must be 1");
	/* An unusable CS is checked like a usable one. */
	BREAKS(real_mode, g.seg[SEG_CS].access = ACCESS_UNUSABLE, "CS type is 0");
}

static void other_segments(void **state)
{
	BREAKS(pae_kernel, g.proc2 = 0;
	       g.seg[SEG_SS].selector = 0x6b, "SS RPL is 3 but CS RPL is 0");
	BREAKS(pae_kernel, g.proc2 = 0; g.seg[SEG_CS].access = 0xc0fb;
	       g.seg[SEG_SS].access = 0xc0f3, "SS DPL is 3 but its RPL is 0");
	BREAKS(real_mode, g.seg[SEG_SS].access = 0xf3;
	       g.seg[SEG_CS].access = 0xfb, "SS DPL is 3; in real mode");
	BREAKS(real_mode, g.seg[SEG_SS].access = 0x9b, "SS type is 11");
	BREAKS(real_mode, g.seg[SEG_DS].access = 0x92, "DS type is 2; a usable segment");
	BREAKS(real_mode, g.seg[SEG_FS].access = 0x99, "FS type is 9; code there must be readable");
	BREAKS(pae_kernel, g.proc2 = 0;
	       g.seg[SEG_GS].selector = 0x6b, "GS DPL is 0, below its RPL 3");
	BREAKS(real_mode, g.seg[SEG_ES].base = BIT(32), "ES base is 0x100000000");
	BREAKS(real_mode, g.seg[SEG_GS].base = BIT(47), "GS base 0x800000000000 is not canonical");
	BREAKS(real_mode, g.seg[SEG_DS].access = 0x193, "DS access rights are 0x193: bits 31:17");
	BREAKS(real_mode, g.seg[SEG_DS].access = 0x8093;
	       g.seg[SEG_DS].limit = 0xfffe, "with G = 1");
	BREAKS(real_mode, g.seg[SEG_DS].limit = 0x100000, "DS limit is 0x100000 with G = 0");
	PASSES(real_mode, g.seg[SEG_DS] = seg(0, BIT(32), 0, ACCESS_UNUSABLE));
	BREAKS(v86, g.seg[SEG_DS].base = 0, "DS base is 0; in virtual-8086");
	BREAKS(v86, g.seg[SEG_SS].limit = 0xfffff, "SS limit is 0xfffff; in virtual-8086");
	BREAKS(v86, g.seg[SEG_CS].access = 0xfb, "CS access rights are 0xfb; in virtual-8086");
}

static void tables(void **state)
{
	BREAKS(real_mode, g.seg[SEG_TR].access |= ACCESS_UNUSABLE, "TR is unusable");
	BREAKS(real_mode, g.seg[SEG_TR].selector = 4, "TR selector is 0x4");
	BREAKS(real_mode, g.seg[SEG_TR].access = 0x89,
	       "TR type is 9; it must be a busy TSS (11 or 3)");
	PASSES(real_mode, g.seg[SEG_TR].access = 0x83);
	BREAKS(long_mode, g.seg[SEG_TR].access = 0x83, "TR type is 3; it must be a busy TSS (11)");
	BREAKS(real_mode, g.seg[SEG_TR].access = 0x9b, "TR access rights are 0x9b: S must be 0");
	BREAKS(long_mode, g.seg[SEG_TR].base = BIT(50), "TR base");
	BREAKS(real_mode, g.seg[SEG_LDTR].selector = 4, "LDTR selector");
	BREAKS(real_mode, g.seg[SEG_LDTR].access = 0x83, "LDTR type is 3");
	BREAKS(real_mode, g.seg[SEG_LDTR].access = 0x02, "LDTR access rights are 0x2");
	BREAKS(real_mode, g.seg[SEG_LDTR].base = BIT(47), "LDTR base 0x800000000000");
	BREAKS(real_mode, g.gdtr_base = BIT(47), "GDTR base 0x800000000000");
	BREAKS(real_mode, g.idtr_limit = 0x10000, "IDTR limit 0x10000");
}

static void rip_and_flags(void **state)
{
	BREAKS(pae_kernel, g.rip = BIT(32), "RIP is 0x100000000; outside 64-bit code");
	BREAKS(long_mode, g.rip = BIT(47), "RIP 0x800000000000 is not canonical");
	BREAKS(real_mode, g.rflags = 0, "RFLAGS is 0; bit 1");
	BREAKS(real_mode, g.rflags |= BIT(15), "RFLAGS is 0x8002");
	BREAKS(v86, g.cr0 &= ~(CR0_PE | CR0_PG), "RFLAGS.VM is 1");
	BREAKS(real_mode, g.entry_info = INTR_VALID | 0x30,
	       "external interrupt is to be injected, but");
	PASSES(real_mode, g.entry_info = INTR_VALID | 0x30; g.rflags |= RFLAGS_IF);
}

static void activity_and_blocking(void **state)
{
	BREAKS(real_mode, g.activity = 4, "activity state is 4");
	BREAKS(real_mode, g.activity_states = 1;
	       g.activity = ACTIVITY_HLT, "activity state is 1, which");
	BREAKS(v86, g.activity = ACTIVITY_HLT, "activity state is HLT, but SS DPL is 3");
	BREAKS(real_mode, g.rflags |= RFLAGS_IF; g.interruptibility = BLOCKED_BY_STI;
	       g.activity = ACTIVITY_HLT, "while STI or MOV SS block");
	BREAKS(real_mode, g.activity = ACTIVITY_WAIT_SIPI;
	       g.entry_info = INTR_VALID | 0x202, "is not allowed in activity state 3");
	PASSES(real_mode, g.activity = ACTIVITY_HLT; g.entry_info = INTR_VALID | 0x202);
	BREAKS(real_mode, g.interruptibility = 32, "interruptibility state is 0x20");
	BREAKS(real_mode, g.rflags |= RFLAGS_IF; g.interruptibility = 3, "both STI and MOV SS");
	BREAKS(real_mode, g.interruptibility = BLOCKED_BY_STI,
	       "blocked by STI, but RFLAGS.IF is 0");
	BREAKS(real_mode, g.rflags |= RFLAGS_IF; g.interruptibility = BLOCKED_BY_MOV_SS;
	       g.entry_info = INTR_VALID | 0x30,
	       "external interrupt is to be injected in the shadow");
	BREAKS(real_mode, g.interruptibility = BLOCKED_BY_MOV_SS;
	       g.entry_info = INTR_VALID | 0x202, "NMI is to be injected in the shadow");
	BREAKS(real_mode, g.interruptibility = BLOCKED_BY_NMI;
	       g.entry_info = INTR_VALID | 0x202, "while NMIs are blocked");
	BREAKS(real_mode, g.interruptibility = BLOCKED_BY_SMI, "SMIs are marked");
}

static void pending_and_link(void **state)
{
	BREAKS(real_mode, g.pending_debug = BIT(4), "pending debug exceptions are 0x10");
	BREAKS(real_mode, g.rflags |= RFLAGS_TF;
	       g.interruptibility = BLOCKED_BY_MOV_SS, "a single step is due");
	BREAKS(real_mode, g.pending_debug = PENDING_DEBUG_BS;
	       g.interruptibility = BLOCKED_BY_MOV_SS, "a single step is not due");
	PASSES(real_mode, g.pending_debug = PENDING_DEBUG_BS; g.rflags |= RFLAGS_TF;
	       g.interruptibility = BLOCKED_BY_MOV_SS);
	BREAKS(real_mode, g.link_pointer = 0, "link pointer is 0");
	BREAKS(pae_kernel, g.pdpte[2] = 0x4007, "PDPTE 2 is 0x4007");
	PASSES(pae_kernel, g.pdpte[2] = 0x4006);
	PASSES(real_mode, g.pdpte[2] = 0x4007);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_states_pass),
		cmocka_unit_test(control_registers),
		cmocka_unit_test(msrs),
		cmocka_unit_test(code_segment),
		cmocka_unit_test(other_segments),
		cmocka_unit_test(tables),
		cmocka_unit_test(rip_and_flags),
		cmocka_unit_test(activity_and_blocking),
		cmocka_unit_test(pending_and_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
