/*
 * The emulator against the CPU that this program runs on: random instructions of those that it emulates,
 * with random registers and memory, run by both at the same linear addresses, as code of 64, 32
 * and 16 bits of a user program. Registers, memory, the flags that the manual defines, and faults must agree.
 *
 * Usage: emulate_native [COUNT [SEED]]
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <Zydis/Zydis.h>

#include "hv/insn/emulate.h"
#include "hv/insn/walk.h"
#include "hv/x86/cpu.h"
#include "hv/x86/msr.h"
#include "tests/fuzz/native_cpu.h"
#include "tests/host/emulate_rig.h"
#include "tests/host/plat.h"

/* Linear addresses. Guest-physical ones are these less BASE, but for the device's page. */
#define BASE     0x20000000u
#define CODE     (BASE + RIG_CODE)
#define DATA     (BASE + 0x3000u) /* three pages */
#define CONSTANT (BASE + 0x6000u) /* a page that can't be written; none follows */
#define DEVICE   (BASE + 0x8000u) /* none before and none after */
#define PAGES    9u

/* The guest's tables, in RAM that is mapped nowhere. */
#define PML4  0x8000u
#define PDPT  0x9000u
#define PD    0xa000u
#define PT    0xb000u
#define PD_32 0xc000u
#define PT_32 0xd000u

#define LINUX_HALF 0x7ffffffff000 /* from here on, Linux does not tell programs what is present */
#define FLAGS      (RFLAGS_STATUS | RFLAGS_DF)
#define BURSTS     80u /* of a REP: enough for all pages, byte by byte */
#define BYTES      15u
#define STUCK      99u /* in place of an exception: it came to no end */

#define CF BIT(0)
#define AF BIT(4)
#define OF BIT(11)

static struct fake *cpu;
static uint8_t *native; /* the pages from BASE on, writable */
static unsigned bits;
static uint64_t seed = 1;

struct trial {
	uint8_t code[BYTES];
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	struct native_regs start, emulated, run;
};

static uint64_t random_bits(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1d;
}

static unsigned below(unsigned n)
{
	return (unsigned)(random_bits() >> 33) % n;
}

/* --- Both machines --- */

static void map(unsigned page, int protection, int fd)
{
	void *at = (void *)(uintptr_t)(BASE + page * PAGE_SIZE);

	if (mmap(at, PAGE_SIZE, protection, MAP_SHARED | MAP_POPULATE | MAP_FIXED_NOREPLACE, fd,
		 (off_t)page * PAGE_SIZE) != at) {
		perror("mmap");
		exit(2);
	}
}

static void map_native(void)
{
	int fd = memfd_create("guest", 0);

	if (fd < 0 || ftruncate(fd, PAGES * PAGE_SIZE))
		abort();
	native = mmap(NULL, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	map(1, PROT_READ | PROT_EXEC, fd);
	for (unsigned page = 3; page < 6; page++)
		map(page, PROT_READ | PROT_WRITE, fd);
	map(6, PROT_READ, fd);
	map(8, PROT_READ | PROT_WRITE, fd);
}

static void put(uint32_t at, unsigned bytes, unsigned index, uint64_t value)
{
	memcpy(host_ram() + at + index * bytes, &value, bytes);
}

static void map_page(unsigned page, uint64_t entry)
{
	put(PT, 8, page, entry);
	put(PT_32, 4, page, entry);
}

static void map_guest(void)
{
	put(PML4, 8, 0, PDPT | 7);
	put(PDPT, 8, 0, PD | 7);
	put(PD, 8, BASE >> 21, PT | 7);
	put(PD_32, 4, BASE >> 22, PT_32 | 7);
	map_page(1, 0x1000 | 5);
	for (unsigned page = 3; page < 6; page++)
		map_page(page, page << PAGE_SHIFT | 7);
	map_page(6, 0x6000 | 5);
	map_page(8, RIG_DEV | 7);
}

static void set_mode(void)
{
	for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
		cpu->seg[i].dpl = 3;
		cpu->seg[i].selector = i >= SEG_FS ? 0 : NATIVE_DS;
	}
	cpu->seg[SEG_CS].selector = bits == 64   ? NATIVE_CS_64
				    : bits == 32 ? NATIVE_CS_32
						 : NATIVE_CS_16;
	cpu->seg[SEG_CS].l = bits == 64;
	cpu->seg[SEG_CS].db = bits == 32;
	if (bits == 16) {
		cpu->seg[SEG_CS].base = CODE;
		cpu->seg[SEG_CS].limit = PAGE_SIZE - 1;
	}
	cpu->reg[REG_CR0] = CR0_PE | CR0_PG | CR0_ET | CR0_NE | CR0_WP;
	cpu->reg[REG_CR3] = bits == 64 ? PML4 : PD_32;
	cpu->reg[REG_CR4] = bits == 64 ? CR4_PAE : 0;
	cpu->reg[REG_EFER] = bits == 64 ? EFER_LMA | EFER_LME : 0;
}

static void fill_memory(void)
{
	for (unsigned i = 0; i < PAGE_SIZE; i += 8) {
		uint64_t value = random_bits();

		/* Pages with runs of one byte, for SCAS and CMPS. */
		if (value & 0x700)
			value = (value & 1) * 0x0101010101010101;
		for (unsigned page = 3; page < 7; page++)
			memcpy(native + page * PAGE_SIZE + i, &value, 8);
		memcpy(native + 8 * PAGE_SIZE + i, &value, 8);
	}
	memcpy(host_ram() + 3 * PAGE_SIZE, native + 3 * PAGE_SIZE, 4 * PAGE_SIZE);
	memcpy(dev.page, native + 8 * PAGE_SIZE, PAGE_SIZE);
}

static bool memory_agrees(void)
{
	return !memcmp(host_ram() + 3 * PAGE_SIZE, native + 3 * PAGE_SIZE, 4 * PAGE_SIZE) &&
	       !memcmp(dev.page, native + 8 * PAGE_SIZE, PAGE_SIZE);
}

/* --- Instructions --- */

static uint64_t some_address(void)
{
	static const uint32_t pages[] = {DATA,   DATA + 0x1000, DATA + 0x2000,
					 DEVICE, DEVICE,        CONSTANT};
	uint32_t page = pages[below(6)];

	/* Often near an end, where the next page begins or none. */
	return page + (below(4) ? below(PAGE_SIZE) : PAGE_SIZE - 8 + below(8));
}

static uint64_t some_value(void)
{
	switch (below(8)) {
	case 0:
		return random_bits();
	case 1:
		return (uint64_t) - (int64_t)below(64);
	case 2:
		return below(600);
	case 3:
		return BIT(below(64)) - below(2);
	default:
		return some_address();
	}
}

static const uint8_t one_byte[] = {
	0x00, 0x01, 0x02, 0x03, 0x08, 0x09, 0x0a, 0x0b, 0x10, 0x11, 0x12, 0x13, 0x18, 0x19, 0x1a,
	0x1b, 0x20, 0x21, 0x22, 0x23, 0x28, 0x29, 0x2a, 0x2b, 0x30, 0x31, 0x32, 0x33, 0x38, 0x39,
	0x3a, 0x3b, 0x50, 0x53, 0x58, 0x5c, 0x5f, 0x63, 0x68, 0x69, 0x6a, 0x6b, 0x80, 0x81, 0x83,
	0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8f, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4,
	0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf, 0xc0, 0xc1, 0xc6, 0xc7, 0xd0, 0xd1,
	0xd2, 0xd3, 0xf6, 0xf7, 0xfe, 0xff, 0x06, 0x0e, 0x16, 0x1e,
};

static const uint8_t two_byte[] = {
	0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x4b,
	0x4c, 0x4d, 0x4e, 0x4f, 0x90, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97,
	0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa3, 0xa8, 0xab,
	0xaf, 0xb0, 0xb1, 0xb3, 0xb6, 0xb7, 0xba, 0xbb, 0xbe, 0xbf, 0xc0, 0xc1,
};

/* FS and GS have the test's own data behind them, so no prefix names them. */
static void some_instruction(uint8_t *code)
{
	static const uint8_t prefixes[] = {0x66, 0x66, 0x66, 0x67, 0xf2,
					   0xf3, 0xf3, 0xf0, 0x2e, 0x36};
	unsigned n = 0;
	uint64_t address;

	for (unsigned i = 0; i < BYTES; i++)
		code[i] = (uint8_t)random_bits();
	if (bits == 16 && below(4)) /* addresses of 16 bits reach nothing */
		code[n++] = 0x67;
	while (n < 3 && below(3) == 0)
		code[n++] = prefixes[below(sizeof(prefixes))];
	if (bits == 64 && below(2))
		code[n++] = (uint8_t)(0x40 | below(16));
	if (below(3) == 0) {
		code[n++] = 0x0f;
		code[n++] = two_byte[below(sizeof(two_byte))];
	} else {
		code[n++] = one_byte[below(sizeof(one_byte))];
	}
	/* A displacement that leads somewhere, with or without a SIB byte, or relative to RIP. */
	address = some_address();
	if (bits == 64 && below(2))
		address -= CODE + 8;
	if (below(3) == 0)
		address = below(256);
	memcpy(code + n + (code[n - 1] >= 0xa0 && code[n - 1] <= 0xa3 ? 0 : 1 + below(2)), &address,
	       bits == 64 && code[n - 1] >= 0xa0 && code[n - 1] <= 0xa3 && n <= 7 ? 8 : 4);
}

static bool decode(struct trial *t)
{
	ZydisDecoder d;

	ZydisDecoderInit(&d,
			 bits == 64   ? ZYDIS_MACHINE_MODE_LONG_64
			 : bits == 32 ? ZYDIS_MACHINE_MODE_LEGACY_32
				      : ZYDIS_MACHINE_MODE_LEGACY_16,
			 bits == 64 ? ZYDIS_STACK_WIDTH_64 : ZYDIS_STACK_WIDTH_32);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, t->code, BYTES, &t->insn, t->op)))
		return false;
	for (unsigned i = 0; i < t->insn.operand_count; i++)
		if (t->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (t->op[i].mem.segment == ZYDIS_REGISTER_FS ||
		     t->op[i].mem.segment == ZYDIS_REGISTER_GS))
			return false;
	return true;
}

/* Flags that are as the manual says; the others it leaves to the CPU. SDM vol. 1, appendix A */
static uint64_t defined_flags(const struct trial *t)
{
	unsigned count = t->op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE
				 ? (unsigned)t->op[1].imm.value.u
				 : (unsigned)t->start.gpr[GPR_RCX];

	count &= t->op[0].size == 64 ? 63 : 31;
	switch (t->insn.mnemonic) {
	case ZYDIS_MNEMONIC_AND:
	case ZYDIS_MNEMONIC_OR:
	case ZYDIS_MNEMONIC_XOR:
	case ZYDIS_MNEMONIC_TEST:
		return FLAGS & ~AF;
	case ZYDIS_MNEMONIC_IMUL:
		return CF | OF | RFLAGS_DF;
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		return CF | RFLAGS_ZF | RFLAGS_DF;
	case ZYDIS_MNEMONIC_SHL:
	case ZYDIS_MNEMONIC_SHR:
	case ZYDIS_MNEMONIC_SAR:
		if (!count)
			return FLAGS;
		return FLAGS & ~AF & ~(count > 1 ? OF : 0) & ~(count >= t->op[0].size ? CF : 0);
	default:
		return FLAGS;
	}
}

/* --- A trial --- */

/* INT3 follows; the instruction may read itself. */
static void place_code(const struct trial *t)
{
	uint8_t *code = native + (CODE - BASE);

	memset(code, 0xcc, 2 * BYTES);
	memcpy(code, t->code, t->insn.length);
	memcpy(host_ram() + RIG_CODE, code, 2 * BYTES);
}

static void start_registers(struct trial *t)
{
	for (unsigned i = 0; i < GPR_COUNT; i++)
		t->start.gpr[i] = bits == 64 ? some_value() : (uint32_t)some_value();
	if (below(2))
		t->start.gpr[GPR_RCX] = below(64);
	if (below(4))
		t->start.gpr[GPR_RSP] = some_address() & ~7ull;
	t->start.rip = bits == 16 ? 0 : CODE;
	t->start.flags = RFLAGS_FIXED | RFLAGS_IF | (random_bits() & FLAGS);
	if (below(4))
		t->start.flags &= ~RFLAGS_DF;
}

/* False when it is not one that is emulated for an access to memory. */
static bool emulate_it(struct trial *t)
{
	const struct vm_exit exit = {.kind = VM_EXIT_NPF};
	struct vcpu *v = &cpu->vm.vcpus[0];
	unsigned skips = cpu->skips;

	memcpy(v->virt.gpr, t->start.gpr, sizeof(t->start.gpr));
	cpu->reg[REG_RSP] = t->start.gpr[GPR_RSP];
	cpu->reg[REG_RIP] = t->start.rip;
	cpu->reg[REG_RFLAGS] = t->start.flags;
	cpu->injected = false;
	v->changed = 0;
	for (unsigned i = 0; i < BURSTS && cpu->skips == skips && !cpu->injected && !v->changed;
	     i++)
		emulate(v, &exit);
	if (v->changed || (cpu->injected && cpu->event.vector == VECTOR_UD))
		return false;
	memcpy(t->emulated.gpr, v->virt.gpr, sizeof(t->emulated.gpr));
	t->emulated.gpr[GPR_RSP] = cpu->reg[REG_RSP];
	t->emulated.rip = cpu->reg[REG_RIP];
	t->emulated.flags = cpu->reg[REG_RFLAGS];
	t->emulated.trap = cpu->injected ? cpu->event.vector : cpu->skips != skips ? 3 : STUCK;
	t->emulated.error = cpu->injected ? cpu->event.code : 0;
	t->emulated.cr2 = v->virt.cr2;
	return true;
}

static void run_it(struct trial *t)
{
	t->run = t->start;
	native_run(&t->run, bits);
	if (t->run.trap == 3)
		t->run.rip--;
}

static bool has_two_addresses(const struct trial *t)
{
	unsigned n = 0;

	for (unsigned i = 0; i < t->insn.operand_count; i++)
		n += t->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY;
	return n > 1;
}

/*
 * Addresses that wrap, and what is no address at all, differ between CPUs in which fault they raise, and
 * of two addresses either may be first.
 */
static bool fault_agrees(const struct trial *t)
{
	const bool ran = t->run.trap == 3, emulated = t->emulated.trap == 3;
	uint64_t code;

	if (ran != emulated || t->emulated.trap == STUCK)
		return false;
	if (t->run.trap != VECTOR_PF || t->emulated.trap != VECTOR_PF || has_two_addresses(t))
		return true;
	code = PF_W | PF_U | (t->run.cr2 >= LINUX_HALF ? 0 : PF_P);
	return t->run.cr2 == t->emulated.cr2 && (t->run.error & code) == (t->emulated.error & code);
}

static const char *difference(const struct trial *t)
{
	const uint64_t mask = bits == 64 ? UINT64_MAX : UINT32_MAX;

	if (!fault_agrees(t))
		return "the fault";
	for (unsigned i = 0; i < (bits == 64 ? 16 : 8); i++)
		if ((t->run.gpr[i] ^ t->emulated.gpr[i]) & mask)
			return "a register";
	if (t->run.rip != t->emulated.rip)
		return "RIP";
	if (t->run.trap == 3 && (t->run.flags ^ t->emulated.flags) & defined_flags(t))
		return "the flags";
	return memory_agrees() ? NULL : "memory";
}

static void print_regs(const char *name, const struct native_regs *r)
{
	printf("%-8s rip %llx flags %llx trap %llu error %llx cr2 %llx\n", name,
	       (unsigned long long)r->rip, (unsigned long long)r->flags,
	       (unsigned long long)r->trap, (unsigned long long)r->error,
	       (unsigned long long)r->cr2);
	for (unsigned i = 0; i < GPR_COUNT; i++)
		printf("%s%016llx", i % 8 ? " " : "\n  ", (unsigned long long)r->gpr[i]);
	printf("\n");
}

static void report(const struct trial *t, const char *what)
{
	printf("%s differs: %s, %d-bit code", what, ZydisMnemonicGetString(t->insn.mnemonic), bits);
	for (unsigned i = 0; i < t->insn.length; i++)
		printf(" %02x", t->code[i]);
	printf("\n");
	print_regs("before", &t->start);
	print_regs("CPU", &t->run);
	print_regs("emulator", &t->emulated);
}

static void setup(void)
{
	cpu = rig_reset();
	map_guest();
	set_mode();
}

int main(int argc, char **argv)
{
	static unsigned seen[ZYDIS_MNEMONIC_MAX_VALUE + 1];
	unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 0) : 100000, ran = 0, faults = 0;
	unsigned different = 0, mnemonics = 0;
	static struct trial t;
	bool has_16;

	if (argc > 2)
		seed = strtoull(argv[2], NULL, 0) * 2 + 1;
	map_native();
	has_16 = native_init(CODE);
	while (ran < count && different < 10) {
		const char *what;

		if (ran % 1000 == 0) {
			bits = 16u << (has_16 ? ran / 1000 % 3 : 1 + ran / 1000 % 2);
			setup();
		}
		some_instruction(t.code);
		if (!decode(&t))
			continue;
		start_registers(&t);
		fill_memory();
		place_code(&t);
		if (!emulate_it(&t))
			continue;
		run_it(&t);
		what = difference(&t);
		if (what) {
			report(&t, what);
			different++;
		}
		ran++;
		faults += t.run.trap != 3;
		mnemonics += !seen[t.insn.mnemonic]++;
	}
	printf("%lu instructions of %u names as code of %s bits, %lu of them faulted, %u differ\n",
	       ran, mnemonics, has_16 ? "16, 32 and 64" : "32 and 64", faults, different);
	return different != 0;
}
