#include <stdatomic.h>

#include "hv/x86/logsink.h"
#include "hv/base/log.h"
#include "hv/base/string.h"
#include "hv/x86/fb.h"
#include "hv/x86/serial.h"

#define BAUD 115200

static struct {
	struct serial serial;
	struct log_reader serial_reader, screen_reader;
	bool serial_on, screen_on;
	_Atomic bool busy;
	_Atomic bool again; /* new text came while somebody was draining */
} sink;

/*
 * Copies the value of the last word "serial=..." into `value`; the whole line is checked later, by
 * hv/main.c, but the log must be readable before that.
 */
static void find_option(const char *cmdline, char *value, size_t size)
{
	for (const char *s = cmdline; *s; s++) {
		size_t n = 0;

		if ((s != cmdline && s[-1] != ' ') || !str_starts(s, "serial="))
			continue;
		s += strlen("serial=");
		while (s[n] && s[n] != ' ' && n + 1 < size) {
			value[n] = s[n];
			n++;
		}
		value[n] = '\0';
	}
}

void logsink_serial_start(const char *cmdline)
{
	char name[16] = "com1";

	find_option(cmdline, name, sizeof(name));
	if (strcmp(name, "off"))
		sink.serial_on = serial_init(&sink.serial, serial_port_by_name(name), BAUD);
	log_wake_by(logsink_drain);
	logsink_drain();
}

void logsink_screen_start(void)
{
	sink.screen_on = true;
	logsink_drain();
}

static bool drain_serial(void)
{
	char buf[128];
	size_t n = log_read(&sink.serial_reader, buf, sizeof(buf));

	for (size_t i = 0; i < n; i++) {
		if (buf[i] == '\n')
			serial_tx(&sink.serial, '\r');
		serial_tx(&sink.serial, (uint8_t)buf[i]);
	}
	return n != 0;
}

static bool drain_screen(void)
{
	char buf[256];
	size_t n = log_read(&sink.screen_reader, buf, sizeof(buf));

	fb_write(buf, n);
	return n != 0;
}

void logsink_drain(void)
{
	bool more;

	atomic_store(&sink.again, true);
	while (atomic_load(&sink.again) && !atomic_exchange(&sink.busy, true)) {
		atomic_store(&sink.again, false);
		do {
			more = sink.serial_on && drain_serial();
			more |= sink.screen_on && drain_screen();
		} while (more);
		atomic_store(&sink.busy, false);
	}
}

void logsink_panic(void)
{
	atomic_store(&sink.busy, false);
	logsink_drain();
}
