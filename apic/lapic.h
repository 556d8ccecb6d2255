/*
 * One virtual local APIC. SDM vol. 3, chapter 11. A pure state machine: its owner's CPU alone calls
 * it, time comes as the guest's TSC, what has to happen outside comes back in struct lapic_actions.
 *
 * The registers live in one 4 KiB page laid out as the architecture's, which may at the same time be
 * VT-x's virtual-APIC page. Everything else is in struct lapic.
 */
#ifndef APIC_LAPIC_H
#define APIC_LAPIC_H

#include "apic/book.h"
#include "apic/msg.h"
#include "apic/post.h"
#include "hv/base/bits.h"
#include "hv/base/err.h"

/* Offsets in the register page. SDM vol. 3, table 11-1; x2APIC MSR = 0x800 + offset / 16 */
enum lapic_reg {
	LAPIC_ID = 0x020,
	LAPIC_VERSION = 0x030,
	LAPIC_TPR = 0x080,
	LAPIC_APR = 0x090,
	LAPIC_PPR = 0x0a0,
	LAPIC_EOI = 0x0b0,
	LAPIC_RRD = 0x0c0,
	LAPIC_LDR = 0x0d0,
	LAPIC_DFR = 0x0e0,
	LAPIC_SVR = 0x0f0,
	LAPIC_ISR = 0x100,
	LAPIC_TMR = 0x180,
	LAPIC_IRR = 0x200,
	LAPIC_ESR = 0x280,
	LAPIC_LVT_CMCI = 0x2f0,
	LAPIC_ICR_LOW = 0x300,
	LAPIC_ICR_HIGH = 0x310,
	LAPIC_LVT_TIMER = 0x320,
	LAPIC_LVT_THERMAL = 0x330,
	LAPIC_LVT_PERF = 0x340,
	LAPIC_LVT_LINT0 = 0x350,
	LAPIC_LVT_LINT1 = 0x360,
	LAPIC_LVT_ERROR = 0x370,
	LAPIC_TIMER_INITIAL = 0x380,
	LAPIC_TIMER_CURRENT = 0x390,
	LAPIC_TIMER_DIVIDE = 0x3e0,
	LAPIC_SELF_IPI = 0x3f0,
};

/* IA32_APIC_BASE. SDM vol. 3, 11.4.4 and 11.12.1 */
#define MSR_APIC_BASE         0x01bu
#define MSR_TSC_DEADLINE      0x6e0u
#define MSR_X2APIC_FIRST      0x800u
#define MSR_X2APIC_LAST       0x8ffu
#define APIC_BASE_BSP         BIT(8)
#define APIC_BASE_EXTD        BIT(10)
#define APIC_BASE_EN          BIT(11)
#define APIC_BASE_DEFAULT_GPA 0xfee00000ull

/* What CPUID tells the guest; each is refused when it is not offered. */
enum lapic_feature {
	LAPIC_HAS_X2APIC = 1,
	LAPIC_HAS_TSC_DEADLINE = 2,
	LAPIC_HAS_EOI_SUPPRESS = 4, /* version[24], SVR[12]: directed EOI */
	LAPIC_HAS_CMCI = 8,
};

/* Of both frequencies below: within these no product of the timer's overflows in decades. */
#define LAPIC_HZ_MIN 1000000ull
#define LAPIC_HZ_MAX 100000000000ull

struct lapic_config {
	uint32_t apic_id;
	bool bsp;
	uint32_t features; /* LAPIC_HAS_* */
	uint8_t phys_bits; /* MAXPHYADDR of the guest, for IA32_APIC_BASE's reserved bits */
	uint64_t tsc_hz;   /* guest TSC */
	uint64_t timer_hz; /* input of the timer's divider ("bus clock") */
};

enum lapic_timer_mode { LAPIC_ONESHOT, LAPIC_PERIODIC, LAPIC_DEADLINE };

/*
 * The timer counts exactly: everything is computed from the moment the count was set, so nothing
 * drifts. Times are guest TSC.
 */
struct lapic_timer {
	enum lapic_timer_mode mode;
	bool armed;
	uint8_t divide_shift; /* 0 to 7 */
	uint32_t initial;
	uint64_t first; /* counts from `start` to the first expiry */
	uint64_t start;
	uint64_t fired;        /* expiries since `start` that are dealt with */
	uint64_t tsc_deadline; /* IA32_TSC_DEADLINE, 0 when not armed */
	uint64_t next;         /* TSC of the next expiry that must be looked at, UINT64_MAX none */
};

struct lapic {
	uint32_t *regs; /* 4 KiB, 4 KiB aligned; not owned */
	struct lapic_config config;
	uint64_t base_msr;
	bool wait_sipi; /* owned by lapic_pull and the resets; hv/core only looks: do not run the CPU */
	bool lvt_open;                /* SVR[8]: software enabled */
	uint8_t irr_words, isr_words; /* bit i: word i of the bitmap in the page is not 0 */
	uint8_t lint;   /* LINT_* in lapic_impl.h: levels of the pins, LINT0's remote IRR */
	uint8_t errors; /* logged since the last write to ESR */
	bool error_armed;
	uint32_t lvt_timer; /* as of the last write, for changes that hardware stores by itself */
	struct lapic_timer timer;
};

/*
 * What a register access wants done. Every function that takes one overwrites it whole.
 */
struct lapic_actions {
	bool send_ipi; /* route `ipi` with apic_match from this CPU, then apic_post_msg */
	struct apic_msg ipi;
	bool eoi_level; /* give eoi_vector to every IOAPIC (ioapic_eoi) */
	uint8_t eoi_vector;
	bool timer_changed; /* lapic_timer_deadline has a new value */
	bool recheck;       /* lapic_pending or lapic_extint_accepted may have a new answer */
	bool dest_changed;  /* put lapic_dest into the book, before anything else is sent */
	bool mode_changed;  /* IA32_APIC_BASE: off, xAPIC, x2APIC or base address */
};

/* State after power-up (SDM vol. 3, 11.4.7.1). An AP then waits for SIPI. The page is zeroed. */
void lapic_init(struct lapic *l, uint32_t *page, const struct lapic_config *config);

/* State after INIT (11.4.7.3): APIC id, IA32_APIC_BASE and pin levels stay. lapic_pull does it itself. */
void lapic_reset_init(struct lapic *l);

/*
 * What the BIOS of a PC leaves on the BSP: software enabled, LINT0 = ExtINT, LINT1 = NMI.
 * MultiProcessor Specification 1.4, 3.6.2.2 (virtual wire mode). Put lapic_dest into the book after it.
 */
void lapic_virtual_wire(struct lapic *l);

/*
 * xAPIC MMIO, 32-bit accesses; offset below 4096. A reserved register reads 0, ignores writes and is logged
 * in ESR (look at lapic_pending after a read too: logging may interrupt). Call them only while IA32_APIC_BASE
 * says xAPIC mode (lapic_mode): in the others the page is plain memory or nothing, which is hv/core's to
 * decide. SDM vol. 3, 11.4.1
 */
uint32_t lapic_mmio_read(struct lapic *l, uint32_t offset, uint64_t now_tsc);
void lapic_mmio_write(struct lapic *l, uint32_t offset, uint32_t value, uint64_t now_tsc,
		      struct lapic_actions *out);

/*
 * After hardware stored a guest's write in the page (APIC-write exit, SDM vol. 3, 30.4.3.2): takes the
 * value from there and acts as lapic_mmio_write or lapic_msr_write.
 */
void lapic_write_done(struct lapic *l, uint32_t offset, uint64_t now_tsc,
		      struct lapic_actions *out);

/*
 * IA32_APIC_BASE, IA32_TSC_DEADLINE and the x2APIC MSRs 0x800-0x8ff. ERR_INVALID where the CPU raises
 * #GP(0), ERR_NOTFOUND for any other MSR. Nothing changes on an error. SDM vol. 3, 11.12
 */
int lapic_msr_read(struct lapic *l, uint32_t msr, uint64_t now_tsc, uint64_t *value) MUST_CHECK;
int lapic_msr_write(struct lapic *l, uint32_t msr, uint64_t value, uint64_t now_tsc,
		    struct lapic_actions *out) MUST_CHECK;

static inline enum apic_mode lapic_mode(const struct lapic *l)
{
	if (!(l->base_msr & APIC_BASE_EN))
		return APIC_OFF;
	return l->base_msr & APIC_BASE_EXTD ? APIC_X2APIC : APIC_XAPIC;
}

/* Page address of IA32_APIC_BASE. */
static inline gpa_t lapic_gpa(const struct lapic *l)
{
	return l->base_msr & PAGE_MASK & BITS(51, 0);
}

/* How others reach this LAPIC, for apic_book_update. */
void lapic_dest(const struct lapic *l, struct apic_dest *out);

/*
 * Receiving. Takes all that was posted into IRR, TMR and `ev` (overwritten). Cheap when nothing was.
 * See the order of events at struct lapic_events.
 */
void lapic_pull(struct lapic *l, struct apic_post *post, struct lapic_events *ev);

/* The owner itself drives LINT0 (n = 0) or LINT1 (n = 1). `ev` is added to. SDM vol. 3, 11.5.1 */
void lapic_lint(struct lapic *l, unsigned n, bool asserted, struct lapic_events *ev);

/* The highest vector the CPU can take now: in IRR and of a class above PPR's; -1 none. 11.8.3.1 */
int lapic_pending(const struct lapic *l);

/* The CPU takes `vector`, the one lapic_pending gave: IRR to ISR. 11.8.4 */
void lapic_accept(struct lapic *l, uint8_t vector);

/* The guest's EOI. 11.8.5 */
void lapic_eoi(struct lapic *l, struct lapic_actions *out);

/* The PIC's INTR reaches this CPU: LINT0 is ExtINT and open, or the APIC is off on the BSP. 11.5.1 */
bool lapic_extint_accepted(const struct lapic *l);

/* Current processor priority. */
uint8_t lapic_ppr(const struct lapic *l);

/* Task priority by MOV CR8; 0 to 15. 11.8.6 */
uint8_t lapic_cr8_read(const struct lapic *l);
void lapic_cr8_write(struct lapic *l, uint8_t cr8, struct lapic_actions *out);

/*
 * For a TPR shadow: exit when the guest lowers its TPR class below this; 0 when no pending interrupt
 * waits for the TPR alone.
 */
uint8_t lapic_tpr_threshold(const struct lapic *l);

/*
 * With virtual-interrupt delivery hardware moves IRR and ISR in the page. Call after every exit, before
 * any other function here; afterwards RVI = lapic_highest_irr, SVI = lapic_highest_isr.
 */
void lapic_sync_hw(struct lapic *l);
/* 0 when none. */
uint8_t lapic_highest_irr(const struct lapic *l);
uint8_t lapic_highest_isr(const struct lapic *l);
/* Vectors whose EOI must exit: the level ones, by TMR. */
void lapic_eoi_exits(const struct lapic *l, uint64_t bitmap[4]);
/* Hardware did the EOI of `vector`. */
void lapic_eoi_done(struct lapic *l, uint8_t vector, struct lapic_actions *out);

/*
 * Timer. The deadline is a guest TSC, UINT64_MAX when none is due ever (also: masked, so that no host
 * timer is spent). When it is reached call lapic_timer_expire, which sets IRR, arms the next period and
 * returns true when lapic_pending may have changed; missed periods become one interrupt. Calling it
 * early does nothing. 11.5.4
 */
static inline uint64_t lapic_timer_deadline(const struct lapic *l)
{
	return l->timer.next;
}
/* The same as TSC ticks from now, 0 when due, UINT64_MAX never; right even where the TSC wraps. */
uint64_t lapic_timer_left(const struct lapic *l, uint64_t now_tsc);
bool lapic_timer_expire(struct lapic *l, uint64_t now_tsc);

/* The guest's TSC was set: it jumped from `before` to `after`. A running count goes on undisturbed. */
void lapic_tsc_moved(struct lapic *l, uint64_t before, uint64_t after);

#endif
