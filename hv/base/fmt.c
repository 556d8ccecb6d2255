#include "hv/base/fmt.h"
#include "hv/base/string.h"

struct sink {
	char *buf;
	size_t size;
	size_t len;
};

struct spec {
	bool left, zero, alt, plus, space, upper;
	unsigned width;
	int precision;  /* -1: none given */
	unsigned bytes; /* size of the integer argument */
};

static void put(struct sink *s, char c)
{
	if (s->len + 1 < s->size)
		s->buf[s->len] = c;
	s->len++;
}

static void pad(struct sink *s, char c, unsigned n)
{
	while (n--)
		put(s, c);
}

static void put_text(struct sink *s, const struct spec *sp, const char *text, size_t n)
{
	unsigned fill = n < sp->width ? sp->width - (unsigned)n : 0;

	if (!sp->left)
		pad(s, ' ', fill);
	for (size_t i = 0; i < n; i++)
		put(s, text[i]);
	if (sp->left)
		pad(s, ' ', fill);
}

static void put_number(struct sink *s, const struct spec *sp, uint64_t v, unsigned base, char sign)
{
	const char *digits = sp->upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char text[24]; /* 22 octal digits are the most that 64 bits take */
	unsigned n = 0;
	const char *prefix = "";

	if (sp->alt && base == 16 && v != 0)
		prefix = sp->upper ? "0X" : "0x";
	if (!(v == 0 && sp->precision == 0))
		do {
			text[n++] = digits[v % base];
			v /= base;
		} while (v);

	unsigned zeros = sp->precision > (int)n ? (unsigned)sp->precision - n : 0;
	unsigned body = n + zeros + (sign ? 1 : 0) + (unsigned)strlen(prefix);
	unsigned fill = body < sp->width ? sp->width - body : 0;

	if (sp->zero && !sp->left && sp->precision < 0) {
		zeros += fill;
		fill = 0;
	}
	if (!sp->left)
		pad(s, ' ', fill);
	if (sign)
		put(s, sign);
	while (*prefix)
		put(s, *prefix++);
	pad(s, '0', zeros);
	while (n)
		put(s, text[--n]);
	if (sp->left)
		pad(s, ' ', fill);
}

static const char *parse_flags(const char *f, struct spec *sp)
{
	for (;; f++) {
		switch (*f) {
		case '-':
			sp->left = true;
			break;
		case '0':
			sp->zero = true;
			break;
		case '#':
			sp->alt = true;
			break;
		case '+':
			sp->plus = true;
			break;
		case ' ':
			sp->space = true;
			break;
		default:
			return f;
		}
	}
}

static const char *parse_length(const char *f, struct spec *sp)
{
	sp->bytes = sizeof(int);
	switch (*f) {
	case 'h':
		sp->bytes = f[1] == 'h' ? sizeof(char) : sizeof(short);
		return f + (f[1] == 'h' ? 2 : 1);
	case 'l':
		sp->bytes = f[1] == 'l' ? sizeof(long long) : sizeof(long);
		return f + (f[1] == 'l' ? 2 : 1);
	case 'z':
	case 't':
		sp->bytes = sizeof(size_t);
		return f + 1;
	case 'j':
		sp->bytes = sizeof(intmax_t);
		return f + 1;
	default:
		return f;
	}
}

static unsigned parse_count(const char **f)
{
	unsigned n = 0;

	while (**f >= '0' && **f <= '9')
		n = n * 10 + (unsigned)(*(*f)++ - '0');
	return n;
}

/* Narrow arguments arrive promoted to int; they are cut back to what the length modifier says. */
#define FETCH_UNSIGNED(ap, bytes)                        \
	((bytes) == 8   ? va_arg(ap, uint64_t)           \
	 : (bytes) == 4 ? va_arg(ap, unsigned)           \
	 : (bytes) == 2 ? (uint16_t)va_arg(ap, unsigned) \
			: (uint8_t)va_arg(ap, unsigned))
#define FETCH_SIGNED(ap, bytes)                    \
	((bytes) == 8   ? va_arg(ap, int64_t)      \
	 : (bytes) == 4 ? va_arg(ap, int)          \
	 : (bytes) == 2 ? (int16_t)va_arg(ap, int) \
			: (int8_t)va_arg(ap, int))

size_t fmt_vprint(char *buf, size_t size, const char *f, va_list ap)
{
	struct sink s = {.buf = buf, .size = size};

	while (*f) {
		if (*f != '%') {
			put(&s, *f++);
			continue;
		}
		f++;
		struct spec sp = {.precision = -1};

		f = parse_flags(f, &sp);
		if (*f == '*') {
			int w = va_arg(ap, int);

			sp.left |= w < 0;
			sp.width = w < 0 ? -(unsigned)w : (unsigned)w;
			f++;
		} else {
			sp.width = parse_count(&f);
		}
		if (*f == '.') {
			f++;
			if (*f == '*') {
				sp.precision = va_arg(ap, int);
				f++;
			} else {
				sp.precision = (int)parse_count(&f);
			}
		}
		f = parse_length(f, &sp);
		switch (*f) {
		case 'd':
		case 'i': {
			int64_t v = FETCH_SIGNED(ap, sp.bytes);
			char sign = v < 0 ? '-' : sp.plus ? '+' : sp.space ? ' ' : 0;

			put_number(&s, &sp, v < 0 ? -(uint64_t)v : (uint64_t)v, 10, sign);
			break;
		}
		case 'u':
			put_number(&s, &sp, FETCH_UNSIGNED(ap, sp.bytes), 10, 0);
			break;
		case 'o':
			put_number(&s, &sp, FETCH_UNSIGNED(ap, sp.bytes), 8, 0);
			break;
		case 'X':
			sp.upper = true;
			put_number(&s, &sp, FETCH_UNSIGNED(ap, sp.bytes), 16, 0);
			break;
		case 'x':
			put_number(&s, &sp, FETCH_UNSIGNED(ap, sp.bytes), 16, 0);
			break;
		case 'p':
			sp.alt = true;
			put_number(&s, &sp, (uintptr_t)va_arg(ap, void *), 16, 0);
			break;
		case 'c': {
			char c = (char)va_arg(ap, int);

			put_text(&s, &sp, &c, 1);
			break;
		}
		case 's': {
			const char *text = va_arg(ap, const char *);
			size_t n = 0;

			if (!text)
				text = "(null)";
			while ((sp.precision < 0 || n < (size_t)sp.precision) && text[n])
				n++;
			put_text(&s, &sp, text, n);
			break;
		}
		case '%':
			put(&s, '%');
			break;
		case '\0':
			f--; /* a lone % at the end: print it and stop at the NUL */
			put(&s, '%');
			break;
		default:
			put(&s, '%');
			put(&s, *f);
		}
		f++;
	}
	if (size)
		buf[MIN(s.len, size - 1)] = '\0';
	return s.len;
}

size_t fmt_print(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	size_t n = fmt_vprint(buf, size, fmt, ap);
	va_end(ap);
	return n;
}
