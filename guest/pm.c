#include "guest/pm.h"
#include "hv/base/bits.h"

/* PM1 status and enable. ACPI 6.5, tables 4.13 and 4.14 */
#define STS_TIMER         0x0001u
#define STS_GLOBAL        0x0020u
#define STS_POWER_BUTTON  0x0100u
#define EN_WRITABLE       (STS_TIMER | STS_GLOBAL | STS_POWER_BUTTON | 0x0600u)
/* PM1 control. Table 4.15 */
#define CNT_SCI_EN        0x0001u
#define CNT_SLEEP_TYPE(v) ((v) >> 10 & 7)
#define CNT_SLEEP_EN      0x2000u
#define CNT_HELD          0x1c02u /* BM_RLD and SLP_TYP keep what is written */
/* Reset control */
#define RESET_SYSTEM      0x02
#define RESET_CPU         0x04

#define FLIP_TICKS (1ull << (PM_TIMER_BITS - 1))

static uint64_t ticks(const struct pm *p, uint64_t now)
{
	return now <= p->epoch ? 0 : mul_div(now - p->epoch, PM_TIMER_HZ, NS_PER_S);
}

void pm_init(struct pm *p, uint64_t now)
{
	*p = (struct pm){.epoch = now};
}

void pm_tick(struct pm *p, uint64_t now)
{
	uint64_t flips = ticks(p, now) / FLIP_TICKS;

	if (flips > p->flips) {
		p->flips = flips;
		p->status |= STS_TIMER;
	}
}

bool pm_sci(const struct pm *p)
{
	return p->status & p->enable;
}

uint64_t pm_next_event(const struct pm *p)
{
	if (!(p->enable & STS_TIMER) || p->status & STS_TIMER)
		return UINT64_MAX;
	return p->epoch + mul_div((p->flips + 1) * FLIP_TICKS, NS_PER_S, PM_TIMER_HZ) + 1;
}

uint32_t pm_read(struct pm *p, unsigned offset, unsigned size, uint64_t now)
{
	uint64_t low, high, image;

	pm_tick(p, now);
	low = (uint64_t)(p->control | CNT_SCI_EN) << 32 | (uint32_t)p->enable << 16 | p->status;
	high = (uint32_t)ticks(p, now);
	image = offset < 8 ? low >> 8 * offset | (offset ? high << (64 - 8 * offset) : 0)
			   : high >> 8 * (offset - 8);
	return (uint32_t)(image & BITS(8 * size - 1, 0));
}

static void write_control(struct pm *p, uint16_t value)
{
	p->control = value & CNT_HELD;
	/* S5 is the only sleep state that the tables offer. */
	if (value & CNT_SLEEP_EN && CNT_SLEEP_TYPE(value) == PM_S5_TYPE)
		p->off_wanted = true;
}

void pm_write(struct pm *p, unsigned offset, unsigned size, uint32_t value, uint64_t now)
{
	/* the bytes of the first eight that are written, and which they are */
	uint64_t mask = offset < 8 ? BITS(8 * size - 1, 0) << 8 * offset : 0;
	uint64_t v = offset < 8 ? (uint64_t)value << 8 * offset & mask : 0;
	uint16_t enable_mask = (uint16_t)(mask >> 16), control_mask = (uint16_t)(mask >> 32);

	pm_tick(p, now);
	p->status &= (uint16_t)~v;
	p->enable =
		(uint16_t)(((p->enable & ~enable_mask) | (v >> 16 & enable_mask)) & EN_WRITABLE);
	if (control_mask)
		write_control(p,
			      (uint16_t)((p->control & ~control_mask) | (v >> 32 & control_mask)));
}

uint8_t pm_reset_read(const struct pm *p)
{
	return p->reset_control;
}

void pm_reset_write(struct pm *p, uint8_t value)
{
	/* The rising edge of RST_CPU resets. */
	if (value & ~p->reset_control & RESET_CPU)
		p->reset_wanted = true;
	p->reset_control = value & RESET_SYSTEM;
}

void pm_power_button(struct pm *p)
{
	p->status |= STS_POWER_BUTTON;
}
