/* The hypervisor's command line. One table in options.c says every name, kind and default. */
#ifndef HV_CORE_OPTIONS_H
#define HV_CORE_OPTIONS_H

#include "hv/base/err.h"

enum on_reset { ON_RESET_BOOT, ON_RESET_STOP };
enum on_off { ON_OFF_HALT, ON_OFF_POWEROFF, ON_OFF_REBOOT };
enum ticks { TICKS_LATE, TICKS_ALL };
enum apic_hw { APIC_HW_AUTO, APIC_HW_OFF };

/* What begins the name of a disk that is not a boot file. */
#define DISK_AOE "aoe:"

struct options {
	char serial[16];   /* where the log goes: off, com1 ... or a port */
	char console[16];  /* where the guest's COM1 goes */
	char vconsole[16]; /* where the guest's virtio console goes */
	char log[160];     /* log_configure text */
	char guest[64];    /* name of the boot file that is the guest; empty: the first */
	char initrd[64];   /* name of the boot file that is its initrd; empty: the second */
	char disk[64];     /* the guest's: a boot file's name, or aoe:SHELF.SLOT; empty: no disk */
	char append[448];  /* guest command line; empty: what came with the boot file */
	char test_panic[16];
	char cluster[32];    /* its name */
	char head[18];       /* MAC of the node that shall be head; empty: not named */
	char syslog[16];     /* address of a syslog server; empty: none */
	uint64_t mem;        /* guest RAM in bytes; 0: what the node can give */
	uint64_t nodes;      /* of the cluster */
	uint64_t cpus;       /* vCPUs; 0: one per CPU */
	uint64_t mtu;        /* of the cluster's network */
	uint64_t lost_after; /* ms of silence after which a node counts as lost */
	/* messages of the wire's self-test, which runs instead of a guest; 0: none */
	uint64_t test_wire;
	uint64_t test_image; /* every so many exits a vCPU goes through its image; 0: never */
	unsigned on_reset;   /* enum on_reset */
	unsigned on_off;     /* enum on_off: what the node does after the guest has gone */
	unsigned apic_hw;    /* enum apic_hw: use the hardware's APIC virtualization? */
	unsigned ticks;      /* enum ticks: may those of sleeping vCPUs be late? */
	bool net;            /* a network card for the guest */
	bool net_aoe;        /* it may speak ATA over Ethernet */
	bool debug_exit;     /* port 0xf4 ends the machine */
	bool large_pages;
	bool trust_tsc; /* take the TSC for invariant though the CPU does not say so */
};

/* Fills in the defaults, then what the line says. */
int options_parse(const char *line, struct options *out, struct why *why) MUST_CHECK;

#endif
