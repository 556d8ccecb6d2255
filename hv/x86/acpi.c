#include "hv/x86/acpi.h"
#include "hv/base/assert.h"
#include "hv/base/bits.h"
#include "hv/base/log.h"
#include "hv/base/string.h"

#define TABLE_MAX  MIB(1)
#define TABLES_MAX 256u

/* ACPI 5.2.5.3 */
struct rsdp {
	char signature[8];
	uint8_t checksum;
	char oem[6];
	uint8_t revision;
	uint32_t rsdt;
	/* from revision 2 on */
	uint32_t length;
	uint64_t xsdt;
	uint8_t checksum_all;
	uint8_t reserved[3];
} PACKED;
ASSERT_SIZE(struct rsdp, 36);
#define RSDP1_SIZE 20u

/* ACPI 5.2.6 */
struct header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem[6], oem_table[8];
	uint32_t oem_revision;
	char creator[4];
	uint32_t creator_revision;
} PACKED;
ASSERT_SIZE(struct header, 36);

/* ACPI 5.2.3.2 */
struct gas {
	uint8_t space, width, offset, access;
	uint64_t address;
} PACKED;
ASSERT_SIZE(struct gas, 12);

/* ACPI 5.2.9; revision 1 ends after `flags`, later ones may be longer than this. */
struct fadt {
	struct header header;
	uint32_t facs, dsdt;
	uint8_t model, profile;
	uint16_t sci;
	uint32_t smi_cmd;
	uint8_t acpi_enable, acpi_disable, s4bios, pstate;
	uint32_t pm1a_evt, pm1b_evt, pm1a_cnt, pm1b_cnt, pm2_cnt, pm_tmr, gpe0, gpe1;
	uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len, gpe0_len, gpe1_len, gpe1_base,
		cst;
	uint16_t c2_lat, c3_lat, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t boot_arch;
	uint8_t reserved;
	uint32_t flags;
	struct gas reset;
	uint8_t reset_value;
	uint16_t arm_boot;
	uint8_t minor;
	uint64_t x_facs, x_dsdt;
} PACKED;
ASSERT_SIZE(struct fadt, 148);
ASSERT_OFFSET(struct fadt, pm1a_cnt, 64);
ASSERT_OFFSET(struct fadt, flags, 112);
ASSERT_OFFSET(struct fadt, reset, 116);
#define FADT1_SIZE     116u
#define FADT_TMR_32BIT BIT(8)
#define FADT_RESET     BIT(10)

/* ACPI 5.2.12 */
struct madt {
	struct header header;
	uint32_t lapic_base, flags;
} PACKED;
ASSERT_SIZE(struct madt, 44);

#define MADT_LAPIC       0
#define MADT_IOAPIC      1
#define MADT_LAPIC_BASE  5
#define MADT_X2APIC      9
#define MADT_CPU_ENABLED 1u

struct madt_entry {
	uint8_t type, length;
	union {
		struct {
			uint8_t acpi_id, apic_id;
			uint32_t flags;
		} PACKED lapic;
		struct {
			uint8_t id, reserved;
			uint32_t base, gsi_base;
		} PACKED ioapic;
		struct {
			uint16_t reserved;
			uint64_t base;
		} PACKED lapic_base;
		struct {
			uint16_t reserved;
			uint32_t x2apic_id, flags, acpi_id;
		} PACKED x2apic;
	};
} PACKED;
ASSERT_SIZE(struct madt_entry, 16);

/* PCI Firmware 3.0, table 4-2 */
struct mcfg_entry {
	uint64_t base;
	uint16_t segment;
	uint8_t first_bus, last_bus;
	uint32_t reserved;
} PACKED;
ASSERT_SIZE(struct mcfg_entry, 16);

struct parse {
	const struct phys_reader *mem;
	struct platform *pf;
};

static bool read_at(const struct phys_reader *mem, hpa_t pa, void *buf, size_t len)
{
	return pa + len >= pa && mem->read(mem->ctx, pa, buf, len);
}

bool acpi_checksum_ok(const struct phys_reader *mem, hpa_t pa, uint32_t len)
{
	uint8_t buf[64], sum = 0;

	while (len) {
		uint32_t n = MIN(len, (uint32_t)sizeof(buf));

		if (!read_at(mem, pa, buf, n))
			return false;
		for (uint32_t i = 0; i < n; i++)
			sum = (uint8_t)(sum + buf[i]);
		pa += n;
		len -= n;
	}
	return sum == 0;
}

hpa_t acpi_ebda(const struct phys_reader *mem)
{
	uint16_t segment;

	if (!read_at(mem, 0x40e, &segment, sizeof(segment)))
		return 0;
	return segment >= 0x8000 && segment < 0xa000 ? (hpa_t)segment << 4 : 0;
}

static bool rsdp_ok(const struct phys_reader *mem, hpa_t pa, struct rsdp *r)
{
	memset(r, 0, sizeof(*r));
	if (!read_at(mem, pa, r, RSDP1_SIZE) || memcmp(r->signature, "RSD PTR ", 8) ||
	    !acpi_checksum_ok(mem, pa, RSDP1_SIZE))
		return false;
	if (r->revision < 2)
		return true;
	return read_at(mem, pa, r, sizeof(*r)) && r->length >= sizeof(*r) &&
	       r->length <= PAGE_SIZE && acpi_checksum_ok(mem, pa, r->length);
}

static hpa_t search(const struct phys_reader *mem, hpa_t from, uint32_t len)
{
	struct rsdp r;

	for (hpa_t pa = from; pa < from + len; pa += 16)
		if (rsdp_ok(mem, pa, &r))
			return pa;
	return 0;
}

hpa_t acpi_find_rsdp(const struct phys_reader *mem)
{
	hpa_t ebda = acpi_ebda(mem), found = 0;

	if (ebda)
		found = search(mem, ebda, 1024);
	return found ? found : search(mem, 0xe0000, 0x20000);
}

/* Four printable characters, for the log. */
struct name {
	char text[5];
};

static struct name table_name(const struct header *h)
{
	struct name n = {{0}};

	for (unsigned i = 0; i < 4; i++)
		n.text[i] = h->signature[i] > ' ' && h->signature[i] < 0x7f ? h->signature[i] : '?';
	return n;
}

/* Reads the header at `pa` and checks the whole table; a bad one is named. */
static bool table_ok(const struct phys_reader *mem, hpa_t pa, uint32_t min, struct header *h)
{
	if (!read_at(mem, pa, h, sizeof(*h))) {
		log_warn(LOG_X86, "ACPI: a table at %#llx can't be read; it is skipped",
			 (unsigned long long)pa);
		return false;
	}
	if (h->length < min || h->length > TABLE_MAX) {
		log_warn(LOG_X86,
			 "ACPI: table %s at %#llx has length %u, expected %u to %llu; skipped",
			 table_name(h).text, (unsigned long long)pa, h->length, min,
			 (unsigned long long)TABLE_MAX);
		return false;
	}
	if (!acpi_checksum_ok(mem, pa, h->length)) {
		log_warn(LOG_X86, "ACPI: table %s at %#llx has a wrong checksum; it is skipped",
			 table_name(h).text, (unsigned long long)pa);
		return false;
	}
	return true;
}

static void add_cpu(struct platform *pf, uint32_t id, uint32_t flags)
{
	if (!(flags & MADT_CPU_ENABLED))
		return;
	for (unsigned i = 0; i < pf->cpu_count; i++)
		if (pf->apic_ids[i] == id)
			return;
	if (pf->cpu_count == PLATFORM_CPUS)
		pf->cpus_left_out++;
	else
		pf->apic_ids[pf->cpu_count++] = id;
}

static void madt_entry(struct platform *pf, const struct madt_entry *e)
{
	switch (e->type) {
	case MADT_LAPIC:
		if (e->length >= 8 && e->lapic.apic_id != 0xff)
			add_cpu(pf, e->lapic.apic_id, e->lapic.flags);
		break;
	case MADT_X2APIC:
		if (e->length >= 16)
			add_cpu(pf, e->x2apic.x2apic_id, e->x2apic.flags);
		break;
	case MADT_IOAPIC:
		if (e->length >= 12 && pf->ioapic_count < PLATFORM_IOAPICS)
			pf->ioapics[pf->ioapic_count++] = (struct platform_ioapic){
				e->ioapic.id, e->ioapic.gsi_base, e->ioapic.base};
		break;
	case MADT_LAPIC_BASE:
		if (e->length >= 12)
			pf->lapic_base = e->lapic_base.base;
		break;
	default:
		break;
	}
}

static void read_madt(const struct parse *p, hpa_t pa, const struct header *h)
{
	struct madt m;
	uint32_t at = sizeof(m);

	if (h->length < sizeof(m) || !read_at(p->mem, pa, &m, sizeof(m)))
		return;
	p->pf->source = PLATFORM_ACPI;
	p->pf->lapic_base = m.lapic_base;
	while (h->length - at >= 2) {
		struct madt_entry e = {0};

		if (!read_at(p->mem, pa + at, &e, 2) || e.length < 2 || e.length > h->length - at) {
			log_warn(LOG_X86,
				 "ACPI: the MADT has a broken entry at offset %u; "
				 "the rest is skipped",
				 at);
			return;
		}
		if (!read_at(p->mem, pa + at, &e, MIN(e.length, sizeof(e))))
			return;
		madt_entry(p->pf, &e);
		at += e.length;
	}
}

static void read_mcfg(const struct parse *p, hpa_t pa, const struct header *h)
{
	struct mcfg_entry e;

	for (uint32_t at = sizeof(*h) + 8; at <= h->length && h->length - at >= sizeof(e);
	     at += sizeof(e)) {
		if (!read_at(p->mem, pa + at, &e, sizeof(e)))
			return;
		if (e.segment || p->pf->mcfg_base)
			continue;
		p->pf->mcfg_base = e.base;
		p->pf->mcfg_first_bus = e.first_bus;
		p->pf->mcfg_last_bus = e.last_bus;
	}
}

/* An AML integer at `s`: zero, one, or a byte constant. ACPI 20.2.3; bytes used, 0 when it is neither. */
static unsigned aml_byte(const uint8_t *s, uint8_t *value)
{
	switch (s[0]) {
	case 0x00:
	case 0x01:
		*value = s[0];
		return 1;
	case 0x0a:
		*value = s[1];
		return 2;
	default:
		return 0;
	}
}

/*
 * `s` follows the bytes "_S5_": PackageOp, PkgLength (1 to 4 bytes, the count in bits 7:6 of the first),
 * NumElements, then SLP_TYPa and SLP_TYPb. ACPI 7.4.2 and 20.2.4
 */
static bool s5_package(const uint8_t *s, struct platform *pf)
{
	uint8_t a, b;
	unsigned n;

	if (s[0] != 0x12)
		return false;
	s += 1 + (s[1] >> 6) + 1 + 1;
	n = aml_byte(s, &a);
	if (!n || !aml_byte(s + n, &b))
		return false;
	pf->s5_known = true;
	pf->s5_slp_typ_a = a & 7;
	pf->s5_slp_typ_b = b & 7;
	return true;
}

/* Finds the package _S5_ by its bytes; no AML is run. */
static void scan_dsdt(const struct parse *p, hpa_t pa)
{
	struct header h;
	/* _S5_, PackageOp, PkgLength of 4, NumElements, two elements of 2 */
	uint8_t window[4 + 1 + 4 + 1 + 4];

	if (!table_ok(p->mem, pa, sizeof(h), &h))
		return;
	for (uint32_t at = sizeof(h); at + sizeof(window) <= h.length; at++) {
		if (!read_at(p->mem, pa + at, window, 4) || memcmp(window, "_S5_", 4))
			continue;
		if (!read_at(p->mem, pa + at, window, sizeof(window)) ||
		    s5_package(window + 4, p->pf))
			return;
	}
}

static void read_fadt(const struct parse *p, hpa_t pa, const struct header *h)
{
	struct fadt f;
	struct platform *pf = p->pf;

	memset(&f, 0, sizeof(f));
	if (h->length < FADT1_SIZE || !read_at(p->mem, pa, &f, MIN(h->length, sizeof(f)))) {
		log_warn(LOG_X86,
			 "ACPI: the FADT is %u bytes long, expected %u at least; it is skipped",
			 h->length, FADT1_SIZE);
		return;
	}
	pf->pm1a_cnt = f.pm1a_cnt;
	pf->pm1b_cnt = f.pm1b_cnt;
	pf->pm_timer = f.pm_tmr_len == 4 ? f.pm_tmr : 0;
	pf->pm_timer_32bit = f.flags & FADT_TMR_32BIT;
	pf->smi_cmd = f.smi_cmd;
	pf->acpi_enable = f.acpi_enable;
	if (f.flags & FADT_RESET) {
		pf->reset = (struct platform_gas){f.reset.space, f.reset.address};
		pf->reset_value = f.reset_value;
	}
	if (f.dsdt || f.x_dsdt)
		scan_dsdt(p, f.x_dsdt ? f.x_dsdt : f.dsdt);
}

static void read_table(const struct parse *p, hpa_t pa)
{
	struct header h;

	if (!table_ok(p->mem, pa, sizeof(h), &h))
		return;
	if (!memcmp(h.signature, "APIC", 4))
		read_madt(p, pa, &h);
	else if (!memcmp(h.signature, "FACP", 4))
		read_fadt(p, pa, &h);
	else if (!memcmp(h.signature, "MCFG", 4))
		read_mcfg(p, pa, &h);
}

/* The root table's entries are physical addresses of `width` bytes. */
static bool read_root(const struct parse *p, hpa_t root, const char *signature, unsigned width)
{
	struct header h;
	unsigned count = 0;

	if (!root || !table_ok(p->mem, root, sizeof(h), &h))
		return false;
	if (memcmp(h.signature, signature, 4)) {
		log_warn(LOG_X86, "ACPI: the root table at %#llx is called %s, expected %s",
			 (unsigned long long)root, table_name(&h).text, signature);
		return false;
	}
	for (uint32_t at = sizeof(h); h.length - at >= width && count < TABLES_MAX; at += width) {
		uint64_t pa = 0;

		if (read_at(p->mem, root + at, &pa, width) && pa)
			read_table(p, pa);
		count++;
	}
	return true;
}

bool acpi_read(const struct phys_reader *mem, hpa_t rsdp, struct platform *pf)
{
	const struct parse p = {mem, pf};
	struct rsdp r;

	if (!rsdp_ok(mem, rsdp, &r)) {
		log_warn(LOG_X86, "ACPI: what the loader gave as root pointer, %#llx, is none",
			 (unsigned long long)rsdp);
		return false;
	}
	pf->acpi = (r.revision >= 2 && read_root(&p, r.xsdt, "XSDT", 8)) ||
		   read_root(&p, r.rsdt, "RSDT", 4);
	return pf->acpi;
}
