#include "hv/base/cmdline.h"
#include "hv/base/bits.h"
#include "hv/base/fmt.h"
#include "hv/base/string.h"

#define WORD_MAX 1024

struct word {
	char text[WORD_MAX]; /* quotes removed; name and value split by a NUL */
	const char *value;   /* NULL when the word has no '=' */
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Takes one word from *line; returns false at the end of the line. */
static bool next_word(const char **line, struct word *w, struct why *why, int *err)
{
	const char *s = *line;
	size_t n = 0;
	bool quoted = false;

	w->value = NULL;
	while (is_blank(*s))
		s++;
	if (!*s)
		return false;
	for (; *s && (quoted || !is_blank(*s)); s++) {
		if (*s == '"') {
			quoted = !quoted;
			continue;
		}
		if (n + 1 == WORD_MAX) {
			*err = why_set(why, ERR_INVALID,
				       "a word is longer than %d bytes: '%.40s...'", WORD_MAX - 1,
				       w->text);
			return false;
		}
		if (*s == '=' && !w->value) {
			w->text[n++] = '\0';
			w->value = &w->text[n];
			continue;
		}
		w->text[n++] = *s;
	}
	w->text[n] = '\0';
	*line = s;
	if (quoted) {
		*err = why_set(why, ERR_INVALID, "the double quote in option '%.40s' is not closed",
			       w->text);
		return false;
	}
	return true;
}

/* Parses a whole number at *s and moves past it; false when there is none or it overflows. */
static bool parse_number(const char **s, uint64_t *out)
{
	unsigned base = 10;
	uint64_t v = 0;
	const char *p = *s, *start;

	if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
		base = 16;
		p += 2;
	}
	for (start = p;; p++) {
		unsigned d;

		if (*p >= '0' && *p <= '9')
			d = (unsigned)(*p - '0');
		else if (base == 16 && (*p | 0x20) >= 'a' && (*p | 0x20) <= 'f')
			d = (unsigned)((*p | 0x20) - 'a') + 10;
		else
			break;
		if (v > (UINT64_MAX - d) / base)
			return false;
		v = v * base + d;
	}
	if (p == start)
		return false;
	*s = p;
	*out = v;
	return true;
}

static bool parse_size(const char **s, uint64_t *out)
{
	unsigned shift = 20;

	if (!parse_number(s, out))
		return false;
	switch (**s | 0x20) {
	case 'k':
		shift = 10;
		(*s)++;
		break;
	case 'm':
		(*s)++;
		break;
	case 'g':
		shift = 30;
		(*s)++;
		break;
	default:
		break;
	}
	if (*out > UINT64_MAX >> shift)
		return false;
	*out <<= shift;
	return true;
}

static bool set_flag(const struct opt *o, const char *value)
{
	bool *flag = o->value;

	if (!value || !strcmp(value, "on") || !strcmp(value, "1"))
		*flag = true;
	else if (!strcmp(value, "off") || !strcmp(value, "0"))
		*flag = false;
	else
		return false;
	return true;
}

static bool set_number(const struct opt *o, const char *value)
{
	uint64_t v;
	bool ok = o->kind == OPT_SIZE ? parse_size(&value, &v) : parse_number(&value, &v);

	if (!ok || *value || v < o->min || v > o->max)
		return false;
	*(uint64_t *)o->value = v;
	return true;
}

static bool set_choice(const struct opt *o, const char *value)
{
	for (unsigned i = 0; o->choices[i]; i++)
		if (!strcmp(o->choices[i], value)) {
			*(unsigned *)o->value = i;
			return true;
		}
	return false;
}

static bool set_option(const struct opt *o, const char *value)
{
	if (o->kind == OPT_FLAG)
		return set_flag(o, value);
	if (!value)
		return false;
	switch (o->kind) {
	case OPT_NUMBER:
	case OPT_SIZE:
		return set_number(o, value);
	case OPT_TEXT:
		return str_copy(o->value, value, (size_t)o->max);
	case OPT_CHOICE:
		return set_choice(o, value);
	default:
		return false;
	}
}

static const struct opt *find(const struct opt *opts, unsigned count, const char *name)
{
	for (unsigned i = 0; i < count; i++)
		if (!strcmp(opts[i].name, name))
			return &opts[i];
	return NULL;
}

static int unknown(const struct opt *opts, unsigned count, const char *name, struct why *why)
{
	char names[160];
	size_t n = 0;

	names[0] = '\0';
	for (unsigned i = 0; i < count && n < sizeof(names); i++)
		n += fmt_print(names + n, sizeof(names) - n, "%s%s", i ? ", " : "", opts[i].name);
	return why_set(why, ERR_INVALID, "option '%.40s' is unknown; the options are %s", name,
		       names);
}

int cmdline_parse(const char *line, const struct opt *opts, unsigned count, struct why *why)
{
	struct word w;
	int err = 0;

	while (next_word(&line, &w, why, &err)) {
		const struct opt *o = find(opts, count, w.text);

		if (!o)
			return unknown(opts, count, w.text, why);
		if (!set_option(o, w.value))
			return why_set(why, ERR_INVALID, "option '%s%s%.40s' is wrong; expected %s",
				       w.text, w.value ? "=" : "", w.value ? w.value : "", o->help);
	}
	return err;
}
