/*
 * The instruction emulator on random bytes in a random state of the vCPU, in all its modes, while another
 * CPU changes code, data and page tables under it. After each instruction: what an exit of that kind may
 * not do has not been done, what a program may not do has not been done, and nothing depends on a page
 * that the program can't read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hv/insn/emulate.h"
#include "hv/x86/cpu.h"
#include "hv/x86/msr.h"
#include "tests/host/emulate_rig.h"
#include "tests/host/plat.h"

/* Linear and guest-physical are one; pages from the TSS on are the kernel's. */
#define DATA      0x3000u
#define TSS       0x6000u
#define SECRET    0x7000u
#define PD_32     0x8000u
#define PT_32     0x9000u
#define PDPT      0xa000u
#define PD        0xb000u
#define PT        0xc000u
#define PML4      0xd000u
#define PD_DEVICE 0xe000u

#define STEPS      4
#define CODE_BYTES 24u
#define ACQUIRES   100000u /* more in one instruction would be without an end */

#define HOLDS(cond)                                                                               \
	do {                                                                                      \
		if (!(cond)) {                                                                    \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                                  \
		}                                                                                 \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct state {
	uint8_t mode, exit, port_size, rights[6];
	uint8_t cr0, efer, iopl;
	uint16_t flags, cs_type, limit, tr_limit;
	uint8_t gpr[GPR_COUNT][2];
	uint8_t bitmap, at;   /* where in its page the code begins, from the end */
	uint8_t when, walks;  /* the acquire at which another CPU writes; or at all page walks */
	uint16_t where, what; /* it writes */
	uint8_t code[CODE_BYTES];
};

enum mode { REAL, V86, PROTECTED_16, PROTECTED_32, PAGING_32, PAGING_PAE, LONG, MODES };

static struct fake *cpu;
static struct state in;
static enum mode mode;
static unsigned acquires;

/* --- The state of the vCPU --- */

/* P, W, U, A and D as the input says for the program's pages; the kernel's have no U. */
static uint64_t page_flags(unsigned page)
{
	return page < ARRAY_LEN(in.rights) ? in.rights[page] & 0x67 : 3;
}

static void put(uint32_t at, unsigned bytes, unsigned index, uint64_t value)
{
	memcpy(host_ram() + at + index * bytes, &value, bytes);
}

static void build_tables(void)
{
	uint64_t top = mode == LONG ? 7 : 1;

	put(PD_32, 4, 0, PT_32 | 7);
	put(PD_32, 4, RIG_DEV >> 22, (RIG_DEV & ~0x3fffffu) | 0x87);
	put(PML4, 8, 0, PDPT | 7);
	put(PDPT, 8, 0, PD | top);
	put(PDPT, 8, 3, PD_DEVICE | top);
	put(PD, 8, 0, PT | 7);
	put(PD_DEVICE, 8, RIG_DEV >> 21 & 0x1ff, RIG_DEV | 0x87);
	for (unsigned page = 0; page < 16; page++) {
		put(PT_32, 4, page, page << PAGE_SHIFT | page_flags(page));
		put(PT, 8, page, page << PAGE_SHIFT | page_flags(page));
	}
}

static void set_registers(void)
{
	static const uint64_t bases[16] = {0,
					   RIG_DEV,
					   RIG_DEV,
					   RIG_DEV + 0xff8,
					   DATA,
					   DATA,
					   DATA + 0xffc,
					   SECRET,
					   TSS,
					   RIG_CODE,
					   RIG_RAM - 4,
					   UINT64_MAX,
					   0x8000000000000000,
					   0x7ffffffffffe,
					   0xfffffffe,
					   PT};
	struct virt_vcpu *v = &cpu->vm.vcpus[0].virt;

	for (unsigned i = 0; i < GPR_COUNT; i++)
		v->gpr[i] = bases[in.gpr[i][0] & 15] + (uint64_t)(int8_t)in.gpr[i][1];
	cpu->reg[REG_RSP] = v->gpr[GPR_RSP];
	cpu->reg[REG_RFLAGS] = (in.flags & (RFLAGS_STATUS | RFLAGS_DF | RFLAGS_TF)) | RFLAGS_FIXED |
			       (uint64_t)(in.iopl & 3) << 12 | (in.iopl & 4 ? RFLAGS_AC : 0) |
			       (mode == V86 ? RFLAGS_VM : 0);
	cpu->reg[REG_CR0] = CR0_ET | CR0_NE | (in.cr0 & (CR0_MP | CR0_EM | CR0_TS)) |
			    (in.cr0 & 1 ? CR0_WP : 0) | (mode != REAL ? CR0_PE : 0) |
			    (mode >= PAGING_32 ? CR0_PG : 0);
	cpu->reg[REG_CR3] = mode == PAGING_32 ? PD_32 : mode == PAGING_PAE ? PDPT : PML4;
	cpu->reg[REG_CR4] = (mode == PAGING_32 ? CR4_PSE : CR4_PAE) |
			    (in.cr0 & 0x20 ? CR4_SMEP : 0) | (in.cr0 & 0x40 ? CR4_SMAP : 0);
	cpu->reg[REG_EFER] =
		(mode == LONG ? EFER_LMA | EFER_LME : 0) | (in.efer & 1 ? EFER_NXE : 0);
}

static void set_segments(void)
{
	const bool small = mode < PROTECTED_32;
	uint8_t dpl = mode == V86 ? 3 : mode == REAL ? 0 : in.iopl >> 3 & 3;

	for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
		struct virt_seg *s = &cpu->seg[i];

		s->db = !small;
		s->dpl = dpl;
		if (mode == REAL || mode == V86)
			s->limit = 0xffff;
		else if (i == (in.cs_type >> 8 & 7))
			*s = (struct virt_seg){.limit = in.limit,
					       .type = in.cs_type & 15,
					       .s = true,
					       .present = in.cs_type & 16,
					       .db = !small,
					       .dpl = dpl};
	}
	cpu->seg[SEG_CS] = (struct virt_seg){.limit = small ? 0xffff : UINT32_MAX,
					     .type = 0xb,
					     .s = true,
					     .present = true,
					     .dpl = dpl,
					     .db = !small && mode != LONG,
					     .l = mode == LONG};
	cpu->seg[SEG_FS].base = in.limit;
	cpu->seg[SEG_TR] = (struct virt_seg){
		.base = TSS, .limit = in.tr_limit, .type = in.efer & 2 ? 3 : 11, .present = true};
}

/* The kernel's: where the bitmap begins, and one byte in two of it. */
static void build_tss(void)
{
	const uint16_t at = 0x68;

	memcpy(host_ram() + TSS + 0x66, &at, 2);
	for (unsigned i = 0; i < 0x200; i++)
		host_ram()[TSS + at + i] = i & 1 ? in.bitmap : 0;
}

/* Another CPU of the guest: once to code or data, or to every entry that a walk wants to mark. */
static void other_cpu(gpa_t gpa, bool write)
{
	acquires++;
	HOLDS(acquires < ACQUIRES);
	if (acquires == in.when)
		host_ram()[RIG_CODE + in.where % (TSS - RIG_CODE)] ^= (uint8_t)in.what;
	if (in.walks & 1 && write && gpa >= PD_32 && gpa < RIG_RAM - 1)
		host_ram()[gpa + 1] ^= 2;
}

static void start(uint8_t secret)
{
	static uint8_t pattern[TSS - DATA];

	for (unsigned i = 0; !pattern[1] && i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 13);
	cpu = rig_reset();
	memcpy(dev.page, pattern + 1, PAGE_SIZE);
	memcpy(host_ram() + DATA, pattern, TSS - DATA);
	memset(host_ram() + SECRET, secret, PAGE_SIZE);
	build_tables();
	build_tss();
	set_registers();
	set_segments();
	cpu->reg[REG_RIP] = RIG_CODE + PAGE_SIZE - 1 - in.at % PAGE_SIZE;
	memcpy(host_ram() + cpu->reg[REG_RIP], in.code, CODE_BYTES);
	host_gmem_hook = other_cpu;
}

/* --- What must hold --- */

static bool is_user(void)
{
	return cpu->seg[SEG_SS].dpl == 3;
}

/* Whether the TSS lets a program use these ports; by the manual's words, not by the emulator's. */
static bool ports_allowed(uint16_t port, unsigned count)
{
	const uint64_t flags = cpu->reg[REG_RFLAGS];

	if (mode == REAL || (mode != V86 && cpu->seg[SEG_SS].dpl <= (flags >> 12 & 3)))
		return true;
	if (cpu->seg[SEG_TR].type != 11 || in.tr_limit < 0x67)
		return false;
	for (unsigned i = port; i < port + count; i++) {
		unsigned byte = 0x68 + i / 8;

		if (byte > in.tr_limit || host_ram()[TSS + byte] >> (i & 7) & 1)
			return false;
	}
	return true;
}

static struct vm_exit next_exit(void)
{
	static const enum vm_exit_kind kinds[] = {
		VM_EXIT_NPF,      VM_EXIT_NPF,    VM_EXIT_APIC_ACCESS, VM_EXIT_IO,
		VM_EXIT_EMULATE,  VM_EXIT_CPUID,  VM_EXIT_PAUSE,       VM_EXIT_HLT,
		VM_EXIT_MSR_READ, VM_EXIT_XSETBV, VM_EXIT_HYPERCALL,   VM_EXIT_CACHE,
	};
	struct vm_exit exit = rig_port_exit(in.port_size & 4, 1u << (in.port_size & 3) % 3);

	exit.kind = kinds[in.exit % ARRAY_LEN(kinds)];
	return exit;
}

static void check_event(void)
{
	const struct virt_event *e = &cpu->event;

	if (!cpu->injected)
		return;
	HOLDS(e->kind == EVENT_EXCEPTION);
	HOLDS(e->vector == VECTOR_UD || e->vector == VECTOR_GP || e->vector == VECTOR_SS ||
	      e->vector == VECTOR_PF);
	HOLDS(e->has_code == (e->vector != VECTOR_UD));
	HOLDS(e->vector == VECTOR_PF || e->code == 0);
}

static void step(void)
{
	static struct rig_device was;
	uint64_t reg[REG_COUNT], gpr[GPR_COUNT];
	unsigned skips = cpu->skips;
	struct vm_exit exit = next_exit();
	struct vcpu *v = &cpu->vm.vcpus[0];
	/* Asked first: INS may write over the TSS that allowed it. */
	const bool allowed = ports_allowed((uint16_t)v->virt.gpr[GPR_RDX], exit.io.size);

	was = dev;
	memcpy(reg, cpu->reg, sizeof(reg));
	memcpy(gpr, v->virt.gpr, sizeof(gpr));
	cpu->injected = false;
	acquires = 0;
	if (exit.kind == VM_EXIT_NPF || exit.kind == VM_EXIT_APIC_ACCESS ||
	    exit.kind == VM_EXIT_IO || exit.kind == VM_EXIT_EMULATE) {
		emulate(v, &exit);
	} else {
		unsigned length = emulate_insn_length(v, exit.kind);

		HOLDS(length <= 15);
		HOLDS(!memcmp(v->virt.gpr, gpr, sizeof(v->virt.gpr)));
		HOLDS(cpu->skips == skips && !(length && cpu->injected));
		HOLDS(!memcmp(&was, &dev, sizeof(dev)));
	}
	check_event();
	HOLDS(host_ram_held() == 0);
	HOLDS(cpu->skips - skips <= 1);
	HOLDS(!(cpu->injected && cpu->skips != skips));
	HOLDS(cpu->reg[REG_RIP] - reg[REG_RIP] <= 15);
	HOLDS(exit.kind == VM_EXIT_IO ||
	      (dev.port_len == was.port_len && dev.port_next == was.port_next));
	HOLDS(exit.kind == VM_EXIT_EMULATE ||
	      (cpu->reg[REG_CR3] == reg[REG_CR3] && cpu->reg[REG_CR4] == reg[REG_CR4] &&
	       dev.invalidated == was.invalidated));
	HOLDS(allowed || (dev.port_len == was.port_len && dev.port_next == was.port_next));
	if (is_user()) {
		HOLDS(!dev.failure[0]);
		HOLDS(!memcmp(&cpu->reg[REG_CR0], &reg[REG_CR0], 5 * sizeof(cpu->reg[0])));
	}
}

/* All that the guest could tell one run from another by. */
struct outcome {
	uint64_t gpr[GPR_COUNT], reg[REG_COUNT], cr2;
	struct virt_event event;
	bool injected;
	struct rig_device dev;
	uint8_t ram[RIG_RAM];
};

static void run(uint8_t secret, struct outcome *out)
{
	const struct virt_vcpu *v;

	start(secret);
	for (unsigned i = 0; i < STEPS && !cpu->injected && !dev.failure[0]; i++)
		step();
	v = &cpu->vm.vcpus[0].virt;
	memcpy(out->gpr, v->gpr, sizeof(out->gpr));
	memcpy(out->reg, cpu->reg, sizeof(out->reg));
	out->cr2 = v->cr2;
	out->event = cpu->event;
	out->injected = cpu->injected;
	out->dev = dev;
	memcpy(out->ram, host_ram(), RIG_RAM);
	if (is_user() && mode >= PAGING_32)
		HOLDS(host_ram()[SECRET] == secret &&
		      !memcmp(host_ram() + SECRET, host_ram() + SECRET + 1, PAGE_SIZE - 1));
	memset(out->ram + SECRET, 0, PAGE_SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct outcome one, other;

	memset(&in, 0, sizeof(in));
	memcpy(&in, data, MIN(size, sizeof(in)));
	in.tr_limit %= SECRET - TSS; /* what is behind the TSS is none of the bitmap */
	mode = in.mode % MODES;
	memset(&one, 0, sizeof(one));
	run(0x00, &one);
	if (is_user() && mode >= PAGING_32) {
		memset(&other, 0, sizeof(other));
		run(0xff, &other);
		HOLDS(!memcmp(&one, &other, sizeof(one)));
	}
	return 0;
}
