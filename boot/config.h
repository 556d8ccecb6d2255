/* amalgam.cfg: which files come with the boot, and the hypervisor's options. Format in docs/boot.md. */
#ifndef BOOT_CONFIG_H
#define BOOT_CONFIG_H

#include "boot/handoff.h"

#define CONFIG_WHY 160

/* Every `file` line, in order; name and args as handoff_file has them. */
struct config {
	char options[HANDOFF_CMDLINE];
	uint32_t file_count;
	struct {
		char name[HANDOFF_NAME];
		char args[HANDOFF_ARGS];
	} files[HANDOFF_FILES];
};

/*
 * Parses `size` bytes. 0, or -1 with a sentence that names line and word in `why`. Several `options` lines
 * are joined by blanks.
 */
int config_parse(const char *text, uint32_t size, struct config *out, char why[CONFIG_WHY]);

#endif
