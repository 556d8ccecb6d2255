/*
 * hv/x86/acpi.c on arbitrary tables. Checksums would keep a fuzzer out, so that unless the first byte is
 * odd the input is cut into tables whose headers are made good; the root table points to each.
 */
#include <stdlib.h>
#include <string.h>

#include "hv/base/bits.h"
#include "hv/x86/acpi.h"

#define RAM_SIZE 0x10000u
#define RSDP     0x1000u
#define ROOT     0x1100u
#define TABLES   0x2000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t ram[RAM_SIZE];

static bool read_ram(void *ctx, hpa_t pa, void *buf, size_t len)
{
	if (pa >= RAM_SIZE || len > RAM_SIZE - pa)
		return false;
	memcpy(buf, ram + pa, len);
	return true;
}

static void fix_sum(uint32_t at, uint32_t len, uint32_t where)
{
	uint8_t sum = 0;

	ram[where] = 0;
	for (uint32_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + ram[at + i]);
	ram[where] = (uint8_t)-sum;
}

static void header(uint32_t at, const char *signature, uint32_t length)
{
	memcpy(ram + at, signature, 4);
	memcpy(ram + at + 4, &length, 4);
	fix_sum(at, length, at + 9);
}

/* A FADT's body points to the next table as DSDT, so that the scan for _S5_ gets fed, too. */
static void point_dsdt(uint32_t at, uint32_t body, uint32_t next)
{
	if (body >= 8)
		memcpy(ram + at + 40, &next, 4);
}

static void build(const uint8_t *data, size_t size)
{
	static const char signatures[][5] = {"APIC", "FACP", "MCFG", "DSDT"};
	uint32_t at = TABLES, count = 0;
	bool wide = size && data[0] & 2;

	memcpy(ram + RSDP, "RSD PTR ", 8);
	ram[RSDP + 15] = wide ? 2 : 0;
	while (size >= 2 && at < RAM_SIZE - 0x800 && count < 12) {
		const char *sig = signatures[data[0] >> 2 & 3];
		uint32_t body = (uint32_t)MIN((size_t)data[1] * 2, size - 2);
		uint32_t next = (uint32_t)align_up(at + 36 + body, 16);

		memcpy(ram + at + 36, data + 2, body);
		if (sig == signatures[1])
			point_dsdt(at, body, next);
		header(at, sig, 36 + body);
		memcpy(ram + ROOT + 36 + count * (wide ? 8 : 4), &at, 4);
		count++;
		at = next;
		data += 2 + body;
		size -= 2 + body;
	}
	header(ROOT, wide ? "XSDT" : "RSDT", 36 + count * (wide ? 8 : 4));
	memcpy(ram + RSDP + (wide ? 24 : 16), &(uint32_t){ROOT}, 4);
	ram[RSDP + 20] = 36;
	fix_sum(RSDP, 20, RSDP + 8);
	fix_sum(RSDP, 36, RSDP + 32);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct phys_reader mem = {read_ram, NULL};
	struct platform pf;

	memset(ram, 0, sizeof(ram));
	memset(&pf, 0, sizeof(pf));
	if (size && data[0] & 1)
		memcpy(ram + RSDP, data + 1, MIN(size - 1, RAM_SIZE - RSDP));
	else
		build(data, size);
	acpi_read(&mem, RSDP, &pf);
	if (pf.cpu_count > PLATFORM_CPUS || pf.ioapic_count > PLATFORM_IOAPICS ||
	    pf.s5_slp_typ_a > 7 || pf.s5_slp_typ_b > 7)
		abort();
	return 0;
}
