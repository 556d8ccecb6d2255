#include "tests/guest/lib/paging.h"
#include "hv/base/string.h"

uint32_t page_dir[1024] ALIGNED(4096), window_table[1024] ALIGNED(4096);

void paging_on(void)
{
	for (uint32_t i = 0; i < 1024; i++)
		page_dir[i] = i << 22 | PTE_PS | PTE_W | PTE_P;
	memset(window_table, 0, sizeof(window_table));
	page_dir[WINDOW >> 22] = (uint32_t)window_table | PTE_U | PTE_W | PTE_P;
	write_cr4(read_cr4() | CR4_PSE);
	write_cr3((uint32_t)page_dir);
	write_cr0(read_cr0() | CR0_PG);
}

void paging_off(void)
{
	write_cr0(read_cr0() & ~(CR0_PG | CR0_WP));
	write_cr4(read_cr4() & ~(CR4_PSE | CR4_PAE | CR4_PGE));
	write_cr3(0);
}
