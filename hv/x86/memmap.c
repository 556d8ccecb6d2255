#include "hv/x86/memmap.h"
#include "hv/base/bits.h"

static const struct {
	const char *name;
	unsigned rank; /* the higher wins where ranges overlap */
	bool memory;
} kinds[] = {
	[HANDOFF_RAM] = {"RAM", 1, true},          [HANDOFF_RESERVED] = {"reserved", 3, false},
	[HANDOFF_ACPI] = {"ACPI tables", 2, true}, [HANDOFF_NVS] = {"ACPI NVS", 4, true},
	[HANDOFF_CORE] = {"core", 7, true},        [HANDOFF_FILE] = {"boot file", 6, true},
	[HANDOFF_BAD] = {"defective", 5, false},
};

static uint32_t known_kind(uint32_t kind)
{
	return kind >= HANDOFF_RAM && kind < ARRAY_LEN(kinds) ? kind : HANDOFF_RESERVED;
}

const char *memmap_kind_name(uint32_t kind)
{
	return kinds[known_kind(kind)].name;
}

bool memmap_is_memory(uint32_t kind)
{
	return kinds[known_kind(kind)].memory;
}

/* The range in whole pages; false when nothing is left of it. */
static bool whole_pages(const struct handoff_range *r, uint64_t *base, uint64_t *end)
{
	uint64_t limit = UINT64_MAX & PAGE_MASK;

	if (r->size == 0 || r->base >= limit)
		return false;
	*end = r->size > limit - r->base ? limit : r->base + r->size;
	*base = r->base;
	if (r->kind == HANDOFF_RAM) {
		*base = align_up(*base, PAGE_SIZE);
		*end = align_down(*end, PAGE_SIZE);
	} else {
		*base = align_down(*base, PAGE_SIZE);
		*end = align_up(*end, PAGE_SIZE);
	}
	return *base < *end;
}

/* The kind that holds at `at`, 0 when none does; *next becomes the next address where that may change. */
static uint32_t kind_at(const struct handoff_range *in, unsigned count, uint64_t at, uint64_t *next)
{
	uint32_t best = 0;

	*next = UINT64_MAX;
	for (unsigned i = 0; i < count; i++) {
		uint64_t base, end;
		uint32_t kind = known_kind(in[i].kind);

		if (!whole_pages(&in[i], &base, &end) || end <= at)
			continue;
		if (base > at) {
			*next = MIN(*next, base);
			continue;
		}
		*next = MIN(*next, end);
		if (!best || kinds[kind].rank > kinds[best].rank)
			best = kind;
	}
	return best;
}

int memmap_build(struct memmap *map, const struct handoff_range *in, unsigned count,
		 struct why *why)
{
	uint64_t at = 0, next;
	bool ram = false;

	if (count > HANDOFF_RANGES)
		return why_set(why, ERR_INVALID,
			       "the loader's memory map says it has %u ranges; "
			       "at most %u are possible",
			       count, HANDOFF_RANGES);
	map->count = 0;
	for (; at != UINT64_MAX; at = next) {
		uint32_t kind = kind_at(in, count, at, &next);
		struct handoff_range *last = map->count ? &map->ranges[map->count - 1] : NULL;

		if (!kind)
			continue;
		ram |= kind == HANDOFF_RAM;
		if (last && last->kind == kind && last->base + last->size == at)
			last->size += next - at;
		else
			map->ranges[map->count++] =
				(struct handoff_range){.base = at, .size = next - at, .kind = kind};
	}
	if (!ram)
		return why_set(why, ERR_INVALID,
			       "the loader's memory map has no RAM in it (%u ranges)", count);
	return 0;
}

uint64_t memmap_top(const struct memmap *map)
{
	uint64_t top = 0;

	for (unsigned i = 0; i < map->count; i++)
		if (memmap_is_memory(map->ranges[i].kind))
			top = map->ranges[i].base + map->ranges[i].size;
	return top;
}

bool memmap_largest_ram(const struct memmap *map, uint64_t floor, uint64_t limit,
			struct handoff_range *out)
{
	*out = (struct handoff_range){.kind = HANDOFF_RAM};
	for (unsigned i = 0; i < map->count; i++) {
		const struct handoff_range *r = &map->ranges[i];
		uint64_t base = MAX(r->base, floor), end = MIN(r->base + r->size, limit);

		if (r->kind == HANDOFF_RAM && base < end && end - base > out->size) {
			out->base = base;
			out->size = end - base;
		}
	}
	return out->size != 0;
}
