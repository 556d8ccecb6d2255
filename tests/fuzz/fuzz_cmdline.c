/*
 * The hypervisor's command line, the log levels in it, and amalgam.cfg: any bytes give a result or a
 * sentence.
 */
#include <stdlib.h>
#include <string.h>

#include "boot/config.h"
#include "hv/base/cmdline.h"
#include "hv/base/bits.h"
#include "hv/base/log.h"
#include "hv/core/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool ok)
{
	if (!ok)
		abort();
}

/* An error always comes with a sentence that fits. */
static void check_why(const struct why *why)
{
	need(why->text[0] && memchr(why->text, '\0', sizeof(why->text)));
}

static void options(const char *line)
{
	struct options o;
	struct why why = {""};

	if (options_parse(line, &o, &why)) {
		check_why(&why);
		return;
	}
	need(!o.mem || (o.mem >= MIB(2) && o.mem <= GIB(1024)));
	need(o.cpus <= 64 && o.on_reset <= ON_RESET_STOP && o.on_off <= ON_OFF_REBOOT);
	need(memchr(o.append, '\0', sizeof(o.append)) != NULL);
	if (log_configure(o.log, &why))
		check_why(&why);
}

static void config(const char *text, uint32_t size)
{
	static struct config c;
	char why[CONFIG_WHY] = "";

	if (config_parse(text, size, &c, why)) {
		need(why[0] && memchr(why, '\0', sizeof(why)));
		return;
	}
	need(c.file_count <= HANDOFF_FILES);
	for (uint32_t i = 0; i < c.file_count; i++)
		need(c.files[i].name[0] && memchr(c.files[i].name, '\0', HANDOFF_NAME) &&
		     memchr(c.files[i].args, '\0', HANDOFF_ARGS));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1);

	memcpy(copy, data, size);
	copy[size] = '\0';
	options(copy);
	/* Not terminated for this one: the file's end is its size. */
	copy = realloc(copy, size ? size : 1);
	config(copy, (uint32_t)size);
	free(copy);
	return 0;
}
