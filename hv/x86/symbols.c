#include "hv/x86/symbols.h"
#include "hv/x86/paging.h"

/* Sorted by address. Offsets: of the function from PAGING_CORE, of its name in symbols_names. */
struct symbol {
	uint32_t address, name;
};

/* Empty in the first link, which the table is made from. */
extern const struct symbol symbols_table[] __attribute__((weak));
extern const char symbols_names[] __attribute__((weak));
extern const uint32_t symbols_count __attribute__((weak));

extern const uint8_t core_text_end[];

const char *symbols_find(uint64_t va, uint64_t *offset)
{
	uint32_t low = 0, high, at = (uint32_t)(va - PAGING_CORE);

	if (!&symbols_count || va < PAGING_CORE || va >= (uintptr_t)core_text_end)
		return NULL;
	high = symbols_count;
	while (high - low > 1) {
		uint32_t mid = low + (high - low) / 2;

		if (symbols_table[mid].address <= at)
			low = mid;
		else
			high = mid;
	}
	if (high == 0 || symbols_table[low].address > at)
		return NULL;
	*offset = at - symbols_table[low].address;
	return symbols_names + symbols_table[low].name;
}
