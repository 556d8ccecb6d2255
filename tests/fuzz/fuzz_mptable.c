/* hv/x86/mptable.c on an arbitrary configuration table whose checksum is made good. */
#include <stdlib.h>
#include <string.h>

#include "hv/base/bits.h"
#include "hv/x86/mptable.h"

#define FLOATING  0xf0000u
#define TABLE     0xf1000u
#define TABLE_MAX 0xf000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t ram[0x100000];

static bool read_ram(void *ctx, hpa_t pa, void *buf, size_t len)
{
	if (pa >= sizeof(ram) || len > sizeof(ram) - pa)
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

/* The input is the table from its length field on. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct phys_reader mem = {read_ram, NULL};
	uint32_t n = (uint32_t)MIN(size, TABLE_MAX - 4u);
	struct platform pf;
	uint16_t length;

	memset(ram + FLOATING, 0, 0x10000);
	memset(&pf, 0, sizeof(pf));
	memcpy(ram + FLOATING, "_MP_", 4);
	memcpy(ram + FLOATING + 4, &(uint32_t){TABLE}, 4);
	ram[FLOATING + 8] = 1;
	fix_sum(FLOATING, 16, FLOATING + 10);
	memcpy(ram + TABLE, "PCMP", 4);
	memcpy(ram + TABLE + 4, data, n);
	memcpy(&length, ram + TABLE + 4, 2);
	if (length <= sizeof(ram) - TABLE)
		fix_sum(TABLE, length, TABLE + 7);
	mptable_read(&mem, &pf);
	if (pf.cpu_count > PLATFORM_CPUS || pf.ioapic_count > PLATFORM_IOAPICS)
		abort();
	return 0;
}
