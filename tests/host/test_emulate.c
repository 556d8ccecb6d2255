/* hv/insn/emulate*.c and walk.c: real instruction bytes against a fake vCPU, RAM and one device page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hv/core/intr.h"
#include "hv/insn/emulate.h"
#include "hv/insn/walk.h"
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

static uint32_t dev32(unsigned off)
{
	uint32_t v;

	memcpy(&v, dev.page + off, 4);
	return v;
}

static void set_dev32(unsigned off, uint32_t v)
{
	memcpy(dev.page + off, &v, 4);
}

static void moves(void **state)
{
	gpr[GPR_RBX] = DEV;
	gpr[GPR_RAX] = 0x11223344;
	RUN("\x89\x43\x20"); /* mov [ebx+0x20], eax */
	assert_int_equal(dev32(0x20), 0x11223344);
	RUN("\xc7\x03\x78\x56\x34\x12"); /* mov dword [ebx], 0x12345678 */
	RUN("\x8b\x0b");                 /* mov ecx, [ebx] */
	assert_int_equal(gpr[GPR_RCX], 0x12345678);
	RUN("\xa1\x20\x00\xe0\xfe"); /* mov eax, moffs32 */
	assert_int_equal(gpr[GPR_RAX], 0x11223344);
	RUN("\x0f\xb6\x53\x23"); /* movzx edx, byte [ebx+0x23] */
	assert_int_equal(gpr[GPR_RDX], 0x11);
	set_dev32(0x40, 0x000080f0);
	RUN("\x0f\xbe\x53\x40"); /* movsx edx, byte [ebx+0x40] */
	assert_int_equal(gpr[GPR_RDX], 0xfffffff0);
	RUN("\x0f\xbf\x53\x40"); /* movsx edx, word */
	assert_int_equal(gpr[GPR_RDX], 0xffff80f0);
	gpr[GPR_RAX] = 0xaabbccdd;
	RUN("\x8a\x63\x40"); /* mov ah, [ebx+0x40] */
	assert_int_equal(gpr[GPR_RAX], 0xaabbf0dd);
	RUN("\x88\x63\x50"); /* mov [ebx+0x50], ah */
	assert_int_equal(dev.page[0x50], 0xf0);
	RUN("\x66\x8b\x43\x40"); /* mov ax, [ebx+0x40] */
	assert_int_equal(gpr[GPR_RAX], 0xaabb80f0);
}

static void arithmetic(void **state)
{
	gpr[GPR_RBX] = DEV;
	set_dev32(0, 0xf0);
	RUN("\x83\x0b\x0f"); /* or dword [ebx], 0xf */
	assert_int_equal(dev32(0), 0xff);
	assert_int_equal(dev.reads, 1);
	assert_int_equal(dev.writes, 1);
	RUN("\x81\x3b\xff\x00\x00\x00"); /* cmp dword [ebx], 0xff */
	assert_int_equal(dev.writes, 1);
	assert_true(f->reg[REG_RFLAGS] & BIT(6));
	RUN("\xf7\x03\x00\x01\x00\x00"); /* test dword [ebx], 0x100 */
	assert_true(f->reg[REG_RFLAGS] & BIT(6));
	gpr[GPR_RAX] = 1;
	RUN("\x03\x03"); /* add eax, [ebx] */
	assert_int_equal(gpr[GPR_RAX], 0x100);
	RUN("\xff\x03"); /* inc dword [ebx] */
	RUN("\xf7\x1b"); /* neg dword [ebx] */
	assert_int_equal(dev32(0), 0xffffff00);
	RUN("\xf7\x13"); /* not dword [ebx] */
	assert_int_equal(dev32(0), 0xff);
	RUN("\x0f\xba\x2b\x1f"); /* bts dword [ebx], 31 */
	assert_int_equal(dev32(0), 0x800000ff);
	gpr[GPR_RCX] = 32 + 3;
	RUN("\x0f\xab\x0b"); /* bts [ebx], ecx: the next word */
	assert_int_equal(dev32(4), 8);
	gpr[GPR_RCX] = (uint32_t)-1;
	gpr[GPR_RBX] = DEV + 8;
	RUN("\x0f\xa3\x0b"); /* bt [ebx], ecx: the word before */
	assert_false(f->reg[REG_RFLAGS] & 1);
}

static void exchanges(void **state)
{
	gpr[GPR_RBX] = DEV;
	set_dev32(0, 5);
	gpr[GPR_RAX] = 7;
	RUN("\x87\x03"); /* xchg [ebx], eax */
	assert_int_equal(dev32(0), 7);
	assert_int_equal(gpr[GPR_RAX], 5);
	RUN("\xf0\x0f\xc1\x03"); /* lock xadd [ebx], eax */
	assert_int_equal(dev32(0), 12);
	assert_int_equal(gpr[GPR_RAX], 7);
	gpr[GPR_RCX] = 99;
	RUN("\xf0\x0f\xb1\x0b"); /* lock cmpxchg [ebx], ecx: differs */
	assert_int_equal(gpr[GPR_RAX], 12);
	assert_false(f->reg[REG_RFLAGS] & BIT(6));
	RUN("\xf0\x0f\xb1\x0b"); /* now equal */
	assert_int_equal(dev32(0), 99);
	assert_true(f->reg[REG_RFLAGS] & BIT(6));
}

static void stack(void **state)
{
	gpr[GPR_RBX] = DEV;
	f->reg[REG_RSP] = 0x8000;
	set_dev32(0, 0xcafe);
	RUN("\xff\x33"); /* push dword [ebx] */
	assert_int_equal(f->reg[REG_RSP], 0x7ffc);
	RUN("\x8f\x43\x10"); /* pop dword [ebx+0x10] */
	assert_int_equal(dev32(0x10), 0xcafe);
	assert_int_equal(f->reg[REG_RSP], 0x8000);
}

static void strings(void **state)
{
	gpr[GPR_RSI] = 0x2000;
	gpr[GPR_RDI] = DEV;
	gpr[GPR_RCX] = 4;
	memcpy(host_ram() + 0x2000, "abcdefghijklmnop", 16);
	RUN("\xf3\xa5"); /* rep movsd */
	assert_memory_equal(dev.page, "abcdefghijklmnop", 16);
	assert_int_equal(gpr[GPR_RCX], 0);
	assert_int_equal(gpr[GPR_RDI], DEV + 16);
	f->reg[REG_RFLAGS] |= RFLAGS_DF;
	gpr[GPR_RDI] = DEV + 3;
	gpr[GPR_RAX] = 'z';
	gpr[GPR_RCX] = 2;
	RUN("\xf3\xaa"); /* rep stosb, downwards */
	assert_memory_equal(dev.page, "abzz", 4);
	f->reg[REG_RFLAGS] &= ~RFLAGS_DF;
	gpr[GPR_RCX] = 0;
	RUN("\xf3\xaa"); /* count 0 */
	assert_int_equal(gpr[GPR_RDI], DEV + 1);
}

static void scans(void **state)
{
	gpr[GPR_RDI] = DEV;
	gpr[GPR_RCX] = 10;
	gpr[GPR_RAX] = 'c';
	memcpy(dev.page, "aabbccdd", 8);
	RUN("\xf2\xae"); /* repne scasb: finds the first c */
	assert_int_equal(gpr[GPR_RDI], DEV + 5);
	assert_int_equal(gpr[GPR_RCX], 5);
	assert_true(f->reg[REG_RFLAGS] & RFLAGS_ZF);
	gpr[GPR_RSI] = 0x2000;
	gpr[GPR_RDI] = DEV;
	gpr[GPR_RCX] = 8;
	memcpy(host_ram() + 0x2000, "aabbcxdd", 8);
	RUN("\xf3\xa6"); /* repe cmpsb: stops behind the difference */
	assert_int_equal(gpr[GPR_RSI], 0x2006);
	assert_int_equal(gpr[GPR_RDI], DEV + 6);
	assert_int_equal(gpr[GPR_RCX], 2);
	assert_false(f->reg[REG_RFLAGS] & RFLAGS_ZF);
	assert_false(f->reg[REG_RFLAGS] & 1); /* 'x' is above 'c' */
	gpr[GPR_RSI] = 0x2000;
	gpr[GPR_RDI] = DEV;
	gpr[GPR_RCX] = 4;
	RUN("\xf3\xa6"); /* to the end of the count */
	assert_int_equal(gpr[GPR_RCX], 0);
	assert_true(f->reg[REG_RFLAGS] & RFLAGS_ZF);
	assert_int_equal(dev.writes, 0);
}

/* With TF each iteration is a step: RIP stays, and the step is told. */
static void single_step_of_a_string(void **state)
{
	exit_now = rig_port_exit(false, 1);
	gpr[GPR_RDX] = 0x3f8;
	gpr[GPR_RSI] = 0x2000;
	gpr[GPR_RCX] = 2;
	f->reg[REG_RFLAGS] |= RFLAGS_TF;
	run("\xf3\x6e", 2); /* rep outsb */
	assert_int_equal(gpr[GPR_RCX], 1);
	assert_int_equal(f->reg[REG_RIP], CODE);
	assert_int_equal(f->skips, 1);
	run("\xf3\x6e", 2);
	assert_int_equal(gpr[GPR_RCX], 0);
	assert_int_equal(f->reg[REG_RIP], CODE + 2);
	assert_int_equal(f->skips, 2);
}

static void conditional(void **state)
{
	gpr[GPR_RBX] = DEV;
	set_dev32(0, 77);
	gpr[GPR_RAX] = 5;
	f->reg[REG_RFLAGS] |= RFLAGS_ZF;
	RUN("\x0f\x45\x03"); /* cmovnz eax, [ebx] */
	assert_int_equal(gpr[GPR_RAX], 5);
	RUN("\x0f\x44\x03"); /* cmovz */
	assert_int_equal(gpr[GPR_RAX], 77);
	RUN("\x0f\x95\x03"); /* setnz [ebx] */
	assert_int_equal(dev32(0), 0);
	RUN("\x0f\x94\x03"); /* setz */
	assert_int_equal(dev32(0), 1);
}

static void shifts_and_products(void **state)
{
	gpr[GPR_RBX] = DEV;
	set_dev32(0, 6);
	RUN("\xc1\x23\x04"); /* shl dword [ebx], 4 */
	assert_int_equal(dev32(0), 0x60);
	RUN("\xd1\x2b"); /* shr dword [ebx], 1 */
	assert_int_equal(dev32(0), 0x30);
	gpr[GPR_RCX] = 2;
	RUN("\xd3\x3b"); /* sar dword [ebx], cl */
	assert_int_equal(dev32(0), 0xc);
	RUN("\x6b\x03\xfd"); /* imul eax, [ebx], -3 */
	assert_int_equal((uint32_t)gpr[GPR_RAX], (uint32_t)-36);
	gpr[GPR_RAX] = 5;
	RUN("\x0f\xaf\x03"); /* imul eax, [ebx] */
	assert_int_equal(gpr[GPR_RAX], 60);
}

static void port_strings(void **state)
{
	gpr[GPR_RDX] = 0x3f8;
	gpr[GPR_RSI] = 0x2000;
	gpr[GPR_RCX] = 5;
	memcpy(host_ram() + 0x2000, "hello", 5);
	exit_now = rig_port_exit(false, 1);
	RUN("\xf3\x6e"); /* rep outsb */
	assert_int_equal(dev.port_len, 5);
	assert_memory_equal(dev.port_log, "hello", 5);
	dev.port_next = 'A';
	gpr[GPR_RDI] = 0x2ffe; /* over a page boundary */
	gpr[GPR_RCX] = 4;
	exit_now = rig_port_exit(true, 1);
	RUN("\xf3\x6c"); /* rep insb */
	assert_memory_equal(host_ram() + 0x2ffe, "ABCD", 4);
	/* More than a burst: RIP stays until all is done. */
	dev.port_next = 0;
	gpr[GPR_RDI] = 0x4000;
	gpr[GPR_RCX] = 300;
	run("\xf3\x6c", 2);
	assert_int_equal(f->reg[REG_RIP], CODE);
	assert_int_equal(gpr[GPR_RCX], 44);
	run("\xf3\x6c", 2);
	assert_int_equal(f->reg[REG_RIP], CODE + 2);
	assert_int_equal(host_ram()[0x4000 + 299], 299 & 0xff);
}

static void segment_limit_raises_gp(void **state)
{
	exit_now = rig_port_exit(true, 2);
	gpr[GPR_RDX] = 0x3f8;
	gpr[GPR_RDI] = 0xfffe;
	gpr[GPR_RCX] = 4;
	f->seg[SEG_ES].limit = 0xffff;
	run("\xf3\x66\x6d", 3); /* rep insw: one fits, the second is beyond the limit */
	assert_true(f->injected);
	assert_int_equal(f->event.vector, VECTOR_GP);
	assert_int_equal(gpr[GPR_RCX], 3);
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

static void page_fault_in_a_string(void **state)
{
	uint32_t *pt;

	paging_on();
	pt = (uint32_t *)(host_ram() + 0x9000);
	pt[3] = 0; /* 0x3000 is not there */
	gpr[GPR_RDX] = 0x3f8;
	gpr[GPR_RSI] = 0x2ffd;
	gpr[GPR_RCX] = 8;
	memcpy(host_ram() + 0x2ffd, "xyz", 3);
	exit_now = rig_port_exit(false, 1);
	run("\xf3\x6e", 2); /* rep outsb */
	assert_true(f->injected);
	assert_int_equal(f->event.vector, VECTOR_PF);
	assert_int_equal(f->event.code, 0);
	assert_int_equal(f->vm.vcpus[0].virt.cr2, 0x3000);
	assert_int_equal(gpr[GPR_RCX], 5);
	assert_int_equal(gpr[GPR_RSI], 0x3000);
	assert_int_equal(dev.port_len, 3);
	/* An INS onto a read-only page faults before the port is read. */
	pt[4] = 0x4000 | 1;
	gpr[GPR_RDI] = 0x4000;
	exit_now = rig_port_exit(true, 1);
	run("\x6c", 1); /* insb */
	assert_true(f->injected);
	assert_int_equal(f->event.code, 3);
	assert_int_equal(dev.port_next, 0);
}

static void walker_sets_accessed_and_dirty(void **state)
{
	uint32_t *pt, *pd;
	struct walk_mode mode;
	struct virt_event fault;
	gpa_t gpa;

	paging_on();
	pd = (uint32_t *)(host_ram() + 0x8000);
	pt = (uint32_t *)(host_ram() + 0x9000);
	walk_mode_read(&f->vm.vcpus[0], &mode);
	assert_int_equal(walk(&f->vm.vcpus[0], &mode, 0x5123, WALK_READ, &gpa, &fault), 0);
	assert_int_equal(gpa, 0x5123);
	assert_int_equal(pd[0] & 0x60, 0x20);
	assert_int_equal(pt[5] & 0x60, 0x20);
	assert_int_equal(walk(&f->vm.vcpus[0], &mode, 0x5123, WALK_WRITE, &gpa, &fault), 0);
	assert_int_equal(pt[5] & 0x60, 0x60);
	assert_int_equal(walk(&f->vm.vcpus[0], &mode, DEV + 0x12345, WALK_READ, &gpa, &fault), 0);
	assert_int_equal(gpa, DEV + 0x12345);
	/* A user access to a supervisor page. */
	mode.user = true;
	assert_int_equal(walk(&f->vm.vcpus[0], &mode, 0x5123, WALK_READ, &gpa, &fault),
			 ERR_INVALID);
	assert_int_equal(fault.code, 5);
}

static void walker_knows_pae_and_long_mode(void **state)
{
	uint64_t *pdpt = (uint64_t *)(host_ram() + 0xa000), *pd = (uint64_t *)(host_ram() + 0xb000);
	uint64_t *pt = (uint64_t *)(host_ram() + 0xc000), *pml4 = (uint64_t *)(host_ram() + 0xd000);
	struct walk_mode mode = {
		.cr0 = CR0_PE | CR0_PG | CR0_WP, .cr3 = 0xa020, .cr4 = CR4_PAE, .efer = EFER_NXE};
	struct virt_event fault;
	struct vcpu *v = &f->vm.vcpus[0];
	gpa_t gpa;

	pdpt[4 + 1] = 0xb000 | 1; /* the PDPT is at 0xa020; entry 1 covers 1 GiB on */
	pd[2] = 0xc000 | 3;
	pt[3] = 0x7000 | 3 | BIT(63);
	assert_int_equal(walk(v, &mode, 0x40403456, WALK_WRITE, &gpa, &fault), 0);
	assert_int_equal(gpa, 0x7456);
	assert_int_equal(pdpt[5], 0xb000 | 1); /* PDPTEs have no accessed bit */
	assert_int_equal(walk(v, &mode, 0x40403456, WALK_FETCH, &gpa, &fault), ERR_INVALID);
	assert_int_equal(fault.code, 0x11);
	mode.efer = 0; /* NX is reserved then */
	assert_int_equal(walk(v, &mode, 0x40403456, WALK_READ, &gpa, &fault), ERR_INVALID);
	assert_int_equal(fault.code, 9);

	mode = (struct walk_mode){CR0_PE | CR0_PG,     0xd000, CR4_PAE,
				  EFER_LMA | EFER_NXE, false,  false};
	pml4[0x1ff] = 0xa000 | 3;
	pdpt[0x1fe] = 0xb000 | 3;
	pd[5] = 0xe00000 | 0x80 | 3;
	assert_int_equal(walk(v, &mode, 0xffffffff80abcdefull, WALK_READ, &gpa, &fault), 0);
	assert_int_equal(gpa, 0xe00000 + 0xbcdef);
}

static void unknown_instruction_is_named(void **state)
{
	memcpy(host_ram() + CODE, "\x0f\x28\x03", 3); /* movaps xmm0, [ebx] */
	gpr[GPR_RBX] = DEV;
	f->reg[REG_RIP] = CODE;
	emulate(&f->vm.vcpus[0], &exit_now);
	assert_non_null(strstr(dev.failure, "is not emulated (at 0x1000, bytes 0f 28 03"));
}

/* Base 101 with mod 0 is no base, also when REX.B makes it look like R13's. */
static void no_base_with_rex(void **state)
{
	f->seg[SEG_CS].l = true;
	f->seg[SEG_CS].db = false;
	f->reg[REG_EFER] = EFER_LMA | EFER_LME;
	gpr[GPR_R13] = DEV;
	gpr[GPR_RDX] = DEV / 2;
	set_dev32(0x20, 0x1234);
	RUN("\x41\x8b\x04\x55\x20\x00\x00\x00"); /* mov eax, [2 * rdx + 0x20] */
	assert_int_equal(gpr[GPR_RAX], 0x1234);
	gpr[GPR_RAX] = 0;
	RUN("\x67\x41\x8b\x04\x55\x20\x00\x00\x00"); /* edx */
	assert_int_equal(gpr[GPR_RAX], 0x1234);
}

static void real_mode_addressing(void **state)
{
	exit_now = rig_port_exit(false, 1);
	f->reg[REG_CR0] &= ~CR0_PE;
	for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
		f->seg[i].db = false;
		f->seg[i].limit = 0xffff;
		f->seg[i].base = 0;
	}
	f->seg[SEG_DS].base = 0x3000;
	gpr[GPR_RSI] = 0xdead0010; /* only SI counts */
	gpr[GPR_RDX] = 0x3f8;
	host_ram()[0x3010] = 'R';
	RUN("\x6e"); /* outsb */
	assert_int_equal(dev.port_log[0], 'R');
	assert_int_equal(gpr[GPR_RSI], 0xdead0011);
	f->seg[SEG_FS].base = 0x4000;
	host_ram()[0x4011] = 'F';
	RUN("\x64\x6e"); /* fs outsb */
	assert_int_equal(dev.port_log[1], 'F');
}

static void control_registers(void **state)
{
	const uint64_t cr0 = CR0_PE | CR0_ET | CR0_NE;

	exit_now.kind = VM_EXIT_EMULATE;
	gpr[GPR_RAX] = cr0 | CR0_WP;
	RUN("\x0f\x22\xc0"); /* mov cr0, eax */
	assert_int_equal(f->reg[REG_CR0], cr0 | CR0_WP);
	RUN("\x0f\x20\xc3"); /* mov ebx, cr0 */
	assert_int_equal(gpr[GPR_RBX], cr0 | CR0_WP);
	gpr[GPR_RCX] = CR4_PGE;
	RUN("\x0f\x22\xe1"); /* mov cr4, ecx */
	assert_int_equal(f->reg[REG_CR4], CR4_PGE);
	RUN("\x0f\x20\xe2"); /* mov edx, cr4 */
	assert_int_equal(gpr[GPR_RDX], CR4_PGE);
	f->reg[REG_CR3] = 0x5000;
	RUN("\x0f\x20\xde"); /* mov esi, cr3 */
	assert_int_equal(gpr[GPR_RSI], 0x5000);
	/* MOV to CR0 and CR4 refuse what makes no sense or is not allowed. */
	gpr[GPR_RAX] = CR0_PG;
	run_gp("\x0f\x22\xc0", 3);
	assert_int_equal(f->reg[REG_CR0], cr0 | CR0_WP);
	gpr[GPR_RCX] = CR4_PGE | CR4_VMXE;
	run_gp("\x0f\x22\xe1", 3);
	f->seg[SEG_SS].dpl = 3;
	run_gp("\x0f\x20\xc3", 3);
}

static void status_word(void **state)
{
	const uint64_t cr0 = f->reg[REG_CR0];

	exit_now.kind = VM_EXIT_EMULATE;
	f->reg[REG_CR0] = cr0 | CR0_TS;
	RUN("\x0f\x06"); /* clts */
	assert_int_equal(f->reg[REG_CR0], cr0);
	gpr[GPR_RAX] = CR0_TS | CR0_MP; /* without PE, which stays */
	RUN("\x0f\x01\xf0");            /* lmsw ax */
	assert_int_equal(f->reg[REG_CR0], cr0 | CR0_TS | CR0_MP);
	gpr[GPR_RBX] = 0x2000;
	memcpy(host_ram() + 0x2000, "\x00\x00\xff\xff", 4);
	RUN("\x0f\x01\x33"); /* lmsw [ebx] */
	assert_int_equal(f->reg[REG_CR0], cr0);
	RUN("\x0f\x01\x23"); /* smsw [ebx]: two bytes */
	assert_memory_equal(host_ram() + 0x2000, "\x31\x00\xff\xff", 4);
	RUN("\x0f\x01\xe1"); /* smsw ecx */
	assert_int_equal(gpr[GPR_RCX], cr0);
	f->seg[SEG_SS].dpl = 3;
	RUN("\x0f\x01\xe1");
	f->reg[REG_CR4] = CR4_UMIP;
	run_gp("\x0f\x01\xe1", 3);
	run_gp("\x0f\x06", 2);
	run_gp("\x0f\x01\xf0", 3);
}

static void invalidate_page(void **state)
{
	exit_now.kind = VM_EXIT_EMULATE;
	gpr[GPR_RAX] = 0x12345678;
	RUN("\x0f\x01\x38"); /* invlpg [eax] */
	assert_int_equal(dev.invalidated, 0x12345678);
	f->seg[SEG_SS].dpl = 3;
	run_gp("\x0f\x01\x38", 3);
}

/* CR8 is the TPR's upper half, and exists in 64-bit code only. */
static void cr8(void **state)
{
	struct lapic *l = &f->vm.vcpus[0].lapic;
	static uint32_t page[1024] ALIGNED(4096);
	const struct lapic_config config = {.tsc_hz = 1000000000, .timer_hz = 1000000000};

	exit_now.kind = VM_EXIT_EMULATE;
	lapic_init(l, page, &config);
	f->seg[SEG_CS].l = true;
	f->seg[SEG_CS].db = false;
	f->reg[REG_EFER] = EFER_LMA | EFER_LME;
	gpr[GPR_RAX] = 9;
	RUN("\x44\x0f\x22\xc0"); /* mov cr8, rax */
	assert_int_equal(page[LAPIC_TPR / 4], 0x90);
	assert_true(f->vm.vcpus[0].recheck);
	page[LAPIC_TPR / 4] = 0x3f;
	RUN("\x44\x0f\x20\xc1"); /* mov rcx, cr8 */
	assert_int_equal(gpr[GPR_RCX], 3);
	gpr[GPR_RAX] = 0x10;
	run_gp("\x44\x0f\x22\xc0", 4);
}

/* Another CPU of the guest writes to a page-table entry whenever this one wants to mark it. */
static unsigned flips;

static void flip(gpa_t gpa, bool write)
{
	if (!write || (gpa & PAGE_MASK) != 0x9000)
		return;
	assert_true(++flips < 1000);
	*(uint32_t *)(host_ram() + gpa) ^= BIT(9);
}

static void walk_gives_up(void **state)
{
	struct walk_mode mode;
	struct virt_event fault;
	gpa_t gpa;

	paging_on();
	flips = 0;
	walk_mode_read(&f->vm.vcpus[0], &mode);
	host_gmem_hook = flip;
	assert_int_equal(walk(&f->vm.vcpus[0], &mode, 0x5123, WALK_READ, &gpa, &fault), ERR_BUSY);
	assert_in_range(flips, 2, 100);
	/* The instruction is left to the guest to run again, also when it is a load that has its device. */
	gpr[GPR_RSI] = DEV;
	gpr[GPR_RDI] = 0x5000;
	run("\xa4", 1); /* movsb */
	assert_false(f->injected);
	assert_int_equal(f->reg[REG_RIP], CODE);
	assert_int_equal(dev.reads, 0);
	host_gmem_hook = NULL;
	RUN("\xa4");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(moves),
		T(arithmetic),
		T(exchanges),
		T(stack),
		T(strings),
		T(scans),
		T(single_step_of_a_string),
		T(conditional),
		T(shifts_and_products),
		T(port_strings),
		T(segment_limit_raises_gp),
		T(page_fault_in_a_string),
		T(walker_sets_accessed_and_dirty),
		T(walker_knows_pae_and_long_mode),
		T(unknown_instruction_is_named),
		T(no_base_with_rex),
		T(real_mode_addressing),
		T(control_registers),
		T(status_word),
		T(invalidate_page),
		T(cr8),
		T(walk_gives_up),
	};

	return cmocka_run_group_tests_name("emulate", tests, NULL, NULL);
}
