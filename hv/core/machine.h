/*
 * The machine's life on this node: created once, then booted, run, and booted again for as long as the
 * guest asks for a reset.
 */
#ifndef HV_CORE_MACHINE_H
#define HV_CORE_MACHINE_H

#include "hv/core/vm.h"

/* A file that came with the boot: the guest's kernel, its initrd, a module. Not owned. */
struct boot_file {
	const char *name;
	const char *args;
	uint8_t *data; /* written to only where it is the guest's disk */
	size_t size;
};

struct machine_config {
	const struct virt_ops *ops;
	const struct options *options;
	struct uplink *uplink; /* NULL: a node by itself that has no use for its card */
	const struct boot_file *files;
	unsigned file_count;
	int64_t wall_clock; /* Unix time now, seconds */
};

/*
 * Prepares the machine on CPU 0: memory size, vCPU count, guest image chosen. Nothing runs yet. Fails
 * with a sentence when there is no guest image, or too little RAM.
 */
int machine_create(const struct machine_config *config, unsigned cpu_count,
		   struct why *why) MUST_CHECK;

/*
 * Every CPU of the node calls this; it returns when the machine is gone for good: the guest powered off,
 * or failed. A CPU beyond the vCPU count returns at once.
 */
void machine_run_cpu(void);

/* Counters of the finished machine, to the log. */
void machine_report(void);
/*
 * The same of the machine as it runs, but for the wire's, as text of at most `size` bytes; returns how many.
 */
size_t machine_status(char *buf, size_t size);

/* Did the machine end as the guest wanted (power off, debug exit), and not by a failure? */
bool machine_ended_well(void);

#endif
