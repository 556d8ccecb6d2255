#include "boot/config.h"

struct line {
	const char *at, *end;
	uint32_t number;
};

static int blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void skip_blanks(struct line *l)
{
	while (l->at < l->end && blank(*l->at))
		l->at++;
	while (l->end > l->at && blank(l->end[-1]))
		l->end--;
}

/* Appends text; returns the new length, which is `max` when it did not fit. */
static uint32_t append(char *to, uint32_t len, uint32_t max, const char *from, const char *end)
{
	while (from < end && len < max)
		to[len++] = *from++;
	to[len < max ? len : max - 1] = '\0';
	return from < end ? max : len;
}

static int fail(char *why, const struct line *l, const char *what)
{
	static const char start[] = "amalgam.cfg, line ";
	char digits[10];
	uint32_t n = 0, d = 0, v = l->number;
	const char *w = what;

	n = append(why, n, CONFIG_WHY, start, start + sizeof(start) - 1);
	do {
		digits[d++] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	while (d && n < CONFIG_WHY - 1)
		why[n++] = digits[--d];
	while (*w && n < CONFIG_WHY - 1)
		why[n++] = *w++;
	why[n] = '\0';
	return -1;
}

/* Takes one word off the line if it is `word`. */
static int keyword(struct line *l, const char *word)
{
	const char *p = l->at;

	while (p < l->end && *word && *p == *word) {
		p++;
		word++;
	}
	if (*word || (p < l->end && !blank(*p)))
		return 0;
	l->at = p;
	skip_blanks(l);
	return 1;
}

static int add_options(struct config *c, const struct line *l, char *why)
{
	static const char gap[] = " ";
	uint32_t len = 0;

	while (c->options[len])
		len++;
	if (len)
		len = append(c->options, len, sizeof(c->options), gap, gap + 1);
	if (append(c->options, len, sizeof(c->options), l->at, l->end) == sizeof(c->options))
		return fail(why, l,
			    ": the options are longer than 2047 bytes together; shorten them");
	return 0;
}

static int add_file(struct config *c, struct line *l, char *why)
{
	const char *name = l->at;

	if (c->file_count == HANDOFF_FILES)
		return fail(why, l, ": more than 16 files; leave some out");
	while (l->at < l->end && !blank(*l->at))
		l->at++;
	if (l->at == name)
		return fail(why, l, ": 'file' without a name; expected 'file NAME ARGUMENTS...'");
	if (append(c->files[c->file_count].name, 0, HANDOFF_NAME, name, l->at) == HANDOFF_NAME)
		return fail(why, l, ": a file name is longer than 63 bytes; rename the file");
	skip_blanks(l);
	if (append(c->files[c->file_count].args, 0, HANDOFF_ARGS, l->at, l->end) == HANDOFF_ARGS)
		return fail(why, l, ": the arguments are longer than 447 bytes; shorten them");
	c->file_count++;
	return 0;
}

static int is_text(const struct line *l)
{
	for (const char *p = l->at; p < l->end; p++)
		if ((unsigned char)*p < ' ' && !blank(*p))
			return 0;
	return 1;
}

static int parse_line(struct config *c, struct line *l, char *why)
{
	if (!is_text(l))
		return fail(why, l,
			    ": not text; write the file with a text editor, in ASCII or UTF-8");
	skip_blanks(l);
	if (l->at == l->end || *l->at == '#')
		return 0;
	if (keyword(l, "options"))
		return add_options(c, l, why);
	if (keyword(l, "file"))
		return add_file(c, l, why);
	return fail(why, l,
		    ": expected 'options ...', 'file NAME ARGUMENTS...' or a comment after '#'");
}

int config_parse(const char *text, uint32_t size, struct config *out, char why[CONFIG_WHY])
{
	const char *end = text + size;
	struct line l = {text, text, 0};

	out->options[0] = '\0';
	out->file_count = 0;
	while (text < end) {
		const char *eol = text;

		while (eol < end && *eol != '\n')
			eol++;
		l.at = text;
		l.end = eol;
		l.number++;
		if (parse_line(out, &l, why))
			return -1;
		text = eol + 1;
	}
	return 0;
}
