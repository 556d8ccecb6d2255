/*
 * The log: a ring of text in memory, usable from the first instruction on, and its readers. A line
 * looks like
 *
 *     [   12.345678] n0.c1 vmx: the text
 *
 * seconds since boot, node and CPU, subsystem. Old text is overwritten when nobody reads it in time;
 * a reader then gets one line that says how much it missed.
 */
#ifndef HV_BASE_LOG_H
#define HV_BASE_LOG_H

#include "hv/base/compiler.h"
#include "hv/base/err.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_LEVELS };

enum log_sub {
	LOG_BOOT,    /* handoff, pre-flight, start and stop */
	LOG_X86,     /* the node's own hardware */
	LOG_VIRT,    /* VT-x, AMD-V, nested paging */
	LOG_VCPU,    /* run loop, exits, CPU policy, emulation */
	LOG_APIC,    /* virtual LAPICs and IOAPIC */
	LOG_DEV,     /* the guest's devices */
	LOG_GUEST,   /* what the guest did: loaders, resets, misbehaviour */
	LOG_NET,     /* NICs, lwIP, transport */
	LOG_CLUSTER, /* membership, heartbeats, clock */
	LOG_DSM,     /* page coherence */
	LOG_SUBS
};

void log_print(enum log_sub sub, enum log_level level, const char *fmt, ...) PRINTF(3, 4);

#define log_error(sub, ...) log_print(sub, LOG_ERROR, __VA_ARGS__)
#define log_warn(sub, ...)  log_print(sub, LOG_WARN, __VA_ARGS__)
#define log_info(sub, ...)  log_print(sub, LOG_INFO, __VA_ARGS__)
/* The arguments are not evaluated when the line is off. */
#define log_debug(sub, ...)                                     \
	do {                                                    \
		if (UNLIKELY(log_enabled(sub, LOG_DEBUG)))      \
			log_print(sub, LOG_DEBUG, __VA_ARGS__); \
	} while (0)

/*
 * A line of level info for who sits at the node: readers that carry the log elsewhere don't get it. For what
 * a person has written for this node alone, as its command line.
 */
void log_private(enum log_sub sub, const char *fmt, ...) PRINTF(2, 3);

bool log_enabled(enum log_sub sub, enum log_level level);

/*
 * For every line that the guest, a frame or a stranger can cause at will: one place in the code writes so
 * many in LOG_LIMIT_NS, then one that says that others are left out, and after that time how many they
 * were. Arguments of what is left out are not evaluated. (Debug lines are for who has asked for them.)
 */
#define LOG_LIMIT_NS (60 * NS_PER_S)
#define LOG_FEW      8
#define LOG_MANY     128 /* where a well-behaved machine of many CPUs has a line for each */

#define log_limited(most, sub, level, ...)                           \
	do {                                                         \
		static struct log_limit limit_;                      \
                                                                     \
		if (log_limit_pass(&limit_, (most), (sub), (level))) \
			log_print((sub), (level), __VA_ARGS__);      \
	} while (0)
#define log_private_few(sub, ...)                                      \
	do {                                                           \
		static struct log_limit limit_;                        \
                                                                       \
		if (log_limit_pass(&limit_, LOG_FEW, (sub), LOG_INFO)) \
			log_private((sub), __VA_ARGS__);               \
	} while (0)
#define log_warn_few(sub, ...) log_limited(LOG_FEW, sub, LOG_WARN, __VA_ARGS__)
#define log_info_few(sub, ...) log_limited(LOG_FEW, sub, LOG_INFO, __VA_ARGS__)

/* One place's; zeroed at first. The log's lock guards it. */
struct log_limit {
	uint64_t since_ns;
	unsigned written, left_out;
};

/* May the line be written? Writes, itself, what there is to say about those that were left out. */
bool log_limit_pass(struct log_limit *limit, unsigned most, enum log_sub sub, enum log_level level);

/*
 * Sets levels from text: "debug" for all, "vmx=debug,apic=warn" for some, or both in that order.
 * On an error nothing is changed and `why` names the word that is wrong.
 */
int log_configure(const char *text, struct why *why);

/* This node's number in the line prefix; 0 until the cluster is numbered. */
void log_set_node(unsigned node);

/* From now on no lock is waited for: the other CPUs are stopped, maybe while writing a line. */
void log_panic_mode(void);

/*
 * From now on `fn` is called after each line, on the CPU that wrote it: it brings new lines to readers that
 * do not look for themselves. Set while one CPU runs.
 */
void log_wake_by(void (*fn)(void));

struct log_reader {
	/* Bytes of the log this reader has gone through, from the first byte ever written. */
	uint64_t seen;
	bool outside; /* no private lines */
	bool skips;   /* the rest of the line that it is in */
};

/* Copies the next bytes into buf, at most `size`; returns how many, 0 when the reader is up to date. */
size_t log_read(struct log_reader *reader, char *buf, size_t size);

#endif
