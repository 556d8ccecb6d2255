#include "hv/base/err.h"
#include "hv/base/fmt.h"

static const char *const names[] = {
	[-ERR_INVALID] = "invalid",    [-ERR_NOMEM] = "no memory",
	[-ERR_NOTFOUND] = "not found", [-ERR_UNSUPPORTED] = "unsupported",
	[-ERR_RANGE] = "out of range", [-ERR_BUSY] = "busy",
	[-ERR_TIMEOUT] = "timed out",
};

const char *err_name(int err)
{
	if (err == 0)
		return "ok";
	if (err > 0 || (size_t)-err >= ARRAY_LEN(names))
		return "unknown error";
	return names[-err];
}

int why_set(struct why *why, int err, const char *fmt, ...)
{
	if (why) {
		va_list ap;

		va_start(ap, fmt);
		fmt_vprint(why->text, sizeof(why->text), fmt, ap);
		va_end(ap);
	}
	return err;
}
