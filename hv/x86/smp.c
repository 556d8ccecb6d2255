/*
 * A CPU that starts takes its struct pcpu out of the one slot, so that starting one by its APIC ID
 * and starting all at once by broadcast are the same from its side: it never needs to know which.
 */
#include <stdatomic.h>

#include "hv/x86/smp.h"
#include "hv/base/log.h"
#include "hv/base/string.h"
#include "hv/x86/cpu.h"
#include "hv/x86/hostapic.h"
#include "hv/x86/panic.h"
#include "hv/x86/paging.h"
#include "hv/x86/pcpu_setup.h"
#include "hv/x86/platform.h"
#include "hv/x86/pmem.h"
#include "hv/x86/tsc.h"

#define START_TIMEOUT_NS   (500 * NS_PER_MS)
/* A broadcast's answers: firmware-parked CPUs are all there within this after the last one. */
#define BROADCAST_QUIET_NS (100 * NS_PER_MS)

extern const uint8_t smp_trampoline[], smp_trampoline_end[];
extern const uint8_t smp_param_gdt[], smp_param_gdt_base[], smp_param_cr3[], smp_param_jump[];
extern const uint8_t smp_param_code[], smp_param_final_cr3[], smp_param_entry[], smp_param_slot[];
extern const uint8_t smp_entry[];

void smp_cpu_main(struct pcpu *p);

static struct pcpu *_Atomic slot;
static void (*cpu_entry)(void);

void smp_cpu_main(struct pcpu *p)
{
	pcpu_load(p);
	hostapic_init();
	atomic_store(&p->online, true);
	/* pcpu_count() includes it before it runs on: CPU 0 commits. */
	while (pcpu_count() <= p->index)
		cpu_pause();
	cpu_entry();
	cpu_halt_forever();
}

static void put32(uint8_t *page, const uint8_t *param, uint64_t value)
{
	uint32_t v = (uint32_t)value;

	memcpy(page + (param - smp_trampoline), &v, sizeof(v));
}

static void put64(uint8_t *page, const uint8_t *param, uint64_t value)
{
	memcpy(page + (param - smp_trampoline), &value, sizeof(value));
}

/* Tables that have the core where it always is and the first 2 MiB at their physical address. */
static hpa_t make_tables(void)
{
	hpa_t pages[3];
	uint64_t *t[3];

	for (unsigned i = 0; i < 3; i++) {
		pages[i] = pmem_take_real_mode_page();
		if (pages[i] == PMEM_NONE)
			return PMEM_NONE;
		t[i] = pmem_virt(pages[i]);
		memset(t[i], 0, PAGE_SIZE);
	}
	memcpy(&t[0][256], (uint64_t *)pmem_virt(paging_root()) + 256, 256 * sizeof(uint64_t));
	t[0][0] = pages[1] | 3;
	t[1][0] = pages[2] | 3;
	t[2][0] = 0x83; /* present, writable, 2 MiB */
	return pages[0];
}

/* Puts the trampoline in place; its page, or PMEM_NONE. */
static hpa_t make_trampoline(void)
{
	hpa_t page = pmem_take_real_mode_page(), tables = make_tables();
	uint8_t *to;

	if (page == PMEM_NONE || tables == PMEM_NONE)
		return PMEM_NONE;
	to = pmem_virt(page);
	memcpy(to, smp_trampoline, (size_t)(smp_trampoline_end - smp_trampoline));
	put32(to, smp_param_gdt, page + (uint64_t)(smp_param_gdt_base - smp_trampoline));
	put32(to, smp_param_jump, page + (uint64_t)(smp_param_code - smp_trampoline));
	put32(to, smp_param_cr3, tables);
	put64(to, smp_param_final_cr3, paging_root());
	put64(to, smp_param_entry, (uintptr_t)smp_entry);
	put64(to, smp_param_slot, (uintptr_t)&slot);
	return page;
}

/* Waits for the CPU that took `p` to report; false after `ns`. */
static bool wait_online(struct pcpu *p, uint64_t ns)
{
	uint64_t until = tsc_now_ns() + ns;

	while (!atomic_load(&p->online)) {
		if (tsc_now_ns() > until)
			return false;
		cpu_pause();
	}
	pcpu_commit(p);
	return true;
}

static struct pcpu *offer(void)
{
	struct pcpu *p = pcpu_create();

	if (p)
		atomic_store(&slot, p);
	else
		log_warn(LOG_X86, "no memory for CPU %u, or more than %u; it is left out",
			 pcpu_count(), PCPU_MAX);
	return p;
}

static void start_listed(const struct platform *pf, uint8_t page)
{
	for (unsigned i = 0; i < pf->cpu_count; i++) {
		uint32_t id = pf->apic_ids[i];
		struct pcpu *p;

		if (id == hostapic_id())
			continue;
		if (id > 0xfe && !hostapic_is_x2apic()) {
			log_warn(LOG_X86, "CPU with APIC ID %u needs x2APIC mode; it is left out",
				 id);
			continue;
		}
		p = offer();
		if (!p)
			return;
		hostapic_init_sipi(id, page);
		if (!wait_online(p, START_TIMEOUT_NS))
			log_warn(LOG_X86,
				 "the CPU with APIC ID %u does not start; going on without it", id);
	}
}

static void start_all(uint8_t page)
{
	struct pcpu *p = offer();

	hostapic_init_sipi_others(page);
	while (p && wait_online(p, BROADCAST_QUIET_NS))
		p = offer();
}

int smp_start(void (*entry)(void), struct why *why)
{
	const struct platform *pf = platform_get();
	hpa_t page;

	cpu_entry = entry;
	if (pf->cpu_count == 1)
		return 0;
	page = make_trampoline();
	if (page == PMEM_NONE)
		return why_set(why, ERR_NOMEM,
			       "firmware left no four free pages below 640 KiB, "
			       "which starting the other CPUs needs; "
			       "boot with the firmware's other mode (BIOS or UEFI)");
	if (pf->cpu_count)
		start_listed(pf, (uint8_t)(page >> PAGE_SHIFT));
	else
		start_all((uint8_t)(page >> PAGE_SHIFT));
	/* A CPU that comes later than that finds nothing and waits for ever, harmlessly. */
	atomic_store(&slot, NULL);
	log_info(LOG_X86, "%u CPU%s of this node run%s", pcpu_count(), pcpu_count() == 1 ? "" : "s",
		 pcpu_count() == 1 ? "s" : "");
	return 0;
}

void smp_stop_others(void)
{
	panic_ask_stop();
	if (pcpu_count() > 1)
		hostapic_nmi_others();
}
