/*
 * One grid of characters and what of it is on the screen; only cells that differ are drawn, and the text
 * moves up by a quarter of the screen at once, because writing pixels is slow.
 */
#include "hv/x86/fb.h"
#include "boot/handoff.h"
#include "hv/base/bits.h"
#include "hv/base/log.h"
#include "hv/base/string.h"
#include "hv/x86/font.h"
#include "hv/x86/paging.h"

#define VGA_BASE    0xb8000u
#define VGA_COLUMNS 80u
#define VGA_ROWS    25u
#define VGA_LIGHT   0x0700u /* light grey on black */

#define CELL_HEIGHT 16u
#define GLYPH_TOP   2u
#define PIXEL_ON    0x00d0d0d0u /* the same in both byte orders */

/* Enough for 2560 x 1440; of a larger screen the upper left part is used. */
#define COLUMNS_MAX 320u
#define ROWS_MAX    90u

static struct {
	volatile uint16_t *vga;
	uint8_t *pixels;
	uint32_t pitch;
	unsigned columns, rows;
	unsigned column, row; /* where the next character goes */
	char text[ROWS_MAX][COLUMNS_MAX];
	char shown[ROWS_MAX][COLUMNS_MAX];
} screen;

static void clear(void)
{
	memset(screen.text, ' ', sizeof(screen.text));
	/* Not a character that is ever shown, so that every cell is drawn. */
	memset(screen.shown, 0, sizeof(screen.shown));
}

static bool use_framebuffer(const struct handoff_framebuffer *fb)
{
	if (!fb->pitch || fb->pitch / 4 < fb->width || fb->width < 80 * FONT_WIDTH ||
	    fb->height < 10 * CELL_HEIGHT)
		return false;
	screen.pixels = paging_map_wc(fb->base, (uint64_t)fb->pitch * fb->height);
	if (!screen.pixels)
		return false;
	screen.pitch = fb->pitch;
	screen.columns = MIN(fb->width / FONT_WIDTH, COLUMNS_MAX);
	screen.rows = MIN(fb->height / CELL_HEIGHT, ROWS_MAX);
	return true;
}

void fb_init(const struct handoff *handoff)
{
	clear();
	if (use_framebuffer(&handoff->fb)) {
		log_info(LOG_X86, "screen: %u x %u pixels", handoff->fb.width, handoff->fb.height);
	} else if (handoff->loader == HANDOFF_MULTIBOOT && !handoff->fb.pitch) {
		screen.vga = phys_to_virt(VGA_BASE);
		screen.columns = VGA_COLUMNS;
		screen.rows = VGA_ROWS;
	}
}

static void draw_glyph(unsigned row, unsigned column, char c)
{
	const uint8_t *glyph = font_glyphs[(uint8_t)c - FONT_FIRST];
	uint8_t *cell = screen.pixels + (uint64_t)row * CELL_HEIGHT * screen.pitch +
			column * FONT_WIDTH * 4;

	for (unsigned y = 0; y < CELL_HEIGHT; y++) {
		volatile uint32_t *line = (volatile uint32_t *)(void *)(cell + y * screen.pitch);
		uint8_t bits =
			y >= GLYPH_TOP && y - GLYPH_TOP < FONT_ROWS ? glyph[y - GLYPH_TOP] : 0;

		for (unsigned x = 0; x < FONT_WIDTH; x++)
			line[x] = bits >> (FONT_WIDTH - 1 - x) & 1 ? PIXEL_ON : 0;
	}
}

static void draw(void)
{
	for (unsigned r = 0; r < screen.rows; r++)
		for (unsigned c = 0; c < screen.columns; c++) {
			char ch = screen.text[r][c];

			if (ch == screen.shown[r][c])
				continue;
			screen.shown[r][c] = ch;
			if (screen.vga)
				screen.vga[r * screen.columns + c] = VGA_LIGHT | (uint8_t)ch;
			else
				draw_glyph(r, c, ch);
		}
}

static void line_feed(void)
{
	unsigned jump = screen.rows / 4, keep = screen.rows - jump;

	screen.column = 0;
	if (++screen.row < screen.rows)
		return;
	memmove(screen.text[0], screen.text[jump], keep * COLUMNS_MAX);
	memset(screen.text[keep], ' ', jump * COLUMNS_MAX);
	screen.row = keep;
}

static void put(char c)
{
	if (c == '\n') {
		line_feed();
		return;
	}
	if (screen.column == screen.columns)
		line_feed();
	if ((uint8_t)c < FONT_FIRST || (uint8_t)c >= FONT_FIRST + FONT_COUNT)
		c = '?';
	screen.text[screen.row][screen.column++] = c;
}

void fb_write(const char *text, size_t len)
{
	if (!screen.columns)
		return;
	for (size_t i = 0; i < len; i++)
		put(text[i]);
	draw();
}
