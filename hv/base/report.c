#include "hv/base/report.h"

#include "hv/base/fmt.h"

#define LINE 512

void report_line(struct report *r, enum log_sub sub, const char *fmt, ...)
{
	char line[LINE];
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	n = fmt_vprint(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (!r->buf)
		log_info(sub, "%s", line);
	else if (n < sizeof(line) && r->len + n + 2 <= r->size)
		r->len += fmt_print(r->buf + r->len, r->size - r->len, "%s\n", line);
}
