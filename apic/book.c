#include "apic/book.h"
#include "hv/base/assert.h"

/* An entry: id in [31:0], then these. All 0 is a LAPIC that is off. */
#define WORD_LOGICAL_SHIFT 32
#define WORD_MODE_SHIFT    40 /* 2 bits */
#define WORD_ENABLED       BIT(42)
#define WORD_CLUSTER       BIT(43)

uint64_t apic_dest_pack(const struct apic_dest *dest)
{
	return dest->id | (uint64_t)dest->logical << WORD_LOGICAL_SHIFT |
	       (uint64_t)dest->mode << WORD_MODE_SHIFT | (dest->enabled ? WORD_ENABLED : 0) |
	       (dest->cluster ? WORD_CLUSTER : 0);
}

void apic_dest_unpack(uint64_t word, struct apic_dest *dest)
{
	*dest = (struct apic_dest){
		.id = (uint32_t)word,
		.mode = (enum apic_mode)(word >> WORD_MODE_SHIFT & 3),
		.enabled = word & WORD_ENABLED,
		.cluster = word & WORD_CLUSTER,
		.logical = (uint8_t)(word >> WORD_LOGICAL_SHIFT),
	};
}

void apic_book_init(struct apic_book *book)
{
	atomic_init(&book->count, 0);
	atomic_init(&book->lowest, UINT32_MAX);
	for (unsigned cpu = 0; cpu < CPUSET_MAX; cpu++)
		atomic_init(&book->cpu[cpu], 0);
}

void apic_book_update(struct apic_book *book, unsigned cpu, const struct apic_dest *dest)
{
	uint32_t count = atomic_load_explicit(&book->count, memory_order_relaxed);

	ASSERT(cpu < CPUSET_MAX);
	atomic_store_explicit(&book->cpu[cpu], apic_dest_pack(dest), memory_order_release);
	while (count <= cpu &&
	       !atomic_compare_exchange_weak_explicit(&book->count, &count, cpu + 1,
						      memory_order_release, memory_order_relaxed))
		;
}

static uint64_t entry(const struct apic_book *book, unsigned cpu)
{
	return atomic_load_explicit(&book->cpu[cpu], memory_order_acquire);
}

void apic_book_get(const struct apic_book *book, unsigned cpu, struct apic_dest *dest)
{
	ASSERT(cpu < CPUSET_MAX);
	apic_dest_unpack(entry(book, cpu), dest);
}

/* SDM vol. 3, 11.4.3 and 11.4.7.2: software disabled it still takes NMI, SMI, INIT and SIPI. */
static bool accepts(const struct apic_dest *d, enum apic_delivery kind)
{
	bool needs_enabled = kind == APIC_FIXED || kind == APIC_LOWEST || kind == APIC_EXTINT;

	return d->mode != APIC_OFF && (d->enabled || !needs_enabled);
}

/* SDM vol. 3, 11.6.2.2 and, for x2APIC, 11.12.10.1: the upper half names a cluster, the lower its members. */
static bool logical_match(const struct apic_dest *d, uint32_t dest)
{
	if (dest == APIC_DEST_ALL)
		return true;
	if (d->mode == APIC_X2APIC)
		return dest >> 16 == d->id >> 4 && dest >> (d->id & 15) & 1;
	if (dest > 0xff)
		return false;
	if (d->cluster)
		return dest >> 4 == d->logical >> 4 && dest & d->logical & 0xf;
	return dest & d->logical;
}

static bool addressed(const struct apic_dest *d, const struct apic_msg *msg)
{
	if (msg->logical)
		return logical_match(d, msg->dest);
	return msg->dest == APIC_DEST_ALL || msg->dest == d->id;
}

static void add_if(const struct apic_book *book, unsigned cpu, const struct apic_msg *msg,
		   bool look_at_dest, struct cpuset *out)
{
	struct apic_dest d;

	apic_dest_unpack(entry(book, cpu), &d);
	if (accepts(&d, msg->kind) && (!look_at_dest || addressed(&d, msg)))
		cpuset_add(out, cpu);
}

/*
 * Leaves one member of the set: the next one after the CPU that was chosen last, be that in the set or not.
 */
static void keep_one(struct apic_book *book, struct cpuset *set)
{
	uint32_t last = atomic_load_explicit(&book->lowest, memory_order_relaxed);
	unsigned cpu = cpuset_next(set, last + 1);

	if (cpu == CPUSET_MAX)
		cpu = cpuset_next(set, 0);
	if (cpu == CPUSET_MAX)
		return;
	cpuset_clear(set);
	cpuset_add(set, cpu);
	atomic_store_explicit(&book->lowest, cpu, memory_order_relaxed);
}

void apic_match(struct apic_book *book, const struct apic_msg *msg, uint32_t src_cpu,
		struct cpuset *out)
{
	uint32_t count = atomic_load_explicit(&book->count, memory_order_acquire);
	bool by_dest = msg->shorthand == APIC_TO_DEST;
	bool one_id = by_dest && !msg->logical && msg->dest != APIC_DEST_ALL;

	cpuset_clear(out);
	if (msg->level_trigger && !msg->assert)
		return;
	if (msg->shorthand == APIC_TO_SELF) {
		if (src_cpu < count)
			add_if(book, src_cpu, msg, false, out);
		return;
	}
	/* Ids are mostly the CPU numbers, and unique. */
	if (one_id && msg->dest < count && (uint32_t)entry(book, msg->dest) == msg->dest) {
		add_if(book, msg->dest, msg, true, out);
		return;
	}
	for (uint32_t cpu = 0; cpu < count; cpu++)
		if (msg->shorthand != APIC_TO_OTHERS || cpu != src_cpu)
			add_if(book, cpu, msg, by_dest, out);
	if (msg->kind == APIC_LOWEST)
		keep_one(book, out);
}
