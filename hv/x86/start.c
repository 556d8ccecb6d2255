/* From the loader's tables to hv_main on our own: order in x86.h. */
#include "hv/base/log.h"
#include "hv/base/plat.h"
#include "hv/x86/cpu.h"
#include "hv/x86/fb.h"
#include "hv/x86/irq.h"
#include "hv/x86/logsink.h"
#include "hv/x86/paging.h"
#include "hv/x86/panic.h"
#include "hv/x86/pcpu_setup.h"
#include "hv/x86/plat_x86.h"
#include "hv/x86/pmem_init.h"
#include "hv/x86/tsc.h"
#include "hv/x86/x86.h"

void x86_start(uint64_t handoff_pa);
NORETURN void entry_on_stack(uint8_t *stack_top, void (*fn)(void *), void *arg);

static struct pcpu cpu0;
static struct memmap memmap;

static void check_handoff(const struct handoff *h)
{
	if (h->magic != HANDOFF_MAGIC || h->version != HANDOFF_VERSION || h->size != sizeof(*h))
		plat_panic("the loader's handoff is version %u of %u bytes (magic %#llx), "
			   "this core expects version %u of %zu bytes; "
			   "loader and core must be of one build",
			   h->version, h->size, (unsigned long long)h->magic, HANDOFF_VERSION,
			   sizeof(*h));
}

static void log_memmap(const struct memmap *map)
{
	for (unsigned i = 0; i < map->count; i++)
		log_debug(LOG_X86, "memory %012llx-%012llx %s",
			  (unsigned long long)map->ranges[i].base,
			  (unsigned long long)(map->ranges[i].base + map->ranges[i].size - 1),
			  memmap_kind_name(map->ranges[i].kind));
}

static void call_main(void *handoff)
{
	fb_init(handoff);
	logsink_screen_start();
	hv_main(handoff);
	plat_panic("hv_main returned");
}

/* Called by entry.S on the early stack and the loader's tables: RAM is at its physical address. */
void x86_start(uint64_t handoff_pa)
{
	const struct handoff *h = (const struct handoff *)(uintptr_t)handoff_pa;
	struct why why;

	plat_panic_by(panic_report);
	irq_init();
	pcpu_load(&cpu0);
	pcpu_commit(&cpu0);
	tsc_start(h->magic == HANDOFF_MAGIC ? h->start_tsc : 0);
	logsink_serial_start(h->magic == HANDOFF_MAGIC ? h->cmdline : "");
	check_handoff(h);
	if (memmap_build(&memmap, h->ranges, h->range_count, &why) ||
	    pmem_early_init(&memmap, &why))
		plat_panic("%s", why.text);
	log_memmap(&memmap);
	paging_init(&memmap, h->core_base);
	pmem_init(&memmap);
	if (!pcpu_give_stacks(&cpu0))
		plat_panic("no memory for CPU 0's stacks");
	irq_use_ist();
	entry_on_stack(cpu0.stack_top, call_main, phys_to_virt(handoff_pa));
}
