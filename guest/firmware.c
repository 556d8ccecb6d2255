#include "guest/firmware.h"
#include "guest/acpi_build.h"
#include "guest/layout.h"
#include "guest/mptable_build.h"
#include "hv/base/gmem.h"
#include "hv/base/string.h"

/* Each table's share of the E and F segments. The MP floating pointer must be in the F segment. */
#define ACPI_BASE     LAYOUT_ROM
#define ACPI_END      LAYOUT_BIOS
#define MPTABLE_BASE  LAYOUT_BIOS
#define MPTABLE_END   0xf8000u
/* Where PC BIOSes have their dummy interrupt handler, and the CPU its first instruction. */
#define DUMMY_HANDLER 0xfff53u
#define RESET_VECTOR  0xffff0u

#define IVT_VECTORS 256
#define OP_IRET     0xcf

/* Fields of the BIOS data area. IBM PC AT technical reference, "ROM BIOS data areas" */
#define BDA_BASE      0x400u
#define BDA_SIZE      0x100u
#define BDA_COM1      0x400u
#define BDA_EBDA      0x40eu
#define BDA_EQUIPMENT 0x410u
#define BDA_BASE_KIB  0x413u
/* a coprocessor, one serial port */
#define EQUIPMENT     0x0202u

static int put16(gpa_t at, uint16_t v)
{
	return gmem_write(at, &v, sizeof(v));
}

/* Every vector goes to an IRET in the F segment. */
static int put_ivt(void)
{
	uint32_t vector = (LAYOUT_BIOS >> 4) << 16 | (DUMMY_HANDLER - LAYOUT_BIOS);
	int err = 0;

	for (unsigned i = 0; i < IVT_VECTORS && !err; i++)
		err = gmem_write(4 * i, &vector, sizeof(vector));
	return err;
}

static int put_bda(void)
{
	uint8_t ebda_kib = (LAYOUT_VGA_HOLE - LAYOUT_EBDA) / 1024;
	int err = gmem_fill(BDA_BASE, 0, BDA_SIZE);

	if (!err)
		err = put16(BDA_COM1, LAYOUT_UART_PORT);
	if (!err)
		err = put16(BDA_EBDA, LAYOUT_EBDA >> 4);
	if (!err)
		err = put16(BDA_EQUIPMENT, EQUIPMENT);
	if (!err)
		err = put16(BDA_BASE_KIB, LAYOUT_EBDA / 1024);
	if (!err)
		err = gmem_fill(LAYOUT_EBDA, 0, LAYOUT_VGA_HOLE - LAYOUT_EBDA);
	if (!err)
		err = gmem_write(LAYOUT_EBDA, &ebda_kib, 1);
	return err;
}

/* A CPU that comes out of reset here stops; date and model byte as every BIOS has them. */
static int put_bios(void)
{
	static const uint8_t iret = OP_IRET;
	static const uint8_t last[16] = {
		0xfa, 0xf4, 0xeb, 0xfd, /* cli; 1: hlt; jmp 1b */
		0x00, '0',  '1',  '/',  '0', '1', '/', '2', '6', 0x00, 0xfc, 0x00,
	};
	int err = gmem_fill(LAYOUT_ROM, 0, LAYOUT_HIGH_MEMORY - LAYOUT_ROM);

	if (!err)
		err = gmem_write(DUMMY_HANDLER, &iret, 1);
	if (!err)
		err = gmem_write(RESET_VECTOR, last, sizeof(last));
	return err;
}

int firmware_build(const struct pc_config *config, struct firmware *out, struct why *why)
{
	int err = put_ivt();

	if (!err)
		err = put_bda();
	if (!err)
		err = put_bios();
	if (err)
		return why_set(why, err, "the guest has no RAM for its firmware below 1 MiB");
	err = acpi_build(config, ACPI_BASE, ACPI_END, why);
	if (!err)
		err = mptable_build(config, MPTABLE_BASE, MPTABLE_END, why);
	if (err)
		return err;
	out->rsdp = ACPI_BASE;
	out->mp_floating = MPTABLE_BASE;
	return 0;
}
