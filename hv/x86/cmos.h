/* The host's real-time clock (MC146818): read once, for the guest's wall clock. */
#ifndef HV_X86_CMOS_H
#define HV_X86_CMOS_H

#include "hv/base/compiler.h"

/* Seconds since 1970, taking the clock as UTC; 0 when it never stands still long enough to be read. */
int64_t cmos_unix_time(void);

/* Days since 1970-01-01 of a date in the Gregorian calendar; month 1 to 12. */
int64_t cmos_days(int year, unsigned month, unsigned day);

#endif
