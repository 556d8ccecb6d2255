#include "guest/layout.h"

static void add(struct layout_range *map, unsigned *count, uint64_t base, uint64_t end,
		enum layout_kind kind)
{
	if (end > base)
		map[(*count)++] = (struct layout_range){base, end - base, kind};
}

unsigned layout_map(uint64_t ram_bytes, struct layout_range map[LAYOUT_RANGES])
{
	uint64_t low = layout_ram_low(ram_bytes);
	unsigned n = 0;

	add(map, &n, 0, MIN(low, LAYOUT_EBDA), LAYOUT_RAM);
	add(map, &n, LAYOUT_EBDA, LAYOUT_VGA_HOLE, LAYOUT_RESERVED);
	add(map, &n, LAYOUT_ROM, LAYOUT_HIGH_MEMORY, LAYOUT_RESERVED);
	add(map, &n, LAYOUT_HIGH_MEMORY, low, LAYOUT_RAM);
	add(map, &n, LAYOUT_IOAPIC, LAYOUT_IOAPIC + PAGE_SIZE, LAYOUT_RESERVED);
	add(map, &n, LAYOUT_LAPIC, LAYOUT_LAPIC + PAGE_SIZE, LAYOUT_RESERVED);
	add(map, &n, LAYOUT_RAM_ABOVE, LAYOUT_RAM_ABOVE + layout_ram_above(ram_bytes), LAYOUT_RAM);
	return n;
}
