/* ACPI tables as an operating system finds them. ACPI 6.3, chapter 5. */
#ifndef TESTS_GUEST_LIB_ACPI_H
#define TESTS_GUEST_LIB_ACPI_H

#include "hv/base/compiler.h"

struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem[6], oem_table[8];
	uint32_t oem_revision;
	char creator[4];
	uint32_t creator_revision;
} PACKED;
_Static_assert(sizeof(struct acpi_header) == 36, "ACPI 6.3, 5.2.6");

/* ACPI 6.3, 5.2.3.2: generic address structure */
struct acpi_gas {
	uint8_t space, width, offset, access;
	uint64_t address;
} PACKED;

/* ACPI 6.3, 5.2.9; a revision 1 table ends before reset_reg. */
struct acpi_fadt {
	struct acpi_header h;
	uint32_t facs, dsdt;
	uint8_t int_model, profile;
	uint16_t sci_int;
	uint32_t smi_cmd;
	uint8_t acpi_enable, acpi_disable, s4bios_req, pstate_cnt;
	uint32_t pm1a_evt, pm1b_evt, pm1a_cnt, pm1b_cnt, pm2_cnt, pm_tmr, gpe0, gpe1;
	uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len, gpe0_len, gpe1_len, gpe1_base,
		cst_cnt;
	uint16_t p_lvl2, p_lvl3, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, mon_alarm, century;
	uint16_t boot_arch;
	uint8_t reserved;
	uint32_t flags;
	struct acpi_gas reset_reg;
	uint8_t reset_value;
} PACKED;
_Static_assert(offsetof(struct acpi_fadt, flags) == 112, "ACPI 6.3, table 5-33");
_Static_assert(offsetof(struct acpi_fadt, reset_value) == 128, "ACPI 6.3, table 5-33");

#define FADT_RESET_SUPPORTED (1u << 10)
#define FADT_TIMER_32        (1u << 8)

/* The first table with the signature and a right checksum, or NULL. */
const struct acpi_header *acpi_find(const char *signature);
const struct acpi_fadt *acpi_fadt(void);
bool acpi_sum_ok(const void *p, uint32_t len);
/* SLP_TYPa of \_S5 out of the DSDT's byte code; -1 when there is none. */
int acpi_s5_type(void);
/* Switches to ACPI mode where the machine boots in legacy mode. */
void acpi_enable(void);

/* Interrupt source override of an ISA interrupt: its GSI and MPS flags; the identity when none. */
struct acpi_irq {
	uint32_t gsi;
	uint16_t flags;
};
struct acpi_irq acpi_isa_irq(unsigned irq);

#endif
