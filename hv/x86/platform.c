#include "hv/x86/platform.h"
#include "boot/handoff.h"
#include "hv/base/bits.h"
#include "hv/base/log.h"
#include "hv/base/string.h"
#include "hv/x86/acpi.h"
#include "hv/x86/cpu.h"
#include "hv/x86/mptable.h"
#include "hv/x86/paging.h"
#include "hv/x86/pmem_init.h"
#include "hv/x86/smp.h"
#include "hv/x86/tsc.h"

#define PM1_SLP_EN        BIT(13)
#define PM1_SLP_TYP_SHIFT 10
#define PM1_SCI_EN        BIT(0)
#define PORT_RESET        0xcf9
#define PORT_8042         0x64
#define KBC_PULSE_RESET   0xfe
#define LAST_WAIT_US      500000u

static struct platform platform;

static bool read_phys(void *ctx, hpa_t pa, void *buf, size_t len)
{
	const void *from = paging_map_table(pa, len);

	if (!from)
		return false;
	memcpy(buf, from, len);
	return true;
}

static void log_found(const struct platform *pf)
{
	const char *end = pf->cpu_count == 1 ? "" : "s";

	if (pf->source == PLATFORM_NO_TABLES)
		log_info(LOG_X86, "neither ACPI nor an MP table lists this node's CPUs; "
				  "all will be called and those that answer counted");
	else
		log_info(LOG_X86, "%s lists %u CPU%s and %u IOAPIC%s",
			 pf->source == PLATFORM_ACPI ? "ACPI" : "the MP table", pf->cpu_count, end,
			 pf->ioapic_count, pf->ioapic_count == 1 ? "" : "s");
	log_info(LOG_X86, "firmware tells how to power off: %s; its reset register: %s",
		 pf->s5_known && pf->pm1a_cnt ? "yes" : "no", pf->reset.address ? "yes" : "no");
	if (pf->cpus_left_out)
		log_warn(LOG_X86, "%u more CPUs are listed than the %u this build can use",
			 pf->cpus_left_out, PLATFORM_CPUS);
}

void platform_discover(const struct handoff *handoff)
{
	const struct phys_reader mem = {read_phys, NULL};
	hpa_t rsdp = handoff->rsdp;

	/* Under UEFI the BIOS area may hold remains of something else: what is not told is not there. */
	if (!rsdp && handoff->loader != HANDOFF_UEFI)
		rsdp = acpi_find_rsdp(&mem);
	if (rsdp)
		acpi_read(&mem, rsdp, &platform);
	if (!platform.cpu_count)
		mptable_read(&mem, &platform);
	log_found(&platform);
}

const struct platform *platform_get(void)
{
	return &platform;
}

/* Where firmware still owns power management, SLP_EN does nothing: ACPI 4.8.3.2.1 */
static void enter_acpi_mode(void)
{
	uint16_t port = (uint16_t)platform.pm1a_cnt;

	if (!platform.smi_cmd || !platform.acpi_enable || (inw(port) & PM1_SCI_EN))
		return;
	outb((uint16_t)platform.smi_cmd, platform.acpi_enable);
	for (unsigned i = 0; i < 300 && !(inw(port) & PM1_SCI_EN); i++)
		tsc_delay_us(10000);
}

static void write_sleep(uint32_t port, uint8_t type)
{
	uint16_t keep;

	if (!port)
		return;
	keep = inw((uint16_t)port) & (uint16_t) ~(7u << PM1_SLP_TYP_SHIFT);
	outw((uint16_t)port, (uint16_t)(keep | type << PM1_SLP_TYP_SHIFT | PM1_SLP_EN));
}

void platform_poweroff(void)
{
	smp_stop_others();
	if (platform.pm1a_cnt && platform.s5_known) {
		enter_acpi_mode();
		write_sleep(platform.pm1a_cnt, platform.s5_slp_typ_a);
		write_sleep(platform.pm1b_cnt, platform.s5_slp_typ_b);
		tsc_delay_us(LAST_WAIT_US);
	}
	log_warn(LOG_X86,
		 "this machine can't be powered off by software: its firmware does not say how");
}

static void reset_by_register(void)
{
	if (!platform.reset.address)
		return;
	if (platform.reset.space == 1) {
		outb((uint16_t)platform.reset.address, platform.reset_value);
	} else if (platform.reset.space == 0) {
		volatile uint8_t *reg = paging_map_mmio(platform.reset.address, 1);

		if (reg)
			*reg = platform.reset_value;
	}
	tsc_delay_us(LAST_WAIT_US);
}

void platform_reset(void)
{
	smp_stop_others();
	reset_by_register();
	outb(PORT_RESET, 2);
	outb(PORT_RESET, 6);
	tsc_delay_us(LAST_WAIT_US);
	outb(PORT_8042, KBC_PULSE_RESET);
	tsc_delay_us(LAST_WAIT_US);
	log_warn(LOG_X86, "this machine does not reset by any known way; switch it off and on");
}
