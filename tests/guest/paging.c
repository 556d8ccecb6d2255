/* The guest's own paging in each mode: what the walker does is what software sees. SDM vol. 3, chapter 4. */
#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/pc.h"
#include "tests/guest/lib/real.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/trap.h"
#include "hv/base/string.h"

static uint8_t frame_a[4096] ALIGNED(4096), frame_b[4096] ALIGNED(4096);

static uint32_t peek(uint32_t address)
{
	return *(volatile uint32_t *)address;
}

static void poke(uint32_t address, uint32_t v)
{
	*(volatile uint32_t *)address = v;
}

static uint32_t pa(const void *p)
{
	return (uint32_t)p;
}

/* The window's first page shows frame A, its second frame B. */
static void begin(void)
{
	paging_on();
	*window_pte(0) = pa(frame_a) | PTE_W | PTE_P;
	*window_pte(1) = pa(frame_b) | PTE_W | PTE_P;
	poke(pa(frame_a), 0xaaaa0000);
	poke(pa(frame_b), 0xbbbb0000);
}

static void test_map(void)
{
	begin();
	CHECK_EQ(peek(WINDOW), 0xaaaa0000);
	CHECK_EQ(peek(WINDOW + 0x1000), 0xbbbb0000);
	poke(WINDOW + 0x1ffc, 0x12345678);
	CHECK_EQ(peek(pa(frame_b) + 0xffc), 0x12345678);
	paging_off();
}

static void test_large_page(void)
{
	begin();
	/* Entry 0x101 shows the first 4 MiB again. */
	page_dir[0x101] = PTE_PS | PTE_W | PTE_P;
	CHECK_EQ(peek(0x40400000 + pa(frame_a)), 0xaaaa0000);
	poke(0x40400000 + pa(frame_a), 0xcccc0000);
	CHECK_EQ(peek(pa(frame_a)), 0xcccc0000);
	paging_off();
}

static void test_invlpg(void)
{
	begin();
	CHECK_EQ(peek(WINDOW), 0xaaaa0000);
	*window_pte(0) = pa(frame_b) | PTE_W | PTE_P;
	invlpg((void *)WINDOW);
	CHECK_EQ(peek(WINDOW), 0xbbbb0000);
	*window_pte(0) = 0;
	invlpg((void *)WINDOW);
	CHECK_EQ(TRY("movl (%0), %%eax", : "r"(WINDOW) : "eax"), VEC_PF);
	paging_off();
}

/* Not-present entries are never cached: no INVLPG is owed. SDM vol. 3, 4.10.2.3 */
static void test_not_present_to_present(void)
{
	begin();
	for (unsigned i = 2; i < 50; i++) {
		CHECK_EQ(TRY("movl (%0), %%eax", : "r"(WINDOW + i * 4096) : "eax"), VEC_PF);
		*window_pte(i) = pa(frame_a) | PTE_W | PTE_P;
		CHECK_EQ(TRY("movl (%0), %%eax", : "r"(WINDOW + i * 4096) : "eax"), -1);
	}
	paging_off();
}

static uint32_t other_dir[1024] ALIGNED(4096), other_table[1024] ALIGNED(4096);

static void test_cr3_switch(void)
{
	begin();
	memcpy(other_dir, page_dir, sizeof(other_dir));
	memset(other_table, 0, sizeof(other_table));
	other_dir[WINDOW >> 22] = pa(other_table) | PTE_W | PTE_P;
	other_table[0] = pa(frame_b) | PTE_W | PTE_P;
	for (unsigned i = 0; i < 100; i++) {
		CHECK_EQ(peek(WINDOW), 0xaaaa0000);
		write_cr3(pa(other_dir));
		CHECK_EQ(peek(WINDOW), 0xbbbb0000);
		write_cr3(pa(page_dir));
	}
	/* A changed entry is seen after CR3 is written with the same value. */
	*window_pte(0) = pa(frame_b) | PTE_W | PTE_P;
	write_cr3(pa(page_dir));
	CHECK_EQ(peek(WINDOW), 0xbbbb0000);
	CHECK_EQ(read_cr3(), pa(page_dir));
	paging_off();
}

/* A global page's translation may outlive MOV to CR3, never INVLPG or a change of CR4.PGE. */
static void test_global(void)
{
	if (!(cpuid(1, 0).d & BIT32(13)))
		test_skip("no global pages");
	begin();
	write_cr4(read_cr4() | CR4_PGE);
	*window_pte(0) = pa(frame_a) | PTE_G | PTE_W | PTE_P;
	CHECK_EQ(peek(WINDOW), 0xaaaa0000);
	*window_pte(0) = pa(frame_b) | PTE_G | PTE_W | PTE_P;
	write_cr3(read_cr3());
	CHECK((peek(WINDOW) & 0xffff) == 0, "neither the old nor the new page");
	invlpg((void *)WINDOW);
	CHECK_EQ(peek(WINDOW), 0xbbbb0000);
	*window_pte(0) = pa(frame_a) | PTE_G | PTE_W | PTE_P;
	write_cr4(read_cr4() & ~CR4_PGE);
	write_cr4(read_cr4() | CR4_PGE);
	CHECK_EQ(peek(WINDOW), 0xaaaa0000);
	paging_off();
}

static void test_accessed_dirty(void)
{
	begin();
	page_dir[WINDOW >> 22] &= ~PTE_A;
	write_cr3(read_cr3());
	CHECK_EQ(*window_pte(0) & (PTE_A | PTE_D), 0);
	(void)peek(WINDOW);
	CHECK_EQ(*window_pte(0) & (PTE_A | PTE_D), PTE_A);
	CHECK(*(volatile uint32_t *)&page_dir[WINDOW >> 22] & PTE_A,
	      "the directory entry is not accessed");
	poke(WINDOW, 1);
	CHECK_EQ(*window_pte(0) & (PTE_A | PTE_D), PTE_A | PTE_D);
	CHECK_EQ(*window_pte(1) & (PTE_A | PTE_D), 0);
	poke(WINDOW + 0x1000, 1);
	CHECK_EQ(*window_pte(1) & (PTE_A | PTE_D), PTE_A | PTE_D);
	paging_off();
}

static void test_write_protect(void)
{
	begin();
	*window_pte(0) = pa(frame_a) | PTE_P;
	invlpg((void *)WINDOW);
	poke(WINDOW, 0x1111); /* WP clear: the supervisor may */
	CHECK_EQ(peek(pa(frame_a)), 0x1111);
	write_cr0(read_cr0() | CR0_WP);
	CHECK_EQ(TRY("movl $1, (%0)", : "r"(WINDOW) : "memory"), VEC_PF);
	CHECK_EQ(trap_last.error, PF_P | PF_W);
	CHECK_EQ(peek(WINDOW), 0x1111);
	write_cr0(read_cr0() & ~CR0_WP);
	poke(WINDOW, 0x2222);
	CHECK_EQ(peek(pa(frame_a)), 0x2222);
	paging_off();
}

static void user_read(void)
{
	asm volatile("movl 0x40000000, %eax; int3");
}

static void user_write(void)
{
	asm volatile("movl $1, 0x40000000; int3");
}

static void user_write_missing(void)
{
	asm volatile("movl $1, 0x40005000; int3");
}

/* The user's code and stack are made the user's by their large pages. */
static void test_user(void)
{
	begin();
	page_dir[0] |= PTE_U;
	write_cr3(read_cr3());
	CHECK_EQ(user_run(user_read, 0), VEC_PF);
	CHECK_EQ(trap_last.error, PF_P | PF_U);
	CHECK_EQ(trap_last.cr2, WINDOW);
	CHECK_EQ(user_run(user_write_missing, 0), VEC_PF);
	CHECK_EQ(trap_last.error, PF_W | PF_U);
	CHECK_EQ(trap_last.cr2, WINDOW + 0x5000);
	*window_pte(0) = pa(frame_a) | PTE_U | PTE_P;
	invlpg((void *)WINDOW);
	CHECK_EQ(user_run(user_read, 0), VEC_BP);
	CHECK_EQ(user_run(user_write, 0), VEC_PF);
	CHECK_EQ(trap_last.error, PF_P | PF_W | PF_U);
	*window_pte(0) |= PTE_W;
	invlpg((void *)WINDOW);
	CHECK_EQ(user_run(user_write, 0), VEC_BP);
	paging_off();
}

/* An access across two pages faults on the one that is missing, and nothing is written. */
static void test_split(void)
{
	begin();
	*window_pte(1) = 0;
	invlpg((void *)(WINDOW + 0x1000));
	poke(WINDOW + 0xffc, 0x77777777);
	CHECK_EQ(TRY("movl $-1, (%0)", : "r"(WINDOW + 0xffe) : "memory"), VEC_PF);
	CHECK_EQ(trap_last.cr2, WINDOW + 0x1000);
	CHECK_EQ(peek(WINDOW + 0xffc), 0x77777777);
	paging_off();
}

/* --- PAE --- */

static uint64_t pdpt[4] ALIGNED(32), pae_dirs[4][512] ALIGNED(4096), pae_table[512] ALIGNED(4096);

static void pae_on(void)
{
	for (unsigned i = 0; i < 4; i++)
		pdpt[i] = pa(pae_dirs[i]) | PTE_P;
	for (uint32_t i = 0; i < 2048; i++)
		pae_dirs[i / 512][i % 512] = (uint64_t)i << 21 | PTE_PS | PTE_W | PTE_P;
	memset(pae_table, 0, sizeof(pae_table));
	pae_dirs[WINDOW >> 30][0] = pa(pae_table) | PTE_W | PTE_P;
	pae_table[0] = pa(frame_a) | PTE_W | PTE_P;
	poke(pa(frame_a), 0xaaaa0000);
	poke(pa(frame_b), 0xbbbb0000);
	write_cr4(read_cr4() | CR4_PAE);
	write_cr3(pa(pdpt));
	write_cr0(read_cr0() | CR0_PG);
}

static void set_pae_entry(unsigned i, uint64_t v)
{
	*(volatile uint64_t *)&pae_table[i] = v;
	invlpg((void *)(WINDOW + i * 4096));
}

static bool need_pae(void)
{
	return cpuid(1, 0).d & BIT32(6);
}

static void test_pae(void)
{
	if (!need_pae())
		test_skip("no PAE");
	pae_on();
	CHECK_EQ(peek(WINDOW), 0xaaaa0000);
	CHECK_EQ(TRY("movl (%0), %%eax", : "r"(WINDOW + 0x1000) : "eax"), VEC_PF);
	CHECK_EQ(trap_last.error, 0);
	set_pae_entry(1, pa(frame_b) | PTE_W | PTE_P);
	CHECK_EQ(peek(WINDOW + 0x1000), 0xbbbb0000);
	poke(WINDOW + 0x1000, 1);
	CHECK_EQ((uint32_t) * (volatile uint64_t *)&pae_table[1] & (PTE_A | PTE_D), PTE_A | PTE_D);
	/* 2 MiB pages: the window's second shows where this image lies. */
	*(volatile uint64_t *)&pae_dirs[WINDOW >> 30][1] = PTE_PS | PTE_W | PTE_P;
	write_cr3(read_cr3());
	CHECK_EQ(peek(WINDOW + 0x200000 + pa(frame_a)), 0xaaaa0000);
	paging_off();
}

/* The four directory pointers are read when CR3 is written, not before. SDM vol. 3, 4.4.1 */
static void test_pae_pointers(void)
{
	if (!need_pae())
		test_skip("no PAE");
	pae_on();
	*(volatile uint64_t *)&pdpt[2] = 0;
	write_cr3(read_cr3());
	CHECK_EQ(TRY("movl (%0), %%eax", : "r"(0x80000000) : "eax"), VEC_PF);
	CHECK_EQ(trap_last.error, 0);
	*(volatile uint64_t *)&pdpt[2] = pa(pae_dirs[0]) | PTE_P;
	write_cr3(read_cr3());
	CHECK_EQ(peek(0x80000000 + pa(frame_a)), 0xaaaa0000);
	if (!machine.tcg_cpu) { /* QEMU does not look at reserved bits here */
		uint32_t good = read_cr3();

		*(volatile uint64_t *)&pdpt[3] =
			pa(pae_dirs[3]) | PTE_W | PTE_P; /* bit 1 is reserved */
		CHECK_EQ(TRY("movl %0, %%cr3", : "r"(good) : "memory"), VEC_GP);
	}
	paging_off();
}

static void test_nx(void)
{
	static const uint8_t ret = 0xc3;
	uint64_t efer;

	if (!need_pae() || !(cpuid(0x80000001, 0).d & BIT32(20)))
		test_skip("no execute-disable");
	efer = rdmsr(MSR_EFER);
	pae_on();
	wrmsr(MSR_EFER, efer | EFER_NXE);
	memcpy((void *)WINDOW, &ret, 1);
	barrier();
	asm volatile("call *%0" : : "r"(WINDOW) : "memory");
	set_pae_entry(0, pa(frame_a) | PTE_W | PTE_P | PTE_NX);
	CHECK_EQ(peek(WINDOW) & 0xff, 0xc3);
	CHECK_EQ(TRY("jmp *%0", : "r"(WINDOW)), VEC_PF);
	CHECK_EQ(trap_last.error, PF_P | PF_I);
	CHECK_EQ(trap_last.cr2, WINDOW);
	CHECK_EQ(trap_last.eip, WINDOW);
	/* A fetch from a missing page says so as well. */
	CHECK_EQ(TRY("jmp *%0", : "r"(WINDOW + 0x3000)), VEC_PF);
	CHECK_EQ(trap_last.error, PF_I);
	/* Without NXE the bit is reserved. */
	wrmsr(MSR_EFER, efer & ~(uint64_t)EFER_NXE);
	write_cr3(read_cr3());
	CHECK_EQ(TRY("movl (%0), %%eax", : "r"(WINDOW) : "eax"), VEC_PF);
	CHECK_EQ(trap_last.error | (machine.tcg_cpu ? PF_P : 0),
		 PF_P | PF_RSVD); /* QEMU forgets P */
	wrmsr(MSR_EFER, efer);
	paging_off();
}

/* --- Long mode --- */

static uint64_t pml4[512] ALIGNED(4096), pdpt64[512] ALIGNED(4096);

asm(".text\n"
    ".code64\n"
    "long_sum: movabsq $0x123456789abcdef0, %rax\n"
    "movq %rax, %r8\n"
    "shrq $32, %r8\n"
    "addl %r8d, %eax\n"
    "addl %edi, %eax\n"
    "ret\n"
    "long_exits: pushq %rbx\n"
    "movabsq $0xfedcba9876543210, %r9\n"
    "movq %r9, %r15\n"
    "xorl %eax, %eax\n"
    "cpuid\n"
    "outb %al, $0x80\n"
    "movl $0xfec00000, %r10d\n"
    "movl $1, (%r10)\n"
    "movl 0x10(%r10), %r11d\n" /* the IOAPIC's version, through an extended register */
    "movl $0xc0000080, %ecx\n"
    "rdmsr\n"
    "andl $0x500, %eax\n"
    "cmpl $0x500, %eax\n" /* LME and LMA */
    "jne 1f\n"
    "cmpq %r9, %r15\n"
    "jne 1f\n"
    "movl %r11d, %eax\n"
    "popq %rbx\n"
    "ret\n"
    "1: movl $0xbad, %eax\n"
    "popq %rbx\n"
    "ret\n"
    ".code32\n");
extern uint8_t long_sum[], long_exits[];

static void long_tables(void)
{
	for (uint32_t i = 0; i < 2048; i++)
		pae_dirs[i / 512][i % 512] = (uint64_t)i << 21 | PTE_PS | PTE_W | PTE_P;
	for (unsigned i = 0; i < 4; i++)
		pdpt64[i] = pa(pae_dirs[i]) | PTE_W | PTE_P;
	pml4[0] = pa(pdpt64) | PTE_W | PTE_P;
}

static void test_long_mode(void)
{
	uint32_t version;

	if (cpuid(0x80000000, 0).a < 0x80000001 || !(cpuid(0x80000001, 0).d & BIT32(29)))
		test_skip("no long mode");
	long_tables();
	barrier();
	for (uint32_t i = 0; i < 50; i++)
		CHECK_EQ(long_call(pa(long_sum), i, pa(pml4)), 0x12345678 + 0x9abcdef0 + i);
	*(volatile uint32_t *)0xfec00000 = 1;
	version = *(volatile uint32_t *)0xfec00010;
	CHECK_EQ(long_call(pa(long_exits), 0, pa(pml4)), version);
	CHECK(!(rdmsr(MSR_EFER) & (EFER_LME | EFER_LMA)), "EFER %#llx afterwards", rdmsr(MSR_EFER));
	CHECK(!(read_cr0() & CR0_PG), "paging stays on");
}

/* On and off many times: every mode's caches are dropped each time. */
static void test_toggle(void)
{
	for (unsigned i = 0; i < 200; i++) {
		begin();
		REQUIRE(peek(WINDOW) == 0xaaaa0000, "turn %u: %#x", i, peek(WINDOW));
		paging_off();
		if (!need_pae())
			continue;
		pae_on();
		REQUIRE(peek(WINDOW) == 0xaaaa0000, "turn %u, PAE: %#x", i, peek(WINDOW));
		paging_off();
	}
}

const struct test guest_tests[] = {
	{"map", test_map},
	{"large-page", test_large_page},
	{"invlpg", test_invlpg},
	{"not-present-to-present", test_not_present_to_present},
	{"cr3-switch", test_cr3_switch},
	{"global", test_global},
	{"accessed-dirty", test_accessed_dirty},
	{"write-protect", test_write_protect},
	{"user", test_user},
	{"split", test_split},
	{"pae", test_pae},
	{"pae-pointers", test_pae_pointers},
	{"nx", test_nx},
	{"long-mode", test_long_mode},
	{"toggle", test_toggle},
	{NULL, NULL},
};
