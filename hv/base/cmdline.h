/*
 * The command line: words "name=value" or "name", separated by blanks; a value with blanks stands in
 * double quotes. A table says which names there are; every mistake is named with what was expected.
 */
#ifndef HV_BASE_CMDLINE_H
#define HV_BASE_CMDLINE_H

#include "hv/base/compiler.h"
#include "hv/base/err.h"

enum opt_kind {
	OPT_FLAG,   /* bool *: name, name=on, name=off */
	OPT_NUMBER, /* uint64_t *: decimal or 0x hex, within min..max */
	OPT_SIZE,   /* uint64_t *: bytes, with K, M or G after the number; a bare number is MiB */
	OPT_TEXT,   /* char *, at most `max` bytes with the closing NUL */
	OPT_CHOICE, /* unsigned *: index into the NULL-terminated `choices` */
};

struct opt {
	const char *name;
	enum opt_kind kind;
	void *value;
	uint64_t min, max;
	const char *const *choices;
	const char *help; /* what is expected, for the error sentence: "the node count, 1 to 64" */
};

/*
 * Parses the whole line; values are written as they are met, later words win. Returns 0, or
 * ERR_INVALID with a sentence naming the word and what was expected.
 */
int cmdline_parse(const char *line, const struct opt *opts, unsigned count,
		  struct why *why) MUST_CHECK;

#endif
