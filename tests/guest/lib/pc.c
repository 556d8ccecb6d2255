#include "tests/guest/lib/pc.h"

#define COM1 0x3f8

void serial_setup(void)
{
	outb(COM1 + 1, 0);    /* no interrupts */
	outb(COM1 + 3, 0x80); /* divisor latch */
	outb(COM1 + 0, 1);    /* 115200 baud */
	outb(COM1 + 1, 0);
	outb(COM1 + 3, 0x03); /* 8 bits, no parity, 1 stop bit */
	outb(COM1 + 2, 0x07); /* FIFOs on and empty */
	outb(COM1 + 4, 0x03); /* DTR, RTS */
}

void serial_put(char c)
{
	if (c == '\n')
		serial_put('\r');
	/* Bounded: a machine whose UART never drains must not hang the test. */
	for (unsigned n = 0; n < 1000000 && !(inb(COM1 + 5) & 0x20); n++)
		cpu_pause();
	outb(COM1, (uint8_t)c);
}

void pic_setup(uint8_t base, uint16_t mask)
{
	outb(PIC1, 0x11);
	outb(PIC2, 0x11);
	outb(PIC1 + 1, base);
	outb(PIC2 + 1, (uint8_t)(base + 8));
	outb(PIC1 + 1, 4);
	outb(PIC2 + 1, 2);
	outb(PIC1 + 1, 1);
	outb(PIC2 + 1, 1);
	pic_mask(mask);
}

void pic_mask(uint16_t mask)
{
	outb(PIC1 + 1, (uint8_t)mask);
	outb(PIC2 + 1, (uint8_t)(mask >> 8));
}

void pic_eoi(unsigned irq)
{
	if (irq >= 8)
		outb(PIC2, 0x20);
	outb(PIC1, 0x20);
}

static uint16_t pic_ocw3(uint8_t command)
{
	outb(PIC1, command);
	outb(PIC2, command);
	return (uint16_t)(inb(PIC2) << 8 | inb(PIC1));
}

uint16_t pic_irr(void)
{
	return pic_ocw3(0x0a);
}

uint16_t pic_isr(void)
{
	return pic_ocw3(0x0b);
}

void pit_set(unsigned channel, unsigned mode, uint16_t count)
{
	outb(0x43, (uint8_t)(channel << 6 | 0x30 | mode << 1));
	outb((uint16_t)(0x40 + channel), (uint8_t)count);
	outb((uint16_t)(0x40 + channel), (uint8_t)(count >> 8));
}

uint16_t pit_read(unsigned channel)
{
	uint8_t low;

	outb(0x43, (uint8_t)(channel << 6)); /* latch */
	low = inb((uint16_t)(0x40 + channel));
	return (uint16_t)(inb((uint16_t)(0x40 + channel)) << 8 | low);
}

uint8_t pit_status(unsigned channel)
{
	outb(0x43, (uint8_t)(0xe0 | 2u << channel)); /* read-back, status only */
	return inb((uint16_t)(0x40 + channel));
}

void pit_stop(void)
{
	pit_set(0, 0, 1);
}

uint8_t cmos_read(uint8_t index)
{
	outb(0x70, index);
	return inb(0x71);
}

void cmos_write(uint8_t index, uint8_t v)
{
	outb(0x70, index);
	outb(0x71, v);
}

/*
 * TSC ticks per ms, by at least 10 ms of channel 2, and into `doubt` by how much more it could be: whoever
 * runs the machine may stop it in the middle of a reading. False when the count has run out.
 */
static bool measure_tsc(uint32_t *per_ms, uint32_t *doubt)
{
	uint64_t before[2], after[2];
	uint16_t count[2], passed;

	outb(0x61, (uint8_t)((inb(0x61) & ~2u) | 1)); /* gate on, speaker off */
	pit_set(2, 0, 0xffff);
	before[0] = rdtsc();
	count[0] = pit_read(2);
	after[0] = rdtsc();
	do {
		before[1] = rdtsc();
		count[1] = pit_read(2);
		after[1] = rdtsc();
		passed = (uint16_t)(count[0] - count[1]);
	} while (passed < PIT_HZ / 100 && !(inb(0x61) & 0x20));
	*per_ms = (uint32_t)((before[1] - after[0]) * (PIT_HZ / 1000) / passed);
	*doubt = (uint32_t)((after[1] - before[0]) * (PIT_HZ / 1000) / passed) - *per_ms;
	return !(inb(0x61) & 0x20);
}

/* The first measurement that leaves little doubt, or the best of many. */
static uint32_t calibrate(void)
{
	uint32_t best = 0, least = UINT32_MAX, per_ms, doubt;

	for (unsigned i = 0; i < 100 && least > best / 16; i++)
		if (measure_tsc(&per_ms, &doubt) && doubt < least) {
			best = per_ms;
			least = doubt;
		}
	return best + least / 2;
}

uint32_t tsc_per_ms(void)
{
	static volatile uint32_t ticks;

	if (!ticks)
		ticks = calibrate();
	return ticks;
}

void delay_us(uint32_t us)
{
	uint64_t end = rdtsc() + (uint64_t)tsc_per_ms() * us / 1000;

	while (rdtsc() < end)
		cpu_pause();
}
