#include "guest/rtc.h"
#include "hv/base/bits.h"
#include "hv/base/types.h"

/* Register addresses. Data sheet, figure 2 */
enum {
	RTC_SECOND = 0x00,
	RTC_SECOND_ALARM = 0x01,
	RTC_MINUTE = 0x02,
	RTC_MINUTE_ALARM = 0x03,
	RTC_HOUR = 0x04,
	RTC_HOUR_ALARM = 0x05,
	RTC_WEEKDAY = 0x06,
	RTC_DAY = 0x07,
	RTC_MONTH = 0x08,
	RTC_YEAR = 0x09,
	RTC_A = 0x0a,
	RTC_B = 0x0b,
	RTC_C = 0x0c,
	RTC_D = 0x0d,
	CMOS_SUM_FIRST = 0x10,
	CMOS_EQUIPMENT = 0x14,
	CMOS_BASE_KIB = 0x15,
	CMOS_EXTENDED_KIB = 0x17,
	CMOS_SUM_LAST = 0x2d,
	CMOS_SUM = 0x2e, /* high byte first */
	CMOS_EXTENDED_KIB_FOUND = 0x30,
	CMOS_CENTURY = 0x32,
	CMOS_ABOVE_16M = 0x34, /* 64 KiB units; a convention of emulated PCs, as is the next */
	CMOS_ABOVE_4G = 0x5b,
};

#define A_UIP         0x80
#define A_DIVIDER(a)  ((a) >> 4 & 7)
#define A_RATE(a)     ((a)&15)
#define B_SET         0x80
#define B_PIE         0x40
#define B_AIE         0x20
#define B_UIE         0x10
#define B_BINARY      0x04
#define B_24H         0x02
#define C_IRQF        0x80
#define C_PF          0x40
#define C_AF          0x20
#define C_UF          0x10
#define D_VRT         0x80
#define HOUR_PM       0x80
#define ALARM_ANY     0xc0 /* an alarm byte from here on matches every value */
#define EQUIPMENT_FPU 0x02

/* An update is announced 244 us ahead and takes 1984 us. Data sheet, "Update Cycle" */
#define UPDATE_NS   (2228 * NS_PER_US)
#define CRYSTAL_HZ  32768u
#define DAY_SECONDS 86400

struct civil {
	int64_t year;
	unsigned month, day, hour, minute, second,
		weekday; /* month and day from 1, weekday 0 = Sunday */
};

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* Days since 1970-01-01 of a date in the Gregorian calendar; years are counted from March. */
static int64_t days_from_date(int64_t year, unsigned month, unsigned day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = floor_div(y, 400), of_era = y - era * 400;
	int64_t of_year =
		(153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + (int64_t)day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int64_t seconds_from_civil(const struct civil *t)
{
	return days_from_date(t->year, t->month, t->day) * DAY_SECONDS + t->hour * 3600 +
	       t->minute * 60 + t->second;
}

static struct civil civil_from_seconds(int64_t seconds)
{
	int64_t days = floor_div(seconds, DAY_SECONDS), z = days + 719468;
	unsigned rest = (unsigned)(seconds - days * DAY_SECONDS);
	int64_t era = floor_div(z, 146097), of_era = z - era * 146097;
	int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
	unsigned march = (unsigned)((5 * of_year + 2) / 153);
	struct civil t = {
		.month = march < 10 ? march + 3 : march - 9,
		.day = (unsigned)(of_year - (153 * march + 2) / 5 + 1),
		.hour = rest / 3600,
		.minute = rest / 60 % 60,
		.second = rest % 60,
		.weekday = (unsigned)(days + 4 - floor_div(days + 4, 7) * 7),
	};

	t.year = year + era * 400 + (t.month <= 2);
	return t;
}

/* One number in the format that register B asks for. */
static uint8_t encode(const struct rtc *r, unsigned v)
{
	return (uint8_t)(r->cmos[RTC_B] & B_BINARY ? v : v / 10 % 10 << 4 | v % 10);
}

static unsigned decode(const struct rtc *r, uint8_t v)
{
	return r->cmos[RTC_B] & B_BINARY ? v : (v >> 4) * 10u + (v & 15);
}

static uint8_t encode_hour(const struct rtc *r, unsigned hour)
{
	if (r->cmos[RTC_B] & B_24H)
		return encode(r, hour);
	return encode(r, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static unsigned decode_hour(const struct rtc *r, uint8_t v)
{
	if (r->cmos[RTC_B] & B_24H)
		return decode(r, v);
	return decode(r, v & 0x7f) % 12 + (v & HOUR_PM ? 12 : 0);
}

static bool is_time(unsigned reg)
{
	return reg == RTC_SECOND || reg == RTC_MINUTE || reg == RTC_HOUR ||
	       (reg >= RTC_WEEKDAY && reg <= RTC_YEAR) || reg == CMOS_CENTURY;
}

static uint8_t time_byte(const struct rtc *r, const struct civil *t, unsigned reg)
{
	switch (reg) {
	case RTC_SECOND:
		return encode(r, t->second);
	case RTC_MINUTE:
		return encode(r, t->minute);
	case RTC_HOUR:
		return encode_hour(r, t->hour);
	case RTC_WEEKDAY:
		return encode(r, t->weekday + 1);
	case RTC_DAY:
		return encode(r, t->day);
	case RTC_MONTH:
		return encode(r, t->month);
	case RTC_YEAR:
		return encode(r, (unsigned)(t->year - floor_div(t->year, 100) * 100));
	default:
		return encode(r, (unsigned)floor_div(t->year, 100));
	}
}

static int64_t wall_clock(const struct rtc *r, uint64_t now)
{
	return r->base + (now > r->base_ns ? (int64_t)((now - r->base_ns) / NS_PER_S) : 0);
}

/* Copies the running time into the bytes, where the guest may change it. */
static void time_to_cmos(struct rtc *r, uint64_t now)
{
	struct civil t = civil_from_seconds(wall_clock(r, now));

	for (unsigned reg = 0; reg <= CMOS_CENTURY; reg++) {
		if (is_time(reg))
			r->cmos[reg] = time_byte(r, &t, reg);
	}
}

/* Takes the bytes as the time at base_ns; out-of-range numbers carry over. */
static void time_from_cmos(struct rtc *r)
{
	unsigned month = decode(r, r->cmos[RTC_MONTH]);
	struct civil t = {
		.year = decode(r, r->cmos[CMOS_CENTURY]) * 100 + decode(r, r->cmos[RTC_YEAR]),
		.month = month >= 1 && month <= 12 ? month : 1,
		.day = decode(r, r->cmos[RTC_DAY]),
		.hour = decode_hour(r, r->cmos[RTC_HOUR]),
		.minute = decode(r, r->cmos[RTC_MINUTE]),
		.second = decode(r, r->cmos[RTC_SECOND]),
	};

	r->base = seconds_from_civil(&t);
}

static bool is_halted(const struct rtc *r)
{
	return r->cmos[RTC_B] & B_SET || A_DIVIDER(r->cmos[RTC_A]) >= 6;
}

/* Moves base_ns to the last begin of a second, so that the time can be replaced from there. */
static void rebase(struct rtc *r, uint64_t now)
{
	uint64_t whole = now > r->base_ns ? (now - r->base_ns) / NS_PER_S : 0;

	r->base += (int64_t)whole;
	r->base_ns += whole * NS_PER_S;
	r->seconds = 0;
}

/* Clock periods of the periodic interrupt, 0 none. Data sheet, table 5 */
static unsigned period_clocks(const struct rtc *r)
{
	unsigned rate = A_RATE(r->cmos[RTC_A]);

	if (rate == 0 || A_DIVIDER(r->cmos[RTC_A]) >= 6)
		return 0;
	return rate <= 2 ? 128u << (rate - 1) : 1u << (rate - 1);
}

static uint64_t periods_until(const struct rtc *r, uint64_t now)
{
	unsigned clocks = period_clocks(r);

	if (!clocks || now <= r->phase_ns)
		return 0;
	return mul_div(now - r->phase_ns, CRYSTAL_HZ, NS_PER_S) / clocks;
}

static bool alarm_matches(uint8_t alarm, uint8_t value)
{
	return alarm >= ALARM_ANY || alarm == value;
}

/* Seconds from a time of day until the alarm's next one (1 .. 86400); 0 when it never comes. */
static unsigned alarm_gap(const struct rtc *r, unsigned second_of_day)
{
	unsigned gap = 1;

	while (gap <= DAY_SECONDS) {
		unsigned t = (second_of_day + gap) % DAY_SECONDS;

		if (!alarm_matches(r->cmos[RTC_HOUR_ALARM], encode_hour(r, t / 3600)))
			gap += 3600 - t % 3600;
		else if (!alarm_matches(r->cmos[RTC_MINUTE_ALARM], encode(r, t / 60 % 60)))
			gap += 60 - t % 60;
		else if (!alarm_matches(r->cmos[RTC_SECOND_ALARM], encode(r, t % 60)))
			gap++;
		else
			return gap;
	}
	return 0;
}

/* Seconds after the last one acted on at which the alarm goes off; 0: never. */
static unsigned next_alarm(const struct rtc *r)
{
	int64_t t = r->base + (int64_t)r->seconds;

	return alarm_gap(r, (unsigned)(t - floor_div(t, DAY_SECONDS) * DAY_SECONDS));
}

static void raise(struct rtc *r, uint8_t flag)
{
	r->cmos[RTC_C] |= flag;
	/* The flags stand where the enables do. */
	if (r->cmos[RTC_C] & r->cmos[RTC_B] & (C_PF | C_AF | C_UF))
		r->cmos[RTC_C] |= C_IRQF;
}

void rtc_tick(struct rtc *r, uint64_t now)
{
	uint64_t periods = periods_until(r, now);
	uint64_t seconds = now > r->base_ns ? (now - r->base_ns) / NS_PER_S : 0;
	unsigned alarm;

	if (periods > r->periods) {
		r->periods = periods;
		raise(r, C_PF);
	}
	if (r->halted || seconds <= r->seconds)
		return;
	alarm = next_alarm(r);
	if (alarm && seconds - r->seconds >= alarm)
		raise(r, C_AF);
	r->seconds = seconds;
	raise(r, C_UF);
}

bool rtc_irq(const struct rtc *r)
{
	return r->cmos[RTC_C] & C_IRQF;
}

uint64_t rtc_next_event(const struct rtc *r)
{
	/* only what is enabled and whose flag is down can interrupt */
	uint8_t want = r->cmos[RTC_B] & (uint8_t)~r->cmos[RTC_C];
	uint64_t next = UINT64_MAX;

	if (want & B_PIE && period_clocks(r)) {
		uint64_t clocks = (r->periods + 1) * period_clocks(r);

		next = r->phase_ns + clocks / CRYSTAL_HZ * NS_PER_S +
		       (clocks % CRYSTAL_HZ * NS_PER_S + CRYSTAL_HZ - 1) / CRYSTAL_HZ;
	}
	if (r->halted)
		return next;
	if (want & B_UIE)
		next = MIN(next, r->base_ns + (r->seconds + 1) * NS_PER_S);
	if (want & B_AIE && next_alarm(r))
		next = MIN(next, r->base_ns + (r->seconds + next_alarm(r)) * NS_PER_S);
	return next;
}

static uint8_t read_reg(struct rtc *r, uint64_t now)
{
	uint8_t v = r->cmos[r->index];
	uint64_t into = now > r->base_ns ? (now - r->base_ns) % NS_PER_S : 0;

	if (is_time(r->index) && !r->halted) {
		struct civil t = civil_from_seconds(wall_clock(r, now));

		return time_byte(r, &t, r->index);
	}
	switch (r->index) {
	case RTC_A:
		return v | (!r->halted && into >= NS_PER_S - UPDATE_NS ? A_UIP : 0);
	case RTC_C:
		r->cmos[RTC_C] = 0;
		return v;
	case RTC_D:
		return D_VRT;
	default:
		return v;
	}
}

/* The clock stops or starts after a write to registers A and B. */
static void follow_halt(struct rtc *r, bool divider_was_reset, uint64_t now)
{
	bool halted = is_halted(r);

	if (halted && !r->halted) {
		time_to_cmos(r, now);
	} else if (!halted && r->halted) {
		rebase(r, now);
		/* Out of reset the divider gives its first update after half a second. */
		if (divider_was_reset)
			r->base_ns = now >= NS_PER_S / 2 ? now - NS_PER_S / 2 : 0;
		time_from_cmos(r);
	}
	r->halted = halted;
}

static void write_a(struct rtc *r, uint8_t value, uint64_t now)
{
	uint8_t old = r->cmos[RTC_A];

	r->cmos[RTC_A] = value & (uint8_t)~A_UIP;
	if ((old ^ value) & (uint8_t)~A_UIP) {
		r->phase_ns = now;
		r->periods = 0;
	}
	follow_halt(r, A_DIVIDER(old) >= 6, now);
}

static void write_reg(struct rtc *r, uint8_t value, uint64_t now)
{
	switch (r->index) {
	case RTC_A:
		write_a(r, value, now);
		return;
	case RTC_B:
		/* The data sheet has SET clear the update interrupt's enable. */
		r->cmos[RTC_B] = value & B_SET ? value & (uint8_t)~B_UIE : value;
		follow_halt(r, false, now);
		r->cmos[RTC_C] &= (uint8_t)~C_IRQF;
		raise(r, 0);
		return;
	case RTC_C:
	case RTC_D:
		return;
	default:
		break;
	}
	if (is_time(r->index) && !r->halted) {
		rebase(r, now);
		time_to_cmos(r, now);
		r->cmos[r->index] = value;
		time_from_cmos(r);
	} else {
		r->cmos[r->index] = value;
	}
}

uint8_t rtc_read(struct rtc *r, uint16_t port, uint64_t now)
{
	/* the index port can't be read */
	if (!(port & 1))
		return 0xff;
	rtc_tick(r, now);
	return read_reg(r, now);
}

void rtc_write(struct rtc *r, uint16_t port, uint8_t value, uint64_t now)
{
	/* Bit 7 masks NMI, which nothing on this PC raises. */
	if (!(port & 1)) {
		r->index = value & 0x7f;
		return;
	}
	rtc_tick(r, now);
	write_reg(r, value, now);
}

static void store(struct rtc *r, unsigned at, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		r->cmos[at + i] = (uint8_t)(v >> 8 * i);
}

/*
 * Memory sizes and equipment, as the BIOS's set-up would have stored them. IBM PC AT, "RT/CMOS RAM"
 */
static void fill_cmos(struct rtc *r, uint64_t ram_low, uint64_t ram_above)
{
	uint64_t extended = ram_low > MIB(1) ? (ram_low - MIB(1)) >> 10 : 0;
	uint64_t above_16m = ram_low > MIB(16) ? (ram_low - MIB(16)) >> 16 : 0;
	uint16_t sum = 0;

	r->cmos[CMOS_EQUIPMENT] = EQUIPMENT_FPU;
	store(r, CMOS_BASE_KIB, 640, 2);
	store(r, CMOS_EXTENDED_KIB, MIN(extended, 0xffffu), 2);
	store(r, CMOS_EXTENDED_KIB_FOUND, MIN(extended, 0xffffu), 2);
	store(r, CMOS_ABOVE_16M, MIN(above_16m, 0xffffu), 2);
	store(r, CMOS_ABOVE_4G, MIN(ram_above >> 16, 0xffffffu), 3);
	for (unsigned i = CMOS_SUM_FIRST; i <= CMOS_SUM_LAST; i++)
		sum = (uint16_t)(sum + r->cmos[i]);
	r->cmos[CMOS_SUM] = (uint8_t)(sum >> 8);
	r->cmos[CMOS_SUM + 1] = (uint8_t)sum;
}

void rtc_init(struct rtc *r, uint64_t ram_low, uint64_t ram_above, int64_t unix_seconds,
	      uint64_t now)
{
	*r = (struct rtc){.base = unix_seconds, .base_ns = now, .phase_ns = now};
	r->cmos[RTC_A] = 0x26; /* 32.768 kHz, 1024 Hz */
	r->cmos[RTC_B] = B_24H;
	fill_cmos(r, ram_low, ram_above);
}

void rtc_reset(struct rtc *r)
{
	r->index = 0;
	r->cmos[RTC_B] &= (uint8_t) ~(B_PIE | B_AIE | B_UIE);
	r->cmos[RTC_C] = 0;
}
