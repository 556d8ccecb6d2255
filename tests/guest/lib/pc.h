/* The PC's old devices: 8259 pair, 8254, CMOS clock, 16550, and waiting by the clock. */
#ifndef TESTS_GUEST_LIB_PC_H
#define TESTS_GUEST_LIB_PC_H

#include "tests/guest/lib/cpu.h"

#define PIC1 0x20
#define PIC2 0xa0

/* Vectors from `base`, bit n of `mask` masks IRQ n. */
void pic_setup(uint8_t base, uint16_t mask);
void pic_mask(uint16_t mask);
void pic_eoi(unsigned irq);
uint16_t pic_irr(void);
uint16_t pic_isr(void);

#define PIT_HZ 1193182u

/* 8254: access low byte then high byte, binary. */
void pit_set(unsigned channel, unsigned mode, uint16_t count);
uint16_t pit_read(unsigned channel);
/* Read-back command, status byte: bit 7 output, bit 6 null count, 5..4 access, 3..1 mode. */
uint8_t pit_status(unsigned channel);
/* Channel 0 is quiet: mode 0 counts down once and its output then stays. */
void pit_stop(void);

uint8_t cmos_read(uint8_t index);
void cmos_write(uint8_t index, uint8_t v);

void serial_setup(void);
void serial_put(char c);

/* TSC ticks per millisecond, measured once against PIT channel 2. */
uint32_t tsc_per_ms(void);
void delay_us(uint32_t us);

/* True as soon as `cond` holds, false when it still doesn't after `ms` milliseconds. Needs no interrupts. */
#define WAIT(cond, ms)                                                   \
	({                                                               \
		uint64_t end_ = rdtsc() + (uint64_t)tsc_per_ms() * (ms); \
		bool held_;                                              \
		while (!(held_ = (cond)) && rdtsc() < end_)              \
			cpu_pause();                                     \
		held_ || (cond);                                         \
	})

#endif
