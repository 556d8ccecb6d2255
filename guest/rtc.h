/*
 * The MC146818 real-time clock with its 128 bytes of CMOS memory. Motorola MC146818 data sheet; the
 * PC's own bytes (memory sizes, century, shutdown) as in the IBM PC AT technical reference.
 */
#ifndef GUEST_RTC_H
#define GUEST_RTC_H

#include "hv/base/compiler.h"

#define RTC_CMOS_BYTES 128

struct rtc {
	uint8_t index;                /* port 0x70, bits 6:0 */
	uint8_t cmos[RTC_CMOS_BYTES]; /* while the clock runs, the time bytes are not kept here */
	int64_t base;                 /* guest wall clock at base_ns, seconds since 1970 */
	uint64_t base_ns;             /* a second begins here; earlier than any `now` */
	bool halted;       /* register B's SET or the divider's reset: time stands still */
	uint64_t seconds;  /* seconds since base_ns whose update and alarm were acted on */
	uint64_t phase_ns; /* start of the periodic interrupt's phase */
	uint64_t periods;  /* periods since phase_ns that were acted on */
};

/* RAM below 4 GiB and above it, bytes; `unix_seconds` is the wall clock at `now`. */
void rtc_init(struct rtc *r, uint64_t ram_low, uint64_t ram_above, int64_t unix_seconds,
	      uint64_t now);
/* A machine reset: the interrupt enables are cleared, time and CMOS memory stay. */
void rtc_reset(struct rtc *r);

/* Ports 0x70, 0x71. */
uint8_t rtc_read(struct rtc *r, uint16_t port, uint64_t now);
void rtc_write(struct rtc *r, uint16_t port, uint8_t value, uint64_t now);

void rtc_tick(struct rtc *r, uint64_t now);
bool rtc_irq(const struct rtc *r); /* level of IRQ8 */
uint64_t rtc_next_event(const struct rtc *r);

#endif
