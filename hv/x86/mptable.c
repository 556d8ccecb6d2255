#include "hv/x86/mptable.h"
#include "hv/base/assert.h"
#include "hv/base/log.h"
#include "hv/base/string.h"

/* MP 1.4, 4.1 */
struct floating {
	char signature[4];
	uint32_t config;
	uint8_t length; /* in 16 bytes */
	uint8_t revision, checksum;
	uint8_t default_config; /* not 0: no table, two CPUs, IDs 0 and 1 */
	uint8_t features[4];
} PACKED;
ASSERT_SIZE(struct floating, 16);

/* MP 1.4, 4.2 */
struct config {
	char signature[4];
	uint16_t length;
	uint8_t revision, checksum;
	char oem[8], product[12];
	uint32_t oem_table;
	uint16_t oem_size, count;
	uint32_t lapic_base;
	uint16_t ext_length;
	uint8_t ext_checksum, reserved;
} PACKED;
ASSERT_SIZE(struct config, 44);

/* MP 1.4, 4.3: type 0 is 20 bytes long, all others 8. */
#define ENTRY_CPU    0
#define ENTRY_IOAPIC 2
#define ENABLED      1u

struct cpu_entry {
	uint8_t type, apic_id, version, flags;
	uint32_t signature, features, reserved[2];
} PACKED;
ASSERT_SIZE(struct cpu_entry, 20);

struct ioapic_entry {
	uint8_t type, id, version, flags;
	uint32_t base;
} PACKED;
ASSERT_SIZE(struct ioapic_entry, 8);

static bool floating_ok(const struct phys_reader *mem, hpa_t pa, struct floating *f)
{
	return mem->read(mem->ctx, pa, f, sizeof(*f)) && !memcmp(f->signature, "_MP_", 4) &&
	       f->length == 1 && acpi_checksum_ok(mem, pa, sizeof(*f));
}

static bool search(const struct phys_reader *mem, hpa_t from, uint32_t len, struct floating *f)
{
	for (hpa_t pa = from; pa < from + len; pa += 16)
		if (floating_ok(mem, pa, f))
			return true;
	return false;
}

/* MP 1.4, 4: EBDA's first KiB, else base memory's last, else the BIOS ROM. */
static bool find(const struct phys_reader *mem, struct floating *f)
{
	hpa_t ebda = acpi_ebda(mem);

	return (ebda && search(mem, ebda, 1024, f)) || search(mem, 0x9fc00, 1024, f) ||
	       search(mem, 0xf0000, 0x10000, f);
}

static void add_cpu(struct platform *pf, const struct cpu_entry *e)
{
	if (!(e->flags & ENABLED))
		return;
	if (pf->cpu_count == PLATFORM_CPUS)
		pf->cpus_left_out++;
	else
		pf->apic_ids[pf->cpu_count++] = e->apic_id;
}

static void read_entries(const struct phys_reader *mem, hpa_t pa, const struct config *c,
			 struct platform *pf)
{
	uint32_t at = sizeof(*c);

	for (unsigned i = 0; i < c->count && at < c->length; i++) {
		union {
			uint8_t type;
			struct cpu_entry cpu;
			struct ioapic_entry ioapic;
		} e;
		uint32_t size;

		if (!mem->read(mem->ctx, pa + at, &e.type, 1))
			return;
		size = e.type == ENTRY_CPU ? sizeof(e.cpu) : sizeof(e.ioapic);
		if (size > c->length - at || !mem->read(mem->ctx, pa + at, &e, size)) {
			log_warn(LOG_X86,
				 "MP table: entry %u reaches past the table's end; "
				 "the rest is skipped",
				 i);
			return;
		}
		if (e.type == ENTRY_CPU)
			add_cpu(pf, &e.cpu);
		else if (e.type == ENTRY_IOAPIC && (e.ioapic.flags & ENABLED) &&
			 pf->ioapic_count < PLATFORM_IOAPICS)
			pf->ioapics[pf->ioapic_count++] =
				(struct platform_ioapic){e.ioapic.id, 0, e.ioapic.base};
		at += size;
	}
}

bool mptable_read(const struct phys_reader *mem, struct platform *pf)
{
	struct floating f;
	struct config c;

	if (!find(mem, &f))
		return false;
	if (f.default_config) {
		pf->source = PLATFORM_MP;
		pf->cpu_count = 2;
		pf->apic_ids[0] = 0;
		pf->apic_ids[1] = 1;
		return true;
	}
	if (!f.config || !mem->read(mem->ctx, f.config, &c, sizeof(c)) ||
	    memcmp(c.signature, "PCMP", 4) || c.length < sizeof(c) ||
	    !acpi_checksum_ok(mem, f.config, c.length)) {
		log_warn(LOG_X86, "MP table: the configuration table at %#x is bad; it is skipped",
			 f.config);
		return false;
	}
	read_entries(mem, f.config, &c, pf);
	if (!pf->cpu_count)
		return false;
	pf->source = PLATFORM_MP;
	pf->lapic_base = c.lapic_base;
	return true;
}
