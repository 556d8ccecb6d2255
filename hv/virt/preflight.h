/*
 * The report a node prints before it takes its hardware: what it needs, what it found, and for what is
 * missing the reason and the remedy in a sentence. A missing requirement stops the node; all of them
 * are reported, not only the first.
 */
#ifndef HV_VIRT_PREFLIGHT_H
#define HV_VIRT_PREFLIGHT_H

#include "hv/base/compiler.h"

#define PREFLIGHT_LINES 32

enum preflight_verdict {
	PREFLIGHT_FOUND,   /* needed or useful, and there */
	PREFLIGHT_WITHOUT, /* useful, not there; the text says what is done instead */
	PREFLIGHT_MISSING, /* needed, not there; the text says why and the remedy */
};

struct preflight_line {
	enum preflight_verdict verdict;
	char need[32];  /* "EPT", "RAM" */
	char text[208]; /* what was found */
};

struct preflight {
	unsigned count, missing;
	/* lines that had no room; a missing one among them still counts as missing */
	unsigned left_out;
	struct preflight_line lines[PREFLIGHT_LINES];
};

void preflight_init(struct preflight *p);

void preflight_add(struct preflight *p, enum preflight_verdict verdict, const char *need,
		   const char *fmt, ...) PRINTF(4, 5);

#define preflight_found(p, need, ...)   preflight_add(p, PREFLIGHT_FOUND, need, __VA_ARGS__)
#define preflight_without(p, need, ...) preflight_add(p, PREFLIGHT_WITHOUT, need, __VA_ARGS__)
#define preflight_missing(p, need, ...) preflight_add(p, PREFLIGHT_MISSING, need, __VA_ARGS__)

bool preflight_passed(const struct preflight *p);

/* The text of the first missing line, for a last sentence on the screen; NULL when there is none. */
const char *preflight_first_missing(const struct preflight *p);

/* One log line per entry, "boot: preflight: ...", missing ones as errors, then the verdict. */
void preflight_print(const struct preflight *p);

#endif
