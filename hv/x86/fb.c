#include "hv/x86/fb.h"
#include "boot/handoff.h"
#include "hv/x86/paging.h"

#define VGA_BASE    0xb8000u
#define VGA_COLUMNS 80u
#define VGA_ROWS    25u
#define VGA_LIGHT   0x0700u /* light grey on black */

static struct {
	volatile uint16_t *vga;
	unsigned column, row;
} screen;

void fb_init(const struct handoff *handoff)
{
	if (handoff->loader == HANDOFF_MULTIBOOT && !handoff->fb.pitch)
		screen.vga = phys_to_virt(VGA_BASE);
	if (!screen.vga)
		return;
	for (unsigned i = 0; i < VGA_COLUMNS * VGA_ROWS; i++)
		screen.vga[i] = VGA_LIGHT | ' ';
}

static void vga_line_feed(void)
{
	screen.column = 0;
	if (screen.row + 1 < VGA_ROWS) {
		screen.row++;
		return;
	}
	for (unsigned i = 0; i < VGA_COLUMNS * (VGA_ROWS - 1); i++)
		screen.vga[i] = screen.vga[i + VGA_COLUMNS];
	for (unsigned i = 0; i < VGA_COLUMNS; i++)
		screen.vga[VGA_COLUMNS * (VGA_ROWS - 1) + i] = VGA_LIGHT | ' ';
}

static void vga_put(char c)
{
	if (c == '\n' || screen.column == VGA_COLUMNS)
		vga_line_feed();
	if (c >= ' ')
		screen.vga[screen.row * VGA_COLUMNS + screen.column++] = VGA_LIGHT | (uint8_t)c;
}

void fb_write(const char *text, size_t len)
{
	for (size_t i = 0; i < len && screen.vga; i++)
		vga_put(text[i]);
}
