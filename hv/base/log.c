#include "hv/base/log.h"
#include "hv/base/fmt.h"
#include "hv/base/plat.h"
#include "hv/base/spinlock.h"
#include "hv/base/string.h"

#define RING_SIZE (256u * 1024)
#define LOG_LINE  512
#define PRIVATE   '\1' /* begins a private line in the ring */

static const char *const sub_names[LOG_SUBS] = {
	[LOG_BOOT] = "boot", [LOG_X86] = "x86",         [LOG_VIRT] = "virt",   [LOG_VCPU] = "vcpu",
	[LOG_APIC] = "apic", [LOG_DEV] = "dev",         [LOG_GUEST] = "guest", [LOG_NET] = "net",
	[LOG_DSM] = "dsm",   [LOG_CLUSTER] = "cluster",
};

static const char *const level_names[LOG_LEVELS] = {"error", "warn", "info", "debug"};

static struct {
	char data[RING_SIZE];
	uint64_t written; /* bytes ever written; the ring holds the last RING_SIZE of them */
	unsigned node;
	bool panic;
} log_state;
/* Apart, so that no image carries the ring's zeros. */
static uint8_t levels[LOG_SUBS] = {[0 ... LOG_SUBS - 1] = LOG_INFO};
static struct spinlock log_lock = SPINLOCK(RANK_LOG);

static void (*wake)(void);

static void lock(void)
{
	if (!log_state.panic)
		spin_lock(&log_lock);
}

static void unlock(void)
{
	if (!log_state.panic)
		spin_unlock(&log_lock);
}

bool log_enabled(enum log_sub sub, enum log_level level)
{
	return level <= levels[sub];
}

static void append(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		log_state.data[log_state.written++ % RING_SIZE] = text[i];
}

/* What was written by others must not begin a line of its own, nor look private or not. */
static void plain(char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (text[i] == PRIVATE || text[i] == '\n')
			text[i] = ' ';
}

static void write_line(enum log_sub sub, enum log_level level, bool private, const char *fmt,
		       va_list ap)
{
	char line[LOG_LINE];
	uint64_t us = plat_log_ns() / NS_PER_US;
	size_t n =
		fmt_print(line, sizeof(line), "[%5u.%06u] n%u.c%u %s: %s", (unsigned)(us / 1000000),
			  (unsigned)(us % 1000000), log_state.node, plat_cpu(), sub_names[sub],
			  level == LOG_ERROR  ? "ERROR: "
			  : level == LOG_WARN ? "warning: "
					      : "");

	n += fmt_vprint(line + n, sizeof(line) - n, fmt, ap);
	n = MIN(n, sizeof(line) - 2);
	if (private)
		plain(line, n);
	line[n++] = '\n';

	lock();
	if (private)
		append(&(const char){PRIVATE}, 1);
	append(line, n);
	unlock();
	if (wake)
		wake();
}

void log_print(enum log_sub sub, enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if (!log_enabled(sub, level))
		return;
	va_start(ap, fmt);
	write_line(sub, level, false, fmt, ap);
	va_end(ap);
}

void log_private(enum log_sub sub, const char *fmt, ...)
{
	va_list ap;

	if (!log_enabled(sub, LOG_INFO))
		return;
	va_start(ap, fmt);
	write_line(sub, LOG_INFO, true, fmt, ap);
	va_end(ap);
}

/* Counts a line in and says whether it passes; `missed` get those left out in the time before this one. */
static bool limit_count(struct log_limit *limit, unsigned most, uint64_t now, unsigned *missed)
{
	bool pass;

	*missed = 0;
	/* CPUs' clocks may differ by a little: what is not later is in the same time. */
	if (!limit->written || (int64_t)(now - limit->since_ns) >= (int64_t)LOG_LIMIT_NS) {
		*missed = limit->left_out;
		*limit = (struct log_limit){.since_ns = now};
	}
	pass = limit->written < most;
	if (pass)
		limit->written++;
	else
		limit->left_out++;
	return pass;
}

bool log_limit_pass(struct log_limit *limit, unsigned most, enum log_sub sub, enum log_level level)
{
	unsigned missed, left_out;
	bool pass;

	if (!log_enabled(sub, level))
		return false;
	lock();
	pass = limit_count(limit, most, plat_log_ns(), &missed);
	left_out = limit->left_out;
	unlock();
	if (missed)
		log_print(sub, level, "%u lines like the next one were left out", missed);
	if (!pass && left_out == 1)
		log_print(sub, level,
			  "lines like the last one come too often and are left out for a while");
	return pass;
}

static int find_name(const char *const *table, unsigned count, const char *s, size_t n)
{
	for (unsigned i = 0; i < count; i++)
		if (strlen(table[i]) == n && strncmp(table[i], s, n) == 0)
			return (int)i;
	return -1;
}

int log_configure(const char *text, struct why *why)
{
	uint8_t wanted[LOG_SUBS];

	memcpy(wanted, levels, sizeof(wanted));
	while (*text) {
		const char *end = strchr(text, ',');
		size_t n = end ? (size_t)(end - text) : strlen(text);
		const char *eq = text;

		while (eq < text + n && *eq != '=')
			eq++;

		bool all = eq == text + n;
		const char *name = all ? text : eq + 1;
		int level = find_name(level_names, LOG_LEVELS, name, (size_t)(text + n - name));
		int sub = all ? 0 : find_name(sub_names, LOG_SUBS, text, (size_t)(eq - text));

		if (level < 0)
			return why_set(why, ERR_INVALID,
				       "log level '%.*s' is unknown; "
				       "expected error, warn, info or debug",
				       (int)(text + n - name), name);
		if (sub < 0)
			return why_set(why, ERR_INVALID,
				       "log subsystem '%.*s' is unknown; expected boot, x86, virt, "
				       "vcpu, apic, dev, guest, net, cluster or dsm",
				       (int)(eq - text), text);
		if (all)
			memset(wanted, level, sizeof(wanted));
		else
			wanted[sub] = (uint8_t)level;
		text += n + (end ? 1 : 0);
	}
	memcpy(levels, wanted, sizeof(levels));
	return 0;
}

void log_set_node(unsigned node)
{
	log_state.node = node;
}

void log_panic_mode(void)
{
	log_state.panic = true;
}

void log_wake_by(void (*fn)(void))
{
	wake = fn;
}

size_t log_read(struct log_reader *reader, char *buf, size_t size)
{
	size_t n = 0;

	lock();
	if (log_state.written - reader->seen > RING_SIZE) {
		uint64_t missed = log_state.written - RING_SIZE - reader->seen;
		char note[64];

		n = fmt_print(note, sizeof(note), "\n[%llu bytes of log lost]\n",
			      (unsigned long long)missed);
		n = MIN(n, size);
		memcpy(buf, note, n);
		reader->seen += missed;
		/* What is left of the line that the ring begins with may be a private one's. */
		reader->skips = reader->outside;
	}
	while (n < size && reader->seen < log_state.written) {
		char c = log_state.data[reader->seen++ % RING_SIZE];

		if (c == PRIVATE)
			reader->skips = reader->outside;
		else if (!reader->skips)
			buf[n++] = c;
		else if (c == '\n')
			reader->skips = false;
	}
	unlock();
	return n;
}
