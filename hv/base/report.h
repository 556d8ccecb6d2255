/*
 * What was counted, said in lines: into the log when the machine ends, as text to who asks while it runs.
 * Who reports does not know which of the two it is.
 */
#ifndef HV_BASE_REPORT_H
#define HV_BASE_REPORT_H

#include "hv/base/log.h"

/* `buf` NULL: each line goes to the log, level info. Else they go there, as far as `size` reaches. */
struct report {
	char *buf;
	size_t size, len; /* without the zero at the end */
};

/* One line; `fmt` has no newline at its end. A line that does not fit in whole is left out. */
void report_line(struct report *r, enum log_sub sub, const char *fmt, ...) PRINTF(3, 4);

#endif
