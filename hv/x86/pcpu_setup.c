#include "hv/x86/pcpu_setup.h"
#include "hv/base/bits.h"
#include "hv/base/string.h"
#include "hv/x86/cpu.h"
#include "hv/x86/irq.h"
#include "hv/x86/paging.h"
#include "hv/x86/pmem.h"

/* SDM vol. 3, 3.4.5: flat 64-bit code (L, P, S, execute/read) and data (P, S, read/write, B). */
#define DESC_CODE 0x00af9b000000ffffull
#define DESC_DATA 0x00cf93000000ffffull
/* SDM vol. 3, 8.2.3: available 64-bit TSS, present. */
#define DESC_TSS  0x0000890000000000ull

/* Memory types: the reset value with entry 4 made write-combining. SDM vol. 3, 12.12.4 */
#define PAT_VALUE 0x0007040100070406ull

static struct {
	_Atomic unsigned count;
	struct pcpu *next; /* made, but no CPU has it yet */
} pc;

unsigned pcpu_count(void)
{
	return atomic_load(&pc.count);
}

bool pcpu_give_stacks(struct pcpu *p)
{
	p->stack_top = paging_alloc_stack(PCPU_STACK_SIZE);
	if (!p->stack_top)
		return false;
	for (unsigned i = IST_NONE + 1; i < IST_END; i++) {
		uint8_t *top = paging_alloc_stack(PCPU_IST_SIZE);

		if (!top)
			return false;
		p->tss.ist[i - 1] = (uintptr_t)top;
	}
	return true;
}

struct pcpu *pcpu_create(void)
{
	hpa_t page;

	if (pc.next)
		return pc.next;
	if (pcpu_count() == PCPU_MAX)
		return NULL;
	page = pmem_alloc_zeroed(0);
	STATIC_ASSERT(sizeof(struct pcpu) <= PAGE_SIZE, "it gets one page");
	if (page == PMEM_NONE)
		return NULL;
	pc.next = pmem_virt(page);
	if (!pcpu_give_stacks(pc.next)) {
		pc.next = NULL;
		return NULL;
	}
	pc.next->index = pcpu_count();
	return pc.next;
}

void pcpu_commit(struct pcpu *p)
{
	unsigned n = pcpu_count();

	ASSERT(p->index == n && n < PCPU_MAX);
	pc.next = NULL;
	atomic_store(&pc.count, n + 1);
}

static void build_gdt(struct pcpu *p)
{
	uint64_t base = (uintptr_t)&p->tss, limit = sizeof(p->tss) - 1;

	p->gdt[0] = 0;
	p->gdt[GDT_CODE / 8] = DESC_CODE;
	p->gdt[GDT_DATA / 8] = DESC_DATA;
	p->gdt[GDT_TSS / 8] =
		DESC_TSS | limit | bits_get(base, 23, 0) << 16 | bits_get(base, 31, 24) << 56;
	p->gdt[GDT_TSS / 8 + 1] = base >> 32;
}

/* The data segments get GDT_DATA, the code segment GDT_CODE; FS and GS their bases from MSRs. */
static void load_segments(void)
{
	__asm__ volatile("mov %0, %%ds\n\t"
			 "mov %0, %%es\n\t"
			 "mov %0, %%ss\n\t"
			 "mov %1, %%fs\n\t"
			 "mov %1, %%gs\n\t"
			 "pushq %2\n\t"
			 "lea 1f(%%rip), %%rax\n\t"
			 "pushq %%rax\n\t"
			 "lretq\n"
			 "1:"
			 :
			 : "r"(GDT_DATA), "r"(0), "i"(GDT_CODE)
			 : "rax", "memory");
}

static void load_control_registers(void)
{
	struct cpuid_regs c1 = cpuid(1, 0);
	uint64_t cr4 = read_cr4() & ~(CR4_TSD | CR4_PCIDE | CR4_UMIP | CR4_SMAP);

	write_cr0((read_cr0() | CR0_NE | CR0_WP | CR0_MP) &
		  ~(CR0_AM | CR0_TS | CR0_EM | CR0_NW | CR0_CD));
	cr4 |= CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	if (c1.edx & CPUID1_EDX_PGE)
		cr4 |= CR4_PGE;
	if (c1.edx & CPUID1_EDX_MCE)
		cr4 |= CR4_MCE;
	if (c1.ecx & CPUID1_ECX_XSAVE)
		cr4 |= CR4_OSXSAVE;
	write_cr4(cr4);
	if (c1.edx & CPUID1_EDX_PAT)
		wrmsr(MSR_PAT, PAT_VALUE);
}

void pcpu_load(struct pcpu *p)
{
	struct x86_table_ptr gdtr = {.limit = GDT_SIZE - 1, .base = (uintptr_t)p->gdt};

	p->self = p;
	p->tss.iomap_base = sizeof(p->tss);
	build_gdt(p);
	lgdt(&gdtr);
	load_segments();
	wrmsr(MSR_FS_BASE, 0);
	wrmsr(MSR_GS_BASE, (uintptr_t)p);
	ltr(GDT_TSS);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	load_control_registers();
	irq_load();
}
