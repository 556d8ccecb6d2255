#include "guest/acpi_build.h"
#include "guest/aml.h"
#include "guest/layout.h"
#include "hv/base/assert.h"
#include "hv/base/string.h"

#define FADT_REVISION 3
#define MADT_REVISION 3
#define DSDT_REVISION 2

/*
 * IA-PC boot architecture flags, 5.2.9.3: ISA devices are there, VGA and the 8042 are not to be
 * probed
 */
#define BOOT_LEGACY_DEVICES 0x0001
#define BOOT_NO_VGA         0x0004
/* Fixed feature flags, table 5.10 */
#define FADT_WBINVD         (1u << 0)
#define FADT_PROC_C1        (1u << 2)
#define FADT_SLEEP_BUTTON   (1u << 5) /* no fixed sleep button */
#define FADT_NO_FIXED_RTC   (1u << 6)
#define FADT_TIMER_32       (1u << 8)
#define FADT_RESET_REG      (1u << 10)
#define NO_C_STATE          0xffff
#define PROFILE_DESKTOP     1
#define CMOS_CENTURY        0x32

/* MADT flags and entries, 5.2.12 */
#define MADT_PCAT_COMPAT 1
#define MADT_ENABLED     1
#define ISO_LEVEL_HIGH   0x000d
#define ALL_CPUS         0xff
#define ALL_CPUS_X2      0xffffffffu
#define X2APIC_FIRST     255u

enum {
	MADT_LAPIC = 0,
	MADT_IOAPIC = 1,
	MADT_OVERRIDE = 2,
	MADT_LAPIC_NMI = 4,
	MADT_X2APIC = 9,
	MADT_X2APIC_NMI = 10
};

/* ACPI 6.5, 5.2.5.3 */
struct rsdp {
	char signature[8];
	uint8_t checksum; /* of the first 20 bytes */
	char oem[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} PACKED;
ASSERT_SIZE(struct rsdp, 36);
#define RSDP_V1_SIZE 20

/* 5.2.6 */
struct table_header {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem[6];
	char oem_table[8];
	uint32_t oem_revision;
	char creator[4];
	uint32_t creator_revision;
} PACKED;
ASSERT_SIZE(struct table_header, 36);

/* 5.2.3.2: generic address */
struct gas {
	uint8_t space, bits, offset, access;
	uint64_t address;
} PACKED;
ASSERT_SIZE(struct gas, 12);
#define GAS_IO 1

/* 5.2.9, up to the fields of revision 3 */
struct fadt {
	struct table_header header;
	uint32_t facs, dsdt;
	uint8_t reserved0, profile;
	uint16_t sci;
	uint32_t smi_cmd;
	uint8_t acpi_enable, acpi_disable, s4bios_req, pstate_cnt;
	uint32_t pm1a_evt, pm1b_evt, pm1a_cnt, pm1b_cnt, pm2_cnt, pm_tmr, gpe0, gpe1;
	uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len, gpe0_len, gpe1_len, gpe1_base;
	uint8_t cst_cnt;
	uint16_t c2_latency, c3_latency, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t boot_arch;
	uint8_t reserved1;
	uint32_t flags;
	struct gas reset_reg;
	uint8_t reset_value;
	uint8_t reserved2[3];
	uint64_t x_facs, x_dsdt;
	struct gas x_pm1a_evt, x_pm1b_evt, x_pm1a_cnt, x_pm1b_cnt, x_pm2_cnt, x_pm_tmr, x_gpe0;
	struct gas x_gpe1;
} PACKED;
ASSERT_SIZE(struct fadt, 244);
ASSERT_OFFSET(struct fadt, pm1a_evt, 56);
ASSERT_OFFSET(struct fadt, boot_arch, 109);
ASSERT_OFFSET(struct fadt, reset_reg, 116);
ASSERT_OFFSET(struct fadt, x_pm1a_evt, 148);

/* 5.2.10 */
struct facs {
	char signature[4];
	uint32_t length, hardware_signature, waking_vector, global_lock, flags;
	uint64_t x_waking_vector;
	uint8_t version;
	uint8_t reserved[31];
} PACKED;
ASSERT_SIZE(struct facs, 64);

static void put_header(struct gmem_out *o, const char *signature, uint8_t revision)
{
	struct table_header h = {
		.revision = revision,
		.oem = "AMALGM",
		.oem_table = "AMALGAM",
		.oem_revision = 1,
		.creator = "AMLG",
		.creator_revision = 1,
	};

	memcpy(h.signature, signature, sizeof(h.signature));
	h.oem_table[7] = ' ';
	gmem_out_put(o, &h, sizeof(h));
}

/* Fills in length and checksum of the table that began at `start`. */
static void finish_table(struct gmem_out *o, gpa_t start)
{
	uint32_t length = (uint32_t)(o->at - start);

	gmem_out_patch(o, start + offsetof(struct table_header, length), &length, sizeof(length));
	gmem_out_checksum(o, start, length, start + offsetof(struct table_header, checksum));
	gmem_out_align(o, 16);
}

/* One routing entry per slot and pin. Slot 0 is the host bridge, which has no interrupt. 6.2.13 */
static void put_routing(struct gmem_out *o, const char *name,
			unsigned (*line)(unsigned slot, unsigned pin))
{
	struct aml_block all, one;

	aml_name(o, name);
	all = aml_package(o, (PCI_SLOTS - 1) * 4);
	for (unsigned i = 4; i < PCI_SLOTS * 4; i++) {
		one = aml_package(o, 4);
		aml_integer(o, i / 4 << 16 | 0xffff);
		aml_integer(o, i % 4);
		aml_integer(o, 0);
		aml_integer(o, line(i / 4, i % 4));
		aml_close(o, one);
	}
	aml_close(o, all);
}

static void put_isa_device(struct gmem_out *o, const char *name, const char *id, const uint16_t *io,
			   int irq)
{
	struct aml_block device = aml_device(o, name), crs;

	aml_hid(o, id);
	crs = aml_resources(o);
	/* pairs of base and length */
	for (; *io; io += 2)
		aml_io(o, io[0], (uint8_t)io[1]);
	if (irq >= 0)
		aml_irq(o, (unsigned)irq);
	aml_resources_end(o, crs);
	aml_close(o, device);
}

static void put_isa_bridge(struct gmem_out *o)
{
	static const struct {
		const char *name, *id;
		uint16_t io[8];
		int irq;
	} devices[] = {
		{"PIC_", "PNP0000", {0x20, 2, 0xa0, 2, 0x4d0, 2}, 2},
		{"TIMR", "PNP0100", {0x40, 4}, 0},
		{"DMAC", "PNP0200", {0x80, 16, 0xc0, 32}, -1},
		{"SPKR", "PNP0800", {0x61, 1}, -1},
		{"RTC_", "PNP0B00", {0x70, 2}, LAYOUT_RTC_IRQ},
		{"COM1", "PNP0501", {LAYOUT_UART_PORT, 8}, LAYOUT_UART_IRQ},
		{"MBRD", "PNP0C02", {LAYOUT_PM_PORT, PM_PORTS}, -1},
	};
	struct aml_block isa = aml_device(o, "ISA_");

	aml_name(o, "_ADR");
	aml_integer(o, 1 << 16);
	for (size_t i = 0; i < ARRAY_LEN(devices); i++)
		put_isa_device(o, devices[i].name, devices[i].id, devices[i].io, devices[i].irq);
	aml_close(o, isa);
}

static void put_host_windows(struct gmem_out *o)
{
	struct aml_block crs = aml_resources(o);

	aml_bus_range(o, 0, 0);
	aml_io(o, 0xcf8, 8);
	aml_io_range(o, 0x0000, 0x0cf7);
	aml_io_range(o, 0x0d00, 0xffff);
	aml_memory_range(o, LAYOUT_DEVICE_HOLE, LAYOUT_PCI_MMIO_END - 1);
	aml_resources_end(o, crs);
}

/* _PRT names GSIs once the guest has said through _PIC that it uses the IOAPIC. */
static void put_pci_routing_method(struct gmem_out *o)
{
	struct aml_block method, cond;

	put_routing(o, "PRTP", layout_pci_irq);
	put_routing(o, "PRTA", layout_pci_gsi);
	method = aml_method(o, "_PRT", 0);
	cond = aml_if(o);
	aml_ref(o, "\\PICM");
	aml_return(o);
	aml_ref(o, "PRTA");
	aml_close(o, cond);
	aml_return(o);
	aml_ref(o, "PRTP");
	aml_close(o, method);
}

static void put_system_bus(struct gmem_out *o)
{
	struct aml_block bus = aml_scope(o, "\\_SB_"), host = aml_device(o, "PCI0");

	aml_hid(o, "PNP0A03");
	aml_name(o, "_UID");
	aml_integer(o, 0);
	aml_name(o, "_BBN");
	aml_integer(o, 0);
	put_host_windows(o);
	put_pci_routing_method(o);
	put_isa_bridge(o);
	aml_close(o, host);
	aml_close(o, bus);
}

static gpa_t put_dsdt(struct gmem_out *o)
{
	gpa_t start = o->at;
	struct aml_block block;

	put_header(o, "DSDT", DSDT_REVISION);
	aml_name(o, "\\PICM");
	aml_integer(o, 0);
	block = aml_method(o, "\\_PIC", 1);
	aml_store_arg0(o, "\\PICM");
	aml_close(o, block);
	/* the sleep types of PM1a and PM1b, two reserved. 7.4.2.6 */
	aml_name(o, "\\_S5_");
	block = aml_package(o, 4);
	aml_integer(o, PM_S5_TYPE);
	aml_integer(o, PM_S5_TYPE);
	aml_integer(o, 0);
	aml_integer(o, 0);
	aml_close(o, block);
	put_system_bus(o);
	finish_table(o, start);
	return start;
}

static gpa_t put_facs(struct gmem_out *o)
{
	struct facs facs = {.signature = "FACS", .length = sizeof(facs), .version = 1};
	gpa_t start;

	gmem_out_align(o, 64);
	start = o->at;
	gmem_out_put(o, &facs, sizeof(facs));
	return start;
}

static struct gas io_register(uint16_t port, uint8_t bytes)
{
	uint8_t access = bytes == 4 ? 3 : bytes;

	return (struct gas){GAS_IO, (uint8_t)(8 * bytes), 0, access, port};
}

static gpa_t put_fadt(struct gmem_out *o, gpa_t facs, gpa_t dsdt)
{
	gpa_t start = o->at;
	struct fadt f = {
		.facs = (uint32_t)facs,
		.dsdt = (uint32_t)dsdt,
		.x_dsdt = dsdt,
		.profile = PROFILE_DESKTOP,
		.sci = LAYOUT_SCI_IRQ,
		.pm1a_evt = LAYOUT_PM_PORT + PM_EVT,
		.pm1a_cnt = LAYOUT_PM_PORT + PM_CNT,
		.pm_tmr = LAYOUT_PM_PORT + PM_TMR,
		.pm1_evt_len = 4,
		.pm1_cnt_len = 2,
		.pm_tmr_len = 4,
		.c2_latency = NO_C_STATE,
		.c3_latency = NO_C_STATE,
		.century = CMOS_CENTURY,
		.boot_arch = BOOT_LEGACY_DEVICES | BOOT_NO_VGA,
		.flags = FADT_WBINVD | FADT_PROC_C1 | FADT_SLEEP_BUTTON | FADT_NO_FIXED_RTC |
			 FADT_TIMER_32 | FADT_RESET_REG,
		.reset_reg = io_register(LAYOUT_RESET_PORT, 1),
		.reset_value = LAYOUT_RESET_VALUE,
		.x_pm1a_evt = io_register(LAYOUT_PM_PORT + PM_EVT, 4),
		.x_pm1a_cnt = io_register(LAYOUT_PM_PORT + PM_CNT, 2),
		.x_pm_tmr = io_register(LAYOUT_PM_PORT + PM_TMR, 4),
	};

	put_header(o, "FACP", FADT_REVISION);
	gmem_out_put(o, (const uint8_t *)&f + sizeof(f.header), sizeof(f) - sizeof(f.header));
	finish_table(o, start);
	return start;
}

/* A processor's UID is its index. */
static bool put_cpu(struct gmem_out *o, unsigned uid, uint32_t apic_id)
{
	bool x2 = apic_id >= X2APIC_FIRST || uid >= X2APIC_FIRST;

	gmem_out_u8(o, x2 ? MADT_X2APIC : MADT_LAPIC);
	gmem_out_u8(o, x2 ? 16 : 8);
	if (x2) {
		gmem_out_int(o, 0, 2);
		gmem_out_int(o, apic_id, 4);
		gmem_out_int(o, MADT_ENABLED, 4);
		gmem_out_int(o, uid, 4);
	} else {
		gmem_out_u8(o, (uint8_t)uid);
		gmem_out_u8(o, (uint8_t)apic_id);
		gmem_out_int(o, MADT_ENABLED, 4);
	}
	return x2;
}

static void put_override(struct gmem_out *o, uint8_t irq, uint32_t gsi, uint16_t flags)
{
	gmem_out_u8(o, MADT_OVERRIDE);
	gmem_out_u8(o, 10);
	gmem_out_u8(o, 0); /* ISA */
	gmem_out_u8(o, irq);
	gmem_out_int(o, gsi, 4);
	gmem_out_int(o, flags, 2);
}

/* NMI comes in on LINT1 of every CPU. */
static void put_nmi(struct gmem_out *o, bool x2)
{
	gmem_out_u8(o, x2 ? MADT_X2APIC_NMI : MADT_LAPIC_NMI);
	gmem_out_u8(o, x2 ? 12 : 6);
	if (!x2)
		gmem_out_u8(o, ALL_CPUS);
	gmem_out_int(o, 0, 2);
	if (x2)
		gmem_out_int(o, ALL_CPUS_X2, 4);
	gmem_out_u8(o, 1);
	if (x2)
		gmem_out_int(o, 0, 3);
}

static gpa_t put_madt(struct gmem_out *o, const struct pc_config *config)
{
	gpa_t start = o->at;
	bool any_x2 = false;

	put_header(o, "APIC", MADT_REVISION);
	gmem_out_int(o, LAYOUT_LAPIC, 4);
	gmem_out_int(o, MADT_PCAT_COMPAT, 4);
	for (unsigned i = 0; i < config->cpu_count; i++)
		any_x2 |= put_cpu(o, i, config->apic_ids[i]);
	gmem_out_u8(o, MADT_IOAPIC);
	gmem_out_u8(o, 12);
	gmem_out_u8(o, config->ioapic_id);
	gmem_out_u8(o, 0);
	gmem_out_int(o, LAYOUT_IOAPIC, 4);
	gmem_out_int(o, 0, 4); /* its first GSI */
	put_override(o, 0, LAYOUT_PIT_GSI, 0);
	put_override(o, LAYOUT_SCI_IRQ, LAYOUT_SCI_IRQ, ISO_LEVEL_HIGH);
	put_nmi(o, false);
	if (any_x2)
		put_nmi(o, true);
	finish_table(o, start);
	return start;
}

static gpa_t put_root(struct gmem_out *o, const char *signature, unsigned pointer_size, gpa_t fadt,
		      gpa_t madt)
{
	gpa_t start = o->at;

	put_header(o, signature, 1);
	gmem_out_int(o, fadt, pointer_size);
	gmem_out_int(o, madt, pointer_size);
	finish_table(o, start);
	return start;
}

static void put_rsdp(struct gmem_out *o, gpa_t at, gpa_t rsdt, gpa_t xsdt)
{
	struct rsdp r = {
		.signature = "RSD PTR ",
		.oem = "AMALGM",
		.revision = 2,
		.rsdt = (uint32_t)rsdt,
		.length = sizeof(r),
		.xsdt = xsdt,
	};

	gmem_out_patch(o, at, &r, sizeof(r));
	gmem_out_checksum(o, at, RSDP_V1_SIZE, at + offsetof(struct rsdp, checksum));
	gmem_out_checksum(o, at, sizeof(r), at + offsetof(struct rsdp, extended_checksum));
}

int acpi_build(const struct pc_config *config, gpa_t base, gpa_t end, struct why *why)
{
	static const struct rsdp blank;
	struct gmem_out o = {.at = base, .end = end};
	gpa_t facs, dsdt, fadt, madt, rsdt, xsdt;

	gmem_out_put(&o, &blank, sizeof(blank));
	facs = put_facs(&o);
	dsdt = put_dsdt(&o);
	fadt = put_fadt(&o, facs, dsdt);
	madt = put_madt(&o, config);
	rsdt = put_root(&o, "RSDT", 4, fadt, madt);
	xsdt = put_root(&o, "XSDT", 8, fadt, madt);
	put_rsdp(&o, base, rsdt, xsdt);
	return gmem_out_end(&o, base, "ACPI tables", config->cpu_count, why);
}
