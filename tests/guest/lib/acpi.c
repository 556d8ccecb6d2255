#include "tests/guest/lib/acpi.h"
#include "tests/guest/lib/pc.h"
#include "hv/base/string.h"

/* ACPI 6.3, 5.2.5.3; the first 20 bytes are all that revision 0 has. */
struct rsdp {
	char signature[8];
	uint8_t checksum;
	char oem[6];
	uint8_t revision;
	uint32_t rsdt;
} PACKED;

/* ACPI 6.3, 5.2.12 */
struct madt {
	struct acpi_header h;
	uint32_t lapic, flags;
	uint8_t entries[];
} PACKED;

bool acpi_sum_ok(const void *p, uint32_t len)
{
	const uint8_t *b = p;
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *b++);
	return sum == 0;
}

static const struct rsdp *rsdp_scan(uint32_t from, uint32_t len)
{
	for (uint32_t at = from; at < from + len; at += 16)
		if (!memcmp((const void *)at, "RSD PTR ", 8) && acpi_sum_ok((const void *)at, 20))
			return (const struct rsdp *)at;
	return NULL;
}

/* The EBDA's segment stands at 0x40e; read through a pointer the compiler can't call a null access. */
static uint32_t ebda(void)
{
	uint32_t word;

	asm("movzwl 0x40e, %0" : "=r"(word));
	return word << 4;
}

const struct acpi_header *acpi_find(const char *signature)
{
	uint32_t low = ebda();
	const struct rsdp *rsdp = NULL;
	const struct acpi_header *rsdt, *table;
	const uint32_t *entry;

	if (low >= 0x80000 && low < 0xa0000)
		rsdp = rsdp_scan(low, 1024);
	if (!rsdp)
		rsdp = rsdp_scan(0xe0000, 0x20000);
	if (!rsdp)
		return NULL;
	rsdt = (const struct acpi_header *)rsdp->rsdt;
	if (memcmp(rsdt->signature, "RSDT", 4) || !acpi_sum_ok(rsdt, rsdt->length))
		return NULL;
	entry = (const uint32_t *)(rsdt + 1);
	for (uint32_t n = (rsdt->length - sizeof(*rsdt)) / 4; n; n--, entry++) {
		table = (const struct acpi_header *)*entry;
		if (!memcmp(table->signature, signature, 4) && acpi_sum_ok(table, table->length))
			return table;
	}
	return NULL;
}

const struct acpi_fadt *acpi_fadt(void)
{
	return (const struct acpi_fadt *)acpi_find("FACP");
}

/* An integer object of AML: ZeroOp, OneOp or BytePrefix. ACPI 6.3, 20.2.3 */
static int aml_byte(const uint8_t *p)
{
	return *p == 0x00 ? 0 : *p == 0x01 ? 1 : *p == 0x0a ? p[1] : -1;
}

int acpi_s5_type(void)
{
	const struct acpi_fadt *fadt = acpi_fadt();
	const struct acpi_header *dsdt;
	const uint8_t *p, *end;

	if (!fadt)
		return -1;
	dsdt = (const struct acpi_header *)fadt->dsdt;
	if (memcmp(dsdt->signature, "DSDT", 4) || !acpi_sum_ok(dsdt, dsdt->length))
		return -1;
	end = (const uint8_t *)dsdt + dsdt->length;
	/* NameOp, perhaps a root prefix, _S5_, PackageOp, PkgLength (1 to 4 bytes), NumElements. */
	for (p = (const uint8_t *)(dsdt + 1); p + 10 < end; p++)
		if (!memcmp(p, "_S5_", 4) && (p[-1] == 0x08 || (p[-1] == '\\' && p[-2] == 0x08)) &&
		    p[4] == 0x12)
			return aml_byte(p + 5 + (p[5] >> 6) + 1 + 1);
	return -1;
}

void acpi_enable(void)
{
	const struct acpi_fadt *fadt = acpi_fadt();

	if (!fadt || (inw((uint16_t)fadt->pm1a_cnt) & 1) || !fadt->smi_cmd || !fadt->acpi_enable)
		return;
	outb((uint16_t)fadt->smi_cmd, fadt->acpi_enable);
	(void)WAIT(inw((uint16_t)fadt->pm1a_cnt) & 1, 300);
}

struct acpi_irq acpi_isa_irq(unsigned irq)
{
	const struct madt *madt = (const struct madt *)acpi_find("APIC");
	struct acpi_irq out = {irq, 0};
	const uint8_t *p, *end;

	if (!madt)
		return out;
	end = (const uint8_t *)madt + madt->h.length;
	for (p = madt->entries; p + 1 < end && p[1] >= 2; p += p[1])
		if (p[0] == 2 && p[3] == irq) {
			memcpy(&out.gsi, p + 4, 4);
			memcpy(&out.flags, p + 8, 2);
		}
	return out;
}
