#include "hv/virt/asid.h"

#include "hv/base/bits.h"

uint32_t asid_of(uint32_t number, uint32_t asids)
{
	return 1 + (number - 1) % (MIN(asids, ASIDS_MAX) - 1);
}

bool asid_load(struct asids *cpu, struct asid_use *use)
{
	const struct asid_use **owner = &cpu->owner[use->asid];
	bool stale = *owner != use || use->on != cpu || use->drops != cpu->drops;

	*owner = use;
	use->on = cpu;
	use->drops = cpu->drops;
	return stale;
}

void asid_drop(struct asids *cpu, struct asid_use *loaded)
{
	cpu->drops++;
	loaded->drops = cpu->drops;
}
