/*
 * The PC the guest sees: its port space and device memory, and the interrupt lines between its
 * devices. One lock of the host's protects all of it; every call is made under that lock. Callbacks
 * run inside the call that causes them and must not call back into the PC.
 */
#ifndef GUEST_PC_H
#define GUEST_PC_H

#include "guest/dma.h"
#include "guest/kbd.h"
#include "guest/pci.h"
#include "guest/pic.h"
#include "guest/pit.h"
#include "guest/pm.h"
#include "guest/rtc.h"
#include "guest/uart.h"
#include "hv/base/bits.h"

enum pc_power { PC_POWER_OFF, PC_POWER_RESET, PC_POWER_DEBUG_EXIT };

/* What the PC needs from whoever hosts it. All are set; `ctx` is pc_init's. */
struct pc_ops {
	/*
	 * Level of a global system interrupt, an IOAPIC input. True: asserted, whatever the
	 * polarity.
	 */
	void (*gsi)(void *ctx, unsigned gsi, bool level);
	/* The 8259s' INTR output: LINT0 of the boot CPU. */
	void (*intr)(void *ctx, bool level);
	/*
	 * The guest switched itself off or asked for reset; `code` counts for PC_POWER_DEBUG_EXIT
	 * only.
	 */
	void (*power)(void *ctx, enum pc_power what, uint8_t code);
	void (*console_tx)(void *ctx, uint8_t byte);
	/* pc_next_event() gives another time now. */
	void (*timer)(void *ctx);
	/* A PCI device's interrupt message. SDM vol. 3, 11.11 */
	void (*msi)(void *ctx, uint64_t address, uint32_t data);
};

struct pc_config {
	uint64_t ram_bytes; /* all guest RAM; see layout.h for where it lies */
	unsigned cpu_count;
	const uint32_t *apic_ids; /* cpu_count of them, [0] is the boot CPU; must outlive the pc */
	uint8_t ioapic_id;
	bool debug_exit;          /* port 0xF4 ends the VM */
	int64_t wall_clock_start; /* seconds since 1970 at pc_init's `now` */
};

struct pc {
	struct pc_config config;
	const struct pc_ops *ops;
	void *ctx;
	struct pic pic;
	struct pit pit;
	struct rtc rtc;
	struct uart com1;
	struct kbd kbd;
	struct pm pm;
	struct dma dma;
	struct pci pci;
	/* what the host's side was last told */
	uint32_t isa_level; /* bit per ISA interrupt */
	uint32_t gsi_level; /* bit per GSI */
	bool intr_level;
	uint64_t pit_edges;
	uint64_t next_event;
	/* counters */
	uint64_t io_reads, io_writes, mmio_reads, mmio_writes;
	uint64_t unknown_reads, unknown_writes;     /* of either kind: nobody answered */
	uint64_t ports_logged[BITMAP_WORDS(65536)]; /* ports that the log names already */
};

/* Power on. `config` is copied. `now` is in ns of the clock that all other calls use, too. */
void pc_init(struct pc *pc, const struct pc_config *config, const struct pc_ops *ops, void *ctx,
	     uint64_t now);
/*
 * The reset line: all devices as after power on, but the clock runs on, CMOS memory is kept, PCI
 * devices stay in their slots, and what waits at the console still waits.
 */
void pc_reset(struct pc *pc, uint64_t now);

/* `size` is 1, 2 or 4. What no device answers reads all ones and drops writes. */
uint32_t pc_io_read(struct pc *pc, uint16_t port, unsigned size, uint64_t now);
void pc_io_write(struct pc *pc, uint16_t port, unsigned size, uint32_t value, uint64_t now);

/* Memory-mapped devices but the APICs: today the PCI memory BARs. `size` is 1, 2, 4 or 8. */
uint64_t pc_mmio_read(struct pc *pc, gpa_t gpa, unsigned size, uint64_t now);
void pc_mmio_write(struct pc *pc, gpa_t gpa, unsigned size, uint64_t value, uint64_t now);

/* When pc_tick is due next, ns; UINT64_MAX: never. Calling it earlier or later does no harm. */
uint64_t pc_next_event(const struct pc *pc);
void pc_tick(struct pc *pc, uint64_t now);

/* The interrupt acknowledge cycle: the 8259s give the vector and may lower INTR. */
uint8_t pc_int_ack(struct pc *pc);

/* Bytes typed at the guest's console; returns how many were taken: offer the rest again later. */
size_t pc_console_rx(struct pc *pc, const uint8_t *bytes, size_t count, uint64_t now);

void pc_power_button(struct pc *pc, uint64_t now);

/* Passes on the INTx lines that pci_set_intx moved outside of a pc_* call. */
void pc_pci_sync(struct pc *pc, uint64_t now);

#endif
