#include "hv/core/options.h"
#include "hv/base/bits.h"
#include "hv/base/cmdline.h"
#include "hv/base/string.h"

static const char *const on_reset_names[] = {"boot", "stop", NULL};
static const char *const on_off_names[] = {"halt", "poweroff", "reboot", NULL};
static const char *const ticks_names[] = {"late", "all", NULL};
static const char *const apic_hw_names[] = {"auto", "off", NULL};

int options_parse(const char *line, struct options *o, struct why *why)
{
	// clang-format off
	const struct opt table[] = {
		{"serial",      OPT_TEXT,   o->serial,       0, sizeof(o->serial),     NULL, "off, com1 to com4, or a port as 0x3f8"},
		{"console",     OPT_TEXT,   o->console,      0, sizeof(o->console),    NULL, "off, com1 to com4, or a port as 0x2f8"},
		{"vconsole",    OPT_TEXT,   o->vconsole,     0, sizeof(o->vconsole),   NULL, "off, com1 to com4, or a port as 0x2f8"},
		{"log",         OPT_TEXT,   o->log,          0, sizeof(o->log),        NULL, "levels such as debug or apic=debug,dev=warn"},
		{"guest",       OPT_TEXT,   o->guest,        0, sizeof(o->guest),      NULL, "the name of a boot file, at most 63 bytes"},
		{"initrd",      OPT_TEXT,   o->initrd,       0, sizeof(o->initrd),     NULL, "the name of a boot file, at most 63 bytes"},
		{"disk",        OPT_TEXT,   o->disk,         0, sizeof(o->disk),       NULL, "the name of a boot file, at most 63 bytes, or aoe:SHELF.SLOT"},
		{"append",      OPT_TEXT,   o->append,       0, sizeof(o->append),     NULL, "the guest's command line, at most 447 bytes"},
		{"mem",         OPT_SIZE,   &o->mem,         MIB(2), GIB(1024),        NULL, "the guest's memory, 2M to 1024G"},
		{"nodes",       OPT_NUMBER, &o->nodes,       1, 32,                    NULL, "the number of nodes, 1 to 32"},
		{"cluster",     OPT_TEXT,   o->cluster,      0, sizeof(o->cluster),    NULL, "the cluster's name, at most 31 bytes"},
		{"head",        OPT_TEXT,   o->head,         0, sizeof(o->head),       NULL, "the MAC address of the head, as 52:54:00:12:34:56"},
		{"mtu",         OPT_NUMBER, &o->mtu,         1500, 4400,               NULL, "bytes a frame carries, 1500 to 4400"},
		{"lost-after",  OPT_NUMBER, &o->lost_after,  300, 600000,              NULL, "ms of silence, 300 to 600000"},
		{"trust-tsc",   OPT_FLAG,   &o->trust_tsc,   0, 0,                     NULL, "on or off"},
		{"syslog",      OPT_TEXT,   o->syslog,       0, sizeof(o->syslog),     NULL, "an address, as 192.0.2.1"},
		{"test-wire",   OPT_NUMBER, &o->test_wire,   0, 100000000,             NULL, "messages each way, 0 to 100000000"},
		{"net",         OPT_FLAG,   &o->net,         0, 0,                     NULL, "on or off"},
		{"net-aoe",     OPT_FLAG,   &o->net_aoe,     0, 0,                     NULL, "on or off"},
		{"cpus",        OPT_NUMBER, &o->cpus,        1, 64,                    NULL, "the number of vCPUs, 1 to 64"},
		{"on-reset",    OPT_CHOICE, &o->on_reset,    0, 0, on_reset_names,           "boot or stop"},
		{"on-off",      OPT_CHOICE, &o->on_off,      0, 0, on_off_names,             "halt, poweroff or reboot"},
		{"apic",        OPT_CHOICE, &o->apic_hw,     0, 0, apic_hw_names,            "auto or off"},
		{"ticks",       OPT_CHOICE, &o->ticks,       0, 0, ticks_names,              "late or all"},
		{"debug-exit",  OPT_FLAG,   &o->debug_exit,  0, 0,                     NULL, "on or off"},
		{"large-pages", OPT_FLAG,   &o->large_pages, 0, 0,                     NULL, "on or off"},
		{"test-image",  OPT_NUMBER, &o->test_image,  0, 100000000,             NULL, "once in so many exits, 0 to 100000000"},
		{"test-panic",  OPT_TEXT,   o->test_panic,   0, sizeof(o->test_panic), NULL, "page, stack, div, assert, nmi or smash"},
	};
	// clang-format on

	memset(o, 0, sizeof(*o));
	str_copy(o->serial, "com1", sizeof(o->serial));
	str_copy(o->console, "com1", sizeof(o->console));
	str_copy(o->vconsole, "off", sizeof(o->vconsole));
	str_copy(o->cluster, "amalgam", sizeof(o->cluster));
	o->nodes = 1;
	o->mtu = 1500;
	o->lost_after = 1000;
	o->large_pages = true;
	return cmdline_parse(line, table, ARRAY_LEN(table), why);
}
