#include "guest/mptable_build.h"
#include "guest/gmem_out.h"
#include "guest/layout.h"
#include "hv/base/assert.h"

#define SPEC_1_4       4
#define APIC_VERSION   0x14 /* of an integrated xAPIC */
#define IOAPIC_VERSION 0x11
#define CPU_ENABLED    1
#define CPU_BOOT       2
#define CPU_SIGNATURE  0x600 /* family 6 */
#define CPU_FEATURES   0x201 /* FPU, APIC */
#define APIC_ID_ALL    255u
#define BUS_PCI        0
#define BUS_ISA        1
#define ISA_IRQS       16

enum { ENTRY_CPU, ENTRY_BUS, ENTRY_IOAPIC, ENTRY_INTERRUPT, ENTRY_LOCAL };
enum { INT_VECTORED, INT_NMI, INT_SMI, INT_EXTINT };

/* Polarity and trigger, table 4-10: as the bus has it; high and level; low and level */
#define FLAGS_BUS        0x0
#define FLAGS_LEVEL_HIGH 0xd
#define FLAGS_LEVEL_LOW  0xf

/* MP 1.4, 4.1 */
struct floating_pointer {
	char signature[4];
	uint32_t table;
	uint8_t length; /* in 16 bytes */
	uint8_t spec;
	uint8_t checksum;
	uint8_t features[5]; /* all 0: a table is there, and no IMCR */
} PACKED;
ASSERT_SIZE(struct floating_pointer, 16);

/* 4.2 */
struct config_header {
	char signature[4];
	uint16_t length;
	uint8_t spec;
	uint8_t checksum;
	char oem[8];
	char product[12];
	uint32_t oem_table;
	uint16_t oem_size;
	uint16_t entries;
	uint32_t lapic;
	uint16_t extended_length;
	uint8_t extended_checksum;
	uint8_t reserved;
} PACKED;
ASSERT_SIZE(struct config_header, 44);

/* 4.3.1 */
static void put_cpu(struct gmem_out *o, uint8_t apic_id, bool boot)
{
	gmem_out_u8(o, ENTRY_CPU);
	gmem_out_u8(o, apic_id);
	gmem_out_u8(o, APIC_VERSION);
	gmem_out_u8(o, CPU_ENABLED | (boot ? CPU_BOOT : 0));
	gmem_out_int(o, CPU_SIGNATURE, 4);
	gmem_out_int(o, CPU_FEATURES, 4);
	gmem_out_int(o, 0, 8);
}

/* 4.3.2 */
static void put_bus(struct gmem_out *o, uint8_t id, const char type[6])
{
	gmem_out_u8(o, ENTRY_BUS);
	gmem_out_u8(o, id);
	gmem_out_put(o, type, 6);
}

/* 4.3.3 */
static void put_ioapic(struct gmem_out *o, uint8_t id)
{
	gmem_out_u8(o, ENTRY_IOAPIC);
	gmem_out_u8(o, id);
	gmem_out_u8(o, IOAPIC_VERSION);
	gmem_out_u8(o, 1); /* usable */
	gmem_out_int(o, LAYOUT_IOAPIC, 4);
}

/* 4.3.4 and 4.3.5 have one form. */
static void put_interrupt(struct gmem_out *o, uint8_t entry, uint8_t type, uint16_t flags,
			  uint8_t bus, uint8_t source, uint8_t apic, uint8_t pin)
{
	gmem_out_u8(o, entry);
	gmem_out_u8(o, type);
	gmem_out_int(o, flags, 2);
	gmem_out_u8(o, bus);
	gmem_out_u8(o, source);
	gmem_out_u8(o, apic);
	gmem_out_u8(o, pin);
}

static unsigned put_cpus(struct gmem_out *o, const struct pc_config *config)
{
	unsigned entries = 0;

	for (unsigned i = 0; i < config->cpu_count; i++) {
		if (config->apic_ids[i] >= APIC_ID_ALL)
			continue;
		put_cpu(o, (uint8_t)config->apic_ids[i], i == 0);
		entries++;
	}
	return entries;
}

static unsigned put_isa_interrupts(struct gmem_out *o, uint8_t ioapic)
{
	unsigned entries = 0;

	for (uint8_t irq = 0; irq < ISA_IRQS; irq++) {
		uint8_t pin = irq == 0 ? LAYOUT_PIT_GSI : irq;
		uint16_t flags = irq == LAYOUT_SCI_IRQ ? FLAGS_LEVEL_HIGH : FLAGS_BUS;

		if (irq == 2)
			continue;
		put_interrupt(o, ENTRY_INTERRUPT, INT_VECTORED, flags, BUS_ISA, irq, ioapic, pin);
		entries++;
	}
	return entries;
}

/* The source of a PCI interrupt is slot and pin. D.3 */
static unsigned put_pci_interrupts(struct gmem_out *o, uint8_t ioapic)
{
	unsigned entries = 0;

	for (unsigned i = 4; i < PCI_SLOTS * 4; i++) {
		put_interrupt(o, ENTRY_INTERRUPT, INT_VECTORED, FLAGS_LEVEL_LOW, BUS_PCI,
			      (uint8_t)i, ioapic, (uint8_t)layout_pci_gsi(i / 4, i % 4));
		entries++;
	}
	return entries;
}

static void put_header(struct gmem_out *o, gpa_t table, unsigned entries)
{
	struct config_header h = {
		.signature = "PCMP",
		.length = (uint16_t)(o->at - table),
		.spec = SPEC_1_4,
		.oem = "AMALGAM ",
		.product = "PC          ",
		.entries = (uint16_t)entries,
		.lapic = LAYOUT_LAPIC,
	};

	gmem_out_patch(o, table, &h, sizeof(h));
	gmem_out_checksum(o, table, h.length, table + offsetof(struct config_header, checksum));
}

static void put_floating_pointer(struct gmem_out *o, gpa_t at, gpa_t table)
{
	struct floating_pointer p = {
		.signature = "_MP_",
		.table = (uint32_t)table,
		.length = 1,
		.spec = SPEC_1_4,
	};

	gmem_out_patch(o, at, &p, sizeof(p));
	gmem_out_checksum(o, at, sizeof(p), at + offsetof(struct floating_pointer, checksum));
}

int mptable_build(const struct pc_config *config, gpa_t base, gpa_t end, struct why *why)
{
	static const uint8_t blank[sizeof(struct floating_pointer) + sizeof(struct config_header)];
	gpa_t table = base + sizeof(struct floating_pointer);
	struct gmem_out o = {.at = base, .end = end};
	uint8_t boot_cpu = (uint8_t)config->apic_ids[0];
	unsigned entries;

	gmem_out_put(&o, blank, sizeof(blank));
	entries = put_cpus(&o, config);
	put_bus(&o, BUS_PCI, "PCI   ");
	put_bus(&o, BUS_ISA, "ISA   ");
	put_ioapic(&o, config->ioapic_id);
	entries += 3;
	entries += put_isa_interrupts(&o, config->ioapic_id);
	entries += put_pci_interrupts(&o, config->ioapic_id);
	put_interrupt(&o, ENTRY_LOCAL, INT_EXTINT, FLAGS_BUS, BUS_ISA, 0, boot_cpu, 0);
	put_interrupt(&o, ENTRY_LOCAL, INT_NMI, FLAGS_BUS, BUS_ISA, 0, APIC_ID_ALL, 1);
	entries += 2;
	put_header(&o, table, entries);
	put_floating_pointer(&o, base, table);
	return gmem_out_end(&o, base, "MP table", config->cpu_count, why);
}
