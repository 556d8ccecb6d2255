/* hv/core/vtlb.c against a CPU whose walker writes: it may do so in no page that the node may not write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest/layout.h"
#include "hv/core/memory.h"
#include "hv/core/vtlb.h"
#include "hv/insn/walk.h"
#include "hv/x86/msr.h"
#include "hv/x86/pmem.h"
#include "tests/host/fake_virt.h"
#include "tests/host/plat.h"

#define RAM     (FAKE_PAGES * PAGE_SIZE)
#define ROOT    0x1000u /* the top table; with PAE its four directories follow at DIRS */
#define DIRS    0x2000u
#define TABLES  0x8000u /* .. eight last tables */
#define TABLE_N 8u
#define DATA    0x20u /* first frame of what is mapped */
#define KERNEL  (PTE_P | PTE_W | PTE_A)

static struct fake *f;
static struct vcpu *v;
static bool pae;

bool memory_is_ram(const struct vm *vm, gpa_t gpa)
{
	return gpa < RAM;
}

static void *given[2];

static hpa_t give(unsigned i, unsigned order)
{
	given[i] = aligned_alloc(PAGE_SIZE, PAGE_SIZE << order);
	memset(given[i], 0, PAGE_SIZE << order);
	return (uintptr_t)given[i] - PAGING_DIRECT_MAP;
}

hpa_t pmem_alloc_zeroed(unsigned order)
{
	return give(0, order);
}

hpa_t pmem_alloc(unsigned order)
{
	return give(1, order);
}

/* --- The guest's tables --- */

static unsigned bytes(void)
{
	return pae ? 8 : 4;
}

static unsigned reach(void) /* of one last table */
{
	return pae ? 21 : 22;
}

static void put(gpa_t at, uint64_t entry)
{
	memcpy(host_ram() + at, &entry, bytes());
}

static uint64_t get(gpa_t at)
{
	return walk_entry_read(host_ram() + at, bytes());
}

/* Table n serves the n-th stretch of the top gigabyte. */
static gva_t linear(unsigned table, unsigned page)
{
	return 0xc0000000u + ((gva_t)table << reach()) + ((gva_t)page << PAGE_SHIFT);
}

static gpa_t pde_at(unsigned table)
{
	return pae ? DIRS + 3 * PAGE_SIZE + table * 8 : ROOT + (0x300 + table) * 4;
}

static gpa_t pte_at(unsigned table, unsigned page)
{
	return TABLES + table * PAGE_SIZE + page * bytes();
}

/* That there are other nodes is what counts. */
static const struct vm_far shared;

static int setup(void **state)
{
	f = fake_virt_reset();
	v = &f->vm.vcpus[0];
	host_ram_reset(RAM);
	f->vm.far = &shared;
	f->vm.features.walk_writes = true;
	pae = *state != NULL;
	if (pae)
		for (unsigned i = 0; i < 4; i++)
			put(ROOT + i * 8, (DIRS + i * PAGE_SIZE) | PTE_P);
	for (unsigned i = 0; i < TABLE_N; i++)
		put(pde_at(i), (TABLES + i * PAGE_SIZE) | KERNEL | PTE_U);
	f->reg[REG_CR0] |= CR0_PG | CR0_WP;
	f->reg[REG_CR3] = ROOT;
	f->reg[REG_CR4] = pae ? CR4_PAE : CR4_PSE;

	struct why why;

	assert_int_equal(vtlb_create(v, &why), 0);
	vtlb_load(v);
	return 0;
}

static int teardown(void **state)
{
	assert_int_equal(host_ram_held(), 0);
	for (unsigned i = 0; i < ARRAY_LEN(given); i++) {
		free(given[i]);
		given[i] = NULL;
	}
	return 0;
}

/* --- The CPU --- */

enum outcome { DONE, FAULT, NESTED };

/* A page of tables as the CPU sees it: a copy, or the guest's own. */
static uint8_t *table_page(gpa_t gpa, bool *own)
{
	*own = gpa < RAM;
	if (*own)
		return host_ram() + gpa;
	for (unsigned i = 0; i < f->mapped_count; i++)
		if (f->mapped[i].gpa == (gpa & PAGE_MASK))
			return (uint8_t *)pmem_virt(f->mapped[i].hpa) + (gpa & ~PAGE_MASK);
	fail_msg("the CPU walks %#llx, where there is no table", (unsigned long long)gpa);
	return NULL;
}

/* As APM vol. 2, 15.25.5: a table that can't be written is a nested fault at `at`. */
static enum outcome cpu_walk(gva_t gva, bool write, gpa_t *gpa, gpa_t *at, uint32_t *code)
{
	struct walk_mode mode;
	const struct walk_format *format;
	gpa_t table = f->walk_root;
	bool w = true;

	walk_mode_read(v, &mode);
	format = walk_format(&mode);
	for (unsigned level = format->levels;; level--) {
		bool own, top_of_pae = pae && level == 3;
		uint64_t entry, bits = top_of_pae ? 0 : PTE_A;
		uint8_t *p;

		*at = table + walk_index(format, level, gva) * bytes();
		p = table_page(*at, &own);
		if (own && !(f->perm[*at >> PAGE_SHIFT] & NPT_WRITE))
			return NESTED;
		entry = walk_entry_read(p, bytes());
		*code = (entry & PTE_P) | (write ? PF_W : 0);
		if (!(entry & PTE_P))
			return FAULT;
		w &= top_of_pae || entry & PTE_W;
		if (walk_is_leaf(&mode, level, entry)) {
			if (write && !w)
				return FAULT;
			bits |= write ? PTE_D : 0;
			*gpa = (entry & PTE_ADDR) | (gva & ~PAGE_MASK);
		}
		/* What a copy lacks, the walker would set there and the guest would never know. */
		if (!own)
			assert_int_equal(entry & bits, bits);
		entry |= bits;
		memcpy(p, &entry, bytes());
		if (walk_is_leaf(&mode, level, entry))
			return DONE;
		table = walk_next(format, entry);
	}
}

/* The access as the guest meets it; DONE with its address, or FAULT: injected. */
static enum outcome touch(gva_t gva, bool write, gpa_t *gpa)
{
	f->injected = false;
	for (unsigned turn = 0; turn < 20; turn++) {
		uint32_t code;
		gpa_t at;

		switch (cpu_walk(gva, write, gpa, &at, &code)) {
		case DONE:
			return DONE;
		case NESTED:
			assert_true(vtlb_walk_fault(v, at));
			break;
		case FAULT:
			vtlb_page_fault(v, gva, code);
			if (f->injected)
				return FAULT;
			break;
		}
	}
	fail_msg("the access to %#llx goes on for ever", (unsigned long long)gva);
	return FAULT;
}

static void assert_maps(unsigned table, unsigned page, unsigned frame)
{
	gpa_t gpa;

	assert_int_equal(touch(linear(table, page), false, &gpa), DONE);
	assert_int_equal(gpa >> PAGE_SHIFT, frame);
}

static bool is_copied(unsigned table)
{
	gpa_t gpa, at;
	uint32_t code;

	f->perm[(TABLES >> PAGE_SHIFT) + table] = NPT_READ;
	return cpu_walk(linear(table, 0), false, &gpa, &at, &code) != NESTED;
}

/* --- Tests --- */

static void own_tables_are_walked_themselves(void **state)
{
	put(pte_at(0, 5), DATA << PAGE_SHIFT | PTE_P | PTE_W);
	assert_maps(0, 5, DATA);
	assert_true(get(pte_at(0, 5)) & PTE_A);
	assert_false(is_copied(0));
}

static void foreign_tables_are_copied(void **state)
{
	gpa_t gpa;

	f->perm[TABLES >> PAGE_SHIFT] = NPT_READ;
	put(pte_at(0, 0), DATA << PAGE_SHIFT | KERNEL);
	put(pte_at(0, 5), (DATA + 1) << PAGE_SHIFT | PTE_P | PTE_W);
	assert_maps(0, 5, DATA + 1);
	assert_true(is_copied(0));
	assert_true(get(pte_at(0, 5)) & PTE_A);
	assert_false(get(pte_at(0, 5)) & PTE_D);
	assert_int_equal(touch(linear(0, 5), true, &gpa), DONE);
	assert_true(get(pte_at(0, 5)) & PTE_D);
}

static void a_table_lost_is_copied(void **state)
{
	put(pte_at(1, 2), DATA << PAGE_SHIFT | KERNEL);
	assert_maps(1, 2, DATA);
	f->perm[(TABLES >> PAGE_SHIFT) + 1] = NPT_READ;
	assert_maps(1, 2, DATA);
	assert_true(is_copied(1));
}

static void the_guest_gets_its_own_faults(void **state)
{
	gpa_t gpa;

	f->perm[TABLES >> PAGE_SHIFT] = NPT_READ;
	put(pte_at(0, 1), DATA << PAGE_SHIFT | PTE_P | PTE_A);
	assert_int_equal(touch(linear(0, 0), false, &gpa), FAULT);
	assert_int_equal(f->event.vector, VECTOR_PF);
	assert_int_equal(f->event.code, 0);
	assert_int_equal(v->virt.cr2, linear(0, 0));
	assert_int_equal(touch(linear(0, 1), true, &gpa), FAULT);
	assert_int_equal(f->event.code, PF_P | PF_W);
	vtlb_page_fault(v, linear(0, 1), PF_P | PF_RSVD);
	assert_int_equal(f->event.code, PF_P | PF_RSVD);
}

static void invlpg_drops_one(void **state)
{
	unsigned before;

	f->perm[TABLES >> PAGE_SHIFT] = NPT_READ;
	put(pte_at(0, 0), DATA << PAGE_SHIFT | KERNEL | PTE_D);
	put(pte_at(0, 1), DATA << PAGE_SHIFT | KERNEL | PTE_D);
	assert_maps(0, 0, DATA);
	put(pte_at(0, 0), (DATA + 1) << PAGE_SHIFT | KERNEL | PTE_D);
	put(pte_at(0, 1), (DATA + 1) << PAGE_SHIFT | KERNEL | PTE_D);
	assert_maps(0, 0, DATA);
	before = f->flushes;
	vtlb_invlpg(v, linear(0, 0));
	assert_true(f->flushes > before);
	assert_maps(0, 0, DATA + 1);
	assert_maps(0, 1, DATA);
	vtlb_load(v);
	assert_maps(0, 1, DATA + 1);
}

/* A table that is not linked any more is forgotten by any INVLPG: the guest may use its page anew. */
static void invlpg_drops_links(void **state)
{
	gpa_t gpa;

	f->perm[TABLES >> PAGE_SHIFT] = NPT_READ;
	put(pte_at(0, 0), DATA << PAGE_SHIFT | KERNEL);
	put(pte_at(1, 0), DATA << PAGE_SHIFT | KERNEL);
	assert_maps(0, 0, DATA);
	assert_maps(1, 0, DATA);
	put(pde_at(0), 0);
	put(pde_at(1), (TABLES + 2 * PAGE_SIZE) | KERNEL);
	put(pte_at(2, 0), (DATA + 3) << PAGE_SHIFT | KERNEL);
	vtlb_invlpg(v, 0x12345000);
	assert_int_equal(touch(linear(0, 0), false, &gpa), FAULT);
	assert_maps(1, 0, DATA + 3);
}

/* A page fault forgets what led to it, so that the guest need not invalidate what it made from nothing. */
static void a_fault_drops_links(void **state)
{
	f->perm[TABLES >> PAGE_SHIFT] = NPT_READ;
	put(pte_at(0, 0), DATA << PAGE_SHIFT | KERNEL);
	assert_maps(0, 0, DATA);
	put(pte_at(2, 1), (DATA + 3) << PAGE_SHIFT | KERNEL);
	put(pde_at(0), (TABLES + 2 * PAGE_SIZE) | KERNEL);
	assert_maps(0, 1, DATA + 3);
}

static void without_wp_the_guest_is_walked(void **state)
{
	f->reg[REG_CR0] &= ~CR0_WP;
	vtlb_load(v);
	assert_int_equal(f->walk_root, 0);
	vtlb_invlpg(v, linear(0, 0));
}

/* Another CPU can put an INVLPG where an instruction on device memory was about to be emulated. */
static void invlpg_without_a_virtual_tlb(void **state)
{
	unsigned before = f->flushes;

	v->vtlb = NULL;
	vtlb_invlpg(v, linear(0, 0));
	assert_int_equal(f->flushes, before + 1);
}

static void a_top_table_in_a_hole(void **state)
{
	gpa_t gpa;

	f->reg[REG_CR3] = RAM + PAGE_SIZE;
	vtlb_load(v);
	assert_int_equal(touch(linear(0, 0), false, &gpa), FAULT);
}

/* Tables that lead to themselves need no end of copies. */
static void more_tables_than_copies(void **state)
{
	gpa_t gpa;
	unsigned most = pae ? 100 : 250;

	f->perm[TABLES >> PAGE_SHIFT] = NPT_READ;
	put(pte_at(0, 0), DATA << PAGE_SHIFT | KERNEL);
	for (unsigned i = 0; i < most; i++)
		put(pde_at(i), TABLES | KERNEL);
	for (unsigned i = 0; i < most; i++)
		assert_int_equal(touch(linear(i, 0), false, &gpa), DONE);
}

/*
 * The guest changes entries, always with the INVLPG or CR3 load that is due, tables come and go between
 * nodes, and what an access finds is always what the guest's tables say.
 */
static void follows_what_the_guest_does(void **state)
{
	srand(1);
	for (unsigned turn = 0; turn < 20000; turn++) {
		unsigned table = (unsigned)rand() % TABLE_N, page = (unsigned)rand() % 4;
		gpa_t at = rand() % 4 ? pte_at(table, page) : pde_at(table), want, found;
		bool write = rand() % 2;
		struct walk_mode mode;
		struct virt_event fault;

		switch (rand() % 6) {
		case 0:
			put(at, at == pde_at(table)
					? (TABLES + (unsigned)rand() % TABLE_N * PAGE_SIZE) |
						  PTE_P | PTE_U | (rand() % 2 ? PTE_A : 0) |
						  (rand() % 2 ? PTE_W : 0)
					: (uint64_t)(DATA + (unsigned)rand() % 16) << PAGE_SHIFT |
						  ((unsigned)rand() &
						   (PTE_P | PTE_W | PTE_U | PTE_A | PTE_D)));
			if (rand() % 2 || at == pde_at(table))
				vtlb_load(v);
			else
				for (unsigned i = 0; i < TABLE_N; i++)
					vtlb_invlpg(v, linear(i, page));
			break;
		case 1:
			f->perm[(TABLES >> PAGE_SHIFT) + table] = rand() % 2 ? NPT_RWX : NPT_READ;
			break;
		case 2:
			f->perm[pde_at(0) >> PAGE_SHIFT] = rand() % 2 ? NPT_RWX : NPT_READ;
			break;
		default:
			walk_mode_read(v, &mode);
			if (touch(linear(table, page), write, &found) == FAULT) {
				assert_int_equal(walk(v, &mode, linear(table, page),
						      write ? WALK_WRITE : WALK_READ, &want,
						      &fault),
						 ERR_INVALID);
				assert_int_equal(fault.code, f->event.code);
				break;
			}
			assert_int_equal(walk(v, &mode, linear(table, page),
					      write ? WALK_WRITE : WALK_READ, &want, &fault),
					 0);
			assert_int_equal(found, want);
		}
	}
}

int main(void)
{
	static bool with_pae = true;
#define T(name)                                                \
	{#name, name, setup, teardown, NULL},                  \
	{                                                      \
#name "_pae", name, setup, teardown, &with_pae \
	}
	const struct CMUnitTest tests[] = {
		T(own_tables_are_walked_themselves),
		T(foreign_tables_are_copied),
		T(a_table_lost_is_copied),
		T(the_guest_gets_its_own_faults),
		T(invlpg_drops_one),
		T(invlpg_drops_links),
		T(a_fault_drops_links),
		T(without_wp_the_guest_is_walked),
		T(invlpg_without_a_virtual_tlb),
		T(a_top_table_in_a_hole),
		T(more_tables_than_copies),
		T(follows_what_the_guest_does),
	};

	return cmocka_run_group_tests_name("vtlb", tests, NULL, NULL);
}
