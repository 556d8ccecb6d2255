/*
 * hv/insn/emulate*.c: which instructions an exit may come from, what becomes of others, and what other
 * CPUs see and do meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hv/insn/emulate.h"
#include "hv/x86/cpu.h"
#include "hv/x86/msr.h"
#include "tests/host/emulate_rig.h"
#include "tests/host/plat.h"

#define CODE RIG_CODE
#define DEV  RIG_DEV

static struct fake *f;
static uint64_t *gpr;

/* What vCPU 0 exits with next: by default for an access to device memory. */
static struct vm_exit exit_now;

static int setup(void **state)
{
	f = rig_reset();
	gpr = f->vm.vcpus[0].virt.gpr;
	exit_now = (struct vm_exit){.kind = VM_EXIT_NPF};
	return 0;
}

static int teardown(void **state)
{
	assert_int_equal(host_ram_held(), 0);
	host_ram_reset(0);
	return 0;
}

static void run(const char *bytes, unsigned len)
{
	rig_emulate(bytes, len, &exit_now);
	assert_string_equal(dev.failure, "");
}

#define RUN(bytes)                                                           \
	do {                                                                 \
		run(bytes, sizeof(bytes) - 1);                               \
		assert_false(f->injected);                                   \
		assert_int_equal(f->reg[REG_RIP], CODE + sizeof(bytes) - 1); \
	} while (0)

static void run_gp(const char *bytes, unsigned len)
{
	run(bytes, len);
	assert_true(f->injected);
	assert_int_equal(f->event.vector, VECTOR_GP);
	assert_int_equal(f->reg[REG_RIP], CODE);
}

/* Page directory at 0x8000, page table at 0x9000, 32-bit paging. */
static void paging_on(void)
{
	uint32_t *pd = (uint32_t *)(host_ram() + 0x8000), *pt = (uint32_t *)(host_ram() + 0x9000);

	pd[0] = 0x9000 | 7;
	pd[DEV >> 22] = DEV | 0x80 | 3; /* 4 MiB page */
	for (uint32_t i = 0; i < 16; i++)
		pt[i] = i << 12 | 3;
	f->reg[REG_CR3] = 0x8000;
	f->reg[REG_CR4] = CR4_PSE;
	f->reg[REG_CR0] |= CR0_PG | CR0_WP;
}

/* Nothing may happen but the sentence: neither registers nor memory change. */
static void refused(const char *bytes, unsigned len)
{
	uint64_t gpr_before[GPR_COUNT];
	uint8_t page_before[sizeof(dev.page)];
	uint64_t rsp = f->reg[REG_RSP], rflags = f->reg[REG_RFLAGS];

	memcpy(host_ram() + CODE, bytes, len);
	memcpy(gpr_before, gpr, sizeof(gpr_before));
	memcpy(page_before, dev.page, sizeof(page_before));
	f->reg[REG_RIP] = CODE;
	emulate(&f->vm.vcpus[0], &exit_now);
	if (!strstr(dev.failure, "is not emulated"))
		fail_msg("%02x %02x %02x ran", host_ram()[CODE], host_ram()[CODE + 1],
			 host_ram()[CODE + 2]);
	assert_memory_equal(gpr, gpr_before, sizeof(gpr_before));
	assert_memory_equal(dev.page, page_before, sizeof(page_before));
	assert_int_equal(f->reg[REG_RSP], rsp);
	assert_int_equal(f->reg[REG_RFLAGS], rflags);
	assert_int_equal(f->reg[REG_RIP], CODE);
	assert_int_equal(f->skips, 0);
	dev.failure[0] = '\0';
}

#define REFUSED(bytes) refused(bytes, sizeof(bytes) - 1)

/* Instructions that share a mnemonic, or the opcode of a condition, with one that is emulated. */
static void forms_of_one_name_are_told_apart(void **state)
{
	gpr[GPR_RBX] = DEV;
	gpr[GPR_RSI] = DEV;
	gpr[GPR_RDI] = DEV + 64;
	gpr[GPR_RAX] = 0x12345678;
	f->reg[REG_RSP] = DEV + 128;
	memset(dev.page, 0x5a, sizeof(dev.page));
	REFUSED("\xf7\x2b");             /* imul dword [ebx]: one operand */
	REFUSED("\xf6\x2b");             /* imul byte [ebx] */
	REFUSED("\xf2\x0f\x10\x03");     /* movsd xmm0, [ebx] */
	REFUSED("\xf2\x0f\x11\x03");     /* movsd [ebx], xmm0 */
	REFUSED("\xf2\x0f\xc2\x03\x00"); /* cmpsd xmm0, [ebx], 0 */
	REFUSED("\x8e\x1b");             /* mov ds, [ebx] */
	REFUSED("\x1f");                 /* pop ds */
	REFUSED("\x0f\xa1");             /* pop fs */
	REFUSED("\xc5\xf8\x91\x03");     /* kmovw [ebx], k0: SETNO's opcode */
	REFUSED("\xc5\xf8\x90\x03");     /* kmovw k0, [ebx]: SETO's */
	f->seg[SEG_CS].l = true;
	f->seg[SEG_CS].db = false;
	f->reg[REG_EFER] = EFER_LMA | EFER_LME;
	REFUSED("\x48\xf7\x2b"); /* imul qword [rbx] */
	REFUSED("\x66\x63\x03"); /* movsxd ax, [rbx] */
}

static unsigned length(enum vm_exit_kind kind, const char *bytes, unsigned len)
{
	memcpy(host_ram() + CODE, bytes, len);
	f->reg[REG_RIP] = CODE;
	f->injected = false;
	return emulate_insn_length(&f->vm.vcpus[0], kind);
}

static void lengths(void **state)
{
	assert_int_equal(length(VM_EXIT_CPUID, "\x0f\xa2", 2), 2);
	assert_int_equal(length(VM_EXIT_HLT, "\x66\x2e\xf4", 3), 3); /* two prefixes */
	assert_int_equal(length(VM_EXIT_HYPERCALL, "\x0f\x01\xd9", 3), 3);
	assert_int_equal(length(VM_EXIT_MSR_WRITE, "\xf3\x0f\x30", 3), 3); /* rep wrmsr */
	assert_int_equal(length(VM_EXIT_MSR_READ, "\x0f\x32", 2), 2);
	assert_int_equal(length(VM_EXIT_PAUSE, "\xf3\x90", 2), 2);
	assert_int_equal(length(VM_EXIT_CACHE, "\x0f\x09", 2), 2);
	assert_int_equal(length(VM_EXIT_XSETBV, "\x0f\x01\xd1", 3), 3);
	assert_int_equal(f->reg[REG_RIP], CODE);
	assert_false(f->injected);
	/* Its page has gone: the fetch faults as the guest's own would. */
	f->reg[REG_CR0] |= CR0_PG;
	f->reg[REG_CR3] = 0x3000;
	assert_int_equal(length(VM_EXIT_CPUID, "\x0f\xa2", 2), 0);
	assert_true(f->injected);
	assert_int_equal(f->event.vector, VECTOR_PF);
}

/* Bytes that changed under the exit: no instruction, or another. Neither stops the machine. */
static void bytes_under_an_exit(void **state)
{
	f->seg[SEG_SS].dpl = 3;
	assert_int_equal(length(VM_EXIT_CPUID, "\x0f\x04", 2), 0);
	assert_true(f->injected);
	assert_int_equal(f->event.vector, VECTOR_UD);
	assert_false(f->event.has_code);
	assert_int_equal(length(VM_EXIT_PAUSE, "\xf0\xf4", 2), 0); /* lock hlt */
	assert_true(f->injected);
	assert_int_equal(length(VM_EXIT_PAUSE,
				"\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e", 15),
			 0);
	assert_true(f->injected);
	assert_int_equal(f->event.vector, VECTOR_GP); /* longer than 15 bytes */
	/* Another one: the CPU shall look itself, but not for ever. */
	for (unsigned i = 0; i < 16; i++) {
		assert_int_equal(length(VM_EXIT_CPUID, "\x90", 1), 0);
		assert_false(f->injected);
	}
	assert_int_equal(length(VM_EXIT_CPUID, "\x90", 1), 0);
	assert_true(f->injected);
	assert_int_equal(f->event.vector, VECTOR_UD);
	assert_int_equal(f->skips, 0);
	assert_string_equal(dev.failure, "");
}

/* At a page's end: what is not there is not made up. */
static void fetch_over_a_page(void **state)
{
	uint32_t *pt;

	paging_on();
	pt = (uint32_t *)(host_ram() + 0x9000);
	pt[2] = 0;
	gpr[GPR_RBX] = DEV;
	memcpy(host_ram() + 0x1ffe, "\xc7\x03\x78\x56\x34\x12", 6); /* mov dword [ebx], imm32 */
	f->reg[REG_RIP] = 0x1ffe;
	emulate(&f->vm.vcpus[0], &exit_now);
	assert_true(f->injected);
	assert_int_equal(f->event.vector, VECTOR_PF);
	assert_int_equal(f->vm.vcpus[0].virt.cr2, 0x2000);
	assert_int_equal(dev.writes, 0);
	/* One that ends there needs no more. */
	f->injected = false;
	memcpy(host_ram() + 0x1ffe, "\x89\x03", 2); /* mov [ebx], eax */
	emulate(&f->vm.vcpus[0], &exit_now);
	assert_false(f->injected);
	assert_int_equal(dev.writes, 1);
}

/* Nothing has happened, and the guest goes on at the instruction. */
static void left_alone(const char *bytes, unsigned len)
{
	struct fake before = *f;

	run(bytes, len);
	assert_false(f->injected);
	assert_int_equal(f->reg[REG_RIP], CODE);
	assert_memory_equal(f->vm.vcpus[0].virt.gpr, before.vm.vcpus[0].virt.gpr,
			    sizeof(before.vm.vcpus[0].virt.gpr));
	assert_int_equal(f->reg[REG_CR0], before.reg[REG_CR0]);
	assert_int_equal(f->reg[REG_RSP], before.reg[REG_RSP]);
	assert_int_equal(f->skips, before.skips);
	assert_int_equal(dev.reads + dev.writes + dev.port_next + dev.port_len, 0);
}

#define LEFT_ALONE(bytes) left_alone(bytes, sizeof(bytes) - 1)

/* Each kind of exit takes only what it can come from. */
static void exits_take_their_own(void **state)
{
	gpr[GPR_RBX] = DEV;
	gpr[GPR_RSI] = 0x2000;
	gpr[GPR_RDI] = 0x3000;
	gpr[GPR_RAX] = CR0_PE | CR0_ET | CR0_NE | CR0_WP;
	f->reg[REG_RSP] = 0x8000;
	for (unsigned i = 0; i < 2; i++) {
		f->vm.vcpus[0].changed = 0;
		exit_now.kind = i ? VM_EXIT_APIC_ACCESS : VM_EXIT_NPF;
		LEFT_ALONE("\x6e");         /* outsb */
		LEFT_ALONE("\x6c");         /* insb */
		LEFT_ALONE("\x0f\x22\xc0"); /* mov cr0, eax */
		LEFT_ALONE("\x0f\x06");     /* clts */
		LEFT_ALONE("\x0f\x01\x3b"); /* invlpg [ebx] */
		LEFT_ALONE("\x89\xc3");     /* mov ebx, eax: no memory */
		LEFT_ALONE("\x8d\x03");     /* lea eax, [ebx] */
		LEFT_ALONE("\xcc");         /* int3: a kernel that patches its code */
		LEFT_ALONE("\x0f\x1f\x03"); /* nop [ebx] */
	}
	f->vm.vcpus[0].changed = 0;
	exit_now = rig_port_exit(true, 4);
	LEFT_ALONE("\x6c");     /* insb: the CPU asked about four ports */
	LEFT_ALONE("\x6f");     /* outsd */
	LEFT_ALONE("\x89\x03"); /* mov [ebx], eax */
	LEFT_ALONE("\xec");     /* in al, dx */
	LEFT_ALONE("\x0f\x06"); /* clts */
	exit_now = (struct vm_exit){.kind = VM_EXIT_EMULATE};
	LEFT_ALONE("\x6e");
	LEFT_ALONE("\x89\x03");
	LEFT_ALONE("\xff\x33"); /* push [ebx] */
}

/* A program can't stop the machine with an instruction that is not emulated; its kernel can. */
static void a_program_gets_ud(void **state)
{
	gpr[GPR_RBX] = DEV;
	f->seg[SEG_SS].dpl = 3;
	run("\x0f\x28\x03", 3); /* movaps xmm0, [ebx] */
	assert_true(f->injected);
	assert_int_equal(f->event.vector, VECTOR_UD);
	assert_int_equal(f->vm.vcpus[0].refused, 1);
}

#define TSS 0x6000u

/* SDM vol. 1, 19.5.2: what the CPU asks before INS and OUTS. */
static void port_permissions(void **state)
{
	uint8_t *tss = host_ram() + TSS;

	gpr[GPR_RDX] = 0x3fe;
	gpr[GPR_RDI] = 0x3000;
	exit_now = rig_port_exit(true, 1);
	f->seg[SEG_SS].dpl = 3;
	f->seg[SEG_TR] =
		(struct virt_seg){.base = TSS, .limit = 0x67, .type = 0xb, .present = true};
	run_gp("\x6c", 1); /* no bitmap in the TSS */
	memcpy(tss + 0x66, "\x68\x00", 2);
	f->seg[SEG_TR].limit = 0x68 + 0x7f; /* the second byte of the two is not there */
	run_gp("\x6c", 1);
	f->seg[SEG_TR].limit = 0x68 + 0x80;
	tss[0x68 + 0x7f] = 0xbf; /* port 0x3fe alone */
	tss[0x68 + 0x80] = 0xff;
	RUN("\x6c");
	exit_now = rig_port_exit(true, 2);
	run_gp("\x66\x6d", 2);
	tss[0x68 + 0x7f] = 0x3f; /* and 0x3ff */
	RUN("\x66\x6d");
	exit_now = rig_port_exit(true, 4); /* over the byte's end */
	run_gp("\x6d", 1);
	tss[0x68 + 0x80] = 0xfc;
	RUN("\x6d");
	tss[0x68 + 0x7f] = 0xff;
	f->reg[REG_RFLAGS] |= RFLAGS_IOPL;
	RUN("\x6d");
	f->reg[REG_RFLAGS] |= RFLAGS_VM; /* virtual-8086: IOPL does not count */
	f->seg[SEG_CS].db = f->seg[SEG_SS].db = false;
	run_gp("\x66\x6d", 2);
	tss[0x68 + 0x7f] = 0x3f;
	RUN("\x66\x6d");
	/* A 16-bit TSS has no bitmap. */
	f->seg[SEG_TR].type = 3;
	run_gp("\x66\x6d", 2);
	f->reg[REG_CR0] &= ~CR0_PE;
	f->reg[REG_RFLAGS] = RFLAGS_FIXED;
	RUN("\x66\x6d");
}

/* Another CPU changes the operand between the read and the write of a locked instruction. */
static void rival(gpa_t gpa, bool write)
{
	if (write && gpa == 0x5001) {
		host_gmem_hook = NULL;
		host_ram()[0x5001]++;
	}
}

static void locked(const char *bytes, unsigned len)
{
	const uint64_t eax = gpr[GPR_RAX], flags = f->reg[REG_RFLAGS];

	memcpy(host_ram() + 0x5001, "\x05\x00\x00\x00", 4);
	host_gmem_hook = rival;
	run(bytes, len);
	assert_false(f->injected);
	assert_int_equal(f->reg[REG_RIP], CODE);
	assert_int_equal(gpr[GPR_RAX], eax);
	assert_int_equal(f->reg[REG_RFLAGS], flags);
	assert_memory_equal(host_ram() + 0x5001, "\x06\x00\x00\x00", 4);
	run(bytes, len);
	assert_int_equal(f->reg[REG_RIP], CODE + len);
}

#define LOCKED(bytes) locked(bytes, sizeof(bytes) - 1)

static void locked_ones_are_atomic(void **state)
{
	gpr[GPR_RBX] = 0x5001; /* LOCK takes unaligned ones */
	gpr[GPR_RAX] = 1;
	LOCKED("\xf0\x0f\xc1\x03"); /* lock xadd [ebx], eax */
	assert_int_equal(host_ram()[0x5001], 7);
	assert_int_equal(gpr[GPR_RAX], 6);
	LOCKED("\xf0\xff\x03"); /* lock inc dword [ebx] */
	assert_int_equal(host_ram()[0x5001], 7);
	LOCKED("\xf0\x0f\xba\x2b\x04"); /* lock bts dword [ebx], 4 */
	assert_int_equal(host_ram()[0x5001], 0x16);
	gpr[GPR_RCX] = 1;
	LOCKED("\xf0\x0f\xab\x0b"); /* lock bts [ebx], ecx */
	LOCKED("\x87\x03");         /* xchg [ebx], eax */
	assert_int_equal(gpr[GPR_RAX], 6);
	gpr[GPR_RAX] = 6;
	gpr[GPR_RCX] = 0x77;
	LOCKED("\xf0\x0f\xb1\x0b"); /* lock cmpxchg [ebx], ecx */
	assert_int_equal(host_ram()[0x5001], 0x77);
	LOCKED("\xf0\x66\x83\x03\x01"); /* lock add word [ebx], 1 */
	LOCKED("\xf0\x80\x03\x01");     /* lock add byte */
	assert_int_equal(host_ram()[0x5001], 7);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(forms_of_one_name_are_told_apart),
		T(lengths),
		T(bytes_under_an_exit),
		T(fetch_over_a_page),
		T(exits_take_their_own),
		T(a_program_gets_ud),
		T(port_permissions),
		T(locked_ones_are_atomic),
	};

	return cmocka_run_group_tests_name("emulate_exits", tests, NULL, NULL);
}
