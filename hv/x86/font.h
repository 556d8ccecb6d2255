/* The screen's font: printable ASCII, 8 pixels wide; the highest bit of a row is the leftmost pixel. */
#ifndef HV_X86_FONT_H
#define HV_X86_FONT_H

#include "hv/base/types.h"

#define FONT_FIRST 32u
#define FONT_COUNT 95u
#define FONT_WIDTH 8u
#define FONT_ROWS  13u

extern const uint8_t font_glyphs[FONT_COUNT][FONT_ROWS];

#endif
