#include "hv/virt/preflight.h"

#include "hv/base/fmt.h"
#include "hv/base/log.h"
#include "hv/base/string.h"

void preflight_init(struct preflight *p)
{
	p->count = 0;
	p->missing = 0;
	p->left_out = 0;
}

void preflight_add(struct preflight *p, enum preflight_verdict verdict, const char *need,
		   const char *fmt, ...)
{
	struct preflight_line *line;
	va_list ap;

	if (verdict == PREFLIGHT_MISSING)
		p->missing++;
	if (p->count == PREFLIGHT_LINES) {
		p->left_out++;
		return;
	}
	line = &p->lines[p->count++];
	line->verdict = verdict;
	str_copy(line->need, need, sizeof(line->need));
	va_start(ap, fmt);
	fmt_vprint(line->text, sizeof(line->text), fmt, ap);
	va_end(ap);
}

bool preflight_passed(const struct preflight *p)
{
	return p->missing == 0;
}

const char *preflight_first_missing(const struct preflight *p)
{
	for (unsigned i = 0; i < p->count; i++)
		if (p->lines[i].verdict == PREFLIGHT_MISSING)
			return p->lines[i].text;
	return NULL;
}

static void print_line(const struct preflight_line *line)
{
	switch (line->verdict) {
	case PREFLIGHT_FOUND:
		log_info(LOG_BOOT, "preflight: %s: %s", line->need, line->text);
		break;
	case PREFLIGHT_WITHOUT:
		log_info(LOG_BOOT, "preflight: %s: not there, %s", line->need, line->text);
		break;
	case PREFLIGHT_MISSING:
		log_error(LOG_BOOT, "preflight: %s: %s", line->need, line->text);
		break;
	}
}

void preflight_print(const struct preflight *p)
{
	for (unsigned i = 0; i < p->count; i++)
		print_line(&p->lines[i]);
	if (p->left_out)
		log_warn(LOG_BOOT, "preflight: %u more lines had no room", p->left_out);
	if (p->missing)
		log_error(LOG_BOOT,
			  "preflight: this node can't run Amalgam: %u requirement%s missing",
			  p->missing, p->missing == 1 ? " is" : "s are");
	else
		log_info(LOG_BOOT, "preflight: passed");
}
