#include "hv/x86/cmos.h"
#include "hv/x86/cpu.h"

#define CMOS_INDEX 0x70
#define CMOS_DATA  0x71

enum cmos_reg {
	SECONDS = 0,
	MINUTES = 2,
	HOURS = 4,
	DAY = 7,
	MONTH = 8,
	YEAR = 9,
	STATUS_A = 10,
	STATUS_B = 11
};

#define STATUS_A_UPDATING 0x80
#define STATUS_B_BINARY   0x04
#define STATUS_B_24H      0x02
#define HOURS_PM          0x80

#define TRIES 100000

struct reading {
	uint8_t second, minute, hour, day, month, year;
};

static uint8_t cmos_read(enum cmos_reg reg)
{
	outb(CMOS_INDEX, (uint8_t)reg);
	return inb(CMOS_DATA);
}

static struct reading read_all(void)
{
	return (struct reading){cmos_read(SECONDS), cmos_read(MINUTES), cmos_read(HOURS),
				cmos_read(DAY),     cmos_read(MONTH),   cmos_read(YEAR)};
}

static bool same(const struct reading *a, const struct reading *b)
{
	return a->second == b->second && a->minute == b->minute && a->hour == b->hour &&
	       a->day == b->day && a->month == b->month && a->year == b->year;
}

static uint8_t from_bcd(uint8_t v)
{
	return (uint8_t)((v >> 4) * 10 + (v & 15));
}

int64_t cmos_days(int year, unsigned month, unsigned day)
{
	/* Years that begin in March put the leap day last. */
	int y = month <= 2 ? year - 1 : year;
	int era = y / 400, of_era = y % 400;
	int of_year = (153 * (int)(month + (month > 2 ? -3u : 9u)) + 2) / 5 + (int)day - 1;

	return (int64_t)era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

int64_t cmos_unix_time(void)
{
	struct reading r, again;
	int tries = TRIES;
	uint8_t status, pm;

	/* Two equal readings with no update under way are one moment. */
	do {
		if (!tries--)
			return 0;
		r = read_all();
		again = read_all();
	} while (cmos_read(STATUS_A) & STATUS_A_UPDATING || !same(&r, &again));

	status = cmos_read(STATUS_B);
	pm = r.hour & HOURS_PM;
	r.hour &= (uint8_t)~HOURS_PM;
	if (!(status & STATUS_B_BINARY))
		r = (struct reading){from_bcd(r.second), from_bcd(r.minute), from_bcd(r.hour),
				     from_bcd(r.day),    from_bcd(r.month),  from_bcd(r.year)};
	if (!(status & STATUS_B_24H))
		r.hour = (uint8_t)(r.hour % 12 + (pm ? 12 : 0));
	return cmos_days(2000 + r.year, r.month, r.day) * 86400 + r.hour * 3600 + r.minute * 60 +
	       r.second;
}
