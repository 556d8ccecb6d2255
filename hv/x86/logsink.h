/* The log's readers on the node itself: serial port and screen. */
#ifndef HV_X86_LOGSINK_H
#define HV_X86_LOGSINK_H

#include "hv/base/compiler.h"

/*
 * Starts the serial reader as the command line's serial= says (default: com1). What is in the ring is written
 * first.
 */
void logsink_serial_start(const char *cmdline);
/* The screen is there. */
void logsink_screen_start(void);

/* Brings all readers up to date. One CPU does it; others that call meanwhile leave it to that one. */
void logsink_drain(void);

/* The same when the other CPUs are stopped, maybe while draining. */
void logsink_panic(void);

#endif
