/* Text on the node's screen: a linear framebuffer (UEFI) or VGA text mode (BIOS). */
#ifndef HV_X86_FB_H
#define HV_X86_FB_H

#include "hv/base/compiler.h"

struct handoff;

/* Uses the handoff's framebuffer, or VGA text memory when a BIOS loader gave none. */
void fb_init(const struct handoff *handoff);
/* Scrolls as needed; knows '\n'. Does nothing when there is no screen. */
void fb_write(const char *text, size_t len);

#endif
