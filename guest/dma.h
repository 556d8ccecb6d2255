/*
 * The two 8237A DMA controllers and the page registers, as far as drivers poke them at start: the
 * registers hold what is written, status reads 0 (no channel ever asks or finishes), and no
 * transfer is ever done, since no device of this PC uses ISA DMA. Intel 8237A data sheet.
 */
#ifndef GUEST_DMA_H
#define GUEST_DMA_H

#include "hv/base/compiler.h"

struct dma {
	uint16_t channel[2][8]; /* address and count of four channels per chip */
	bool high[2];           /* the byte flip-flop */
	uint8_t mask[2];
	uint8_t page[16]; /* ports 0x80..0x8f; 0x80 takes POST codes */
};

void dma_init(struct dma *d);

/* Ports 0x00..0x0f, 0x80..0x8f (but 0x92's), 0xc0..0xdf. */
uint8_t dma_read(struct dma *d, uint16_t port);
void dma_write(struct dma *d, uint16_t port, uint8_t value);

#endif
