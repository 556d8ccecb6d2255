#include "hv/base/spinlock.h"
#include "hv/base/bits.h"

static const char *rank_name(unsigned rank)
{
	static const char *const names[RANKS] = {
		[RANK_NONE] = "a lock without a rank",
		[RANK_PC] = "the PC's lock",
		[RANK_MEMORY] = "the guest memory's lock",
		[RANK_LINK] = "the link's lock",
		[RANK_NPT] = "the nested page table's lock",
		[RANK_PAGING] = "the lock of the node's page tables",
		[RANK_PMEM] = "the page allocator's lock",
		[RANK_GUEST_PAGE] = "a page of guest memory",
		[RANK_STOP] = "the lock of the reason to stop",
		[RANK_LOG] = "the log's lock",
	};

	return rank < RANKS ? names[rank] : "a lock of no known rank";
}

void rank_broken(unsigned rank, uint32_t held)
{
	if (!held)
		plat_panic("%s was to be taken", rank_name(rank));
	plat_panic("%s was to be taken on a CPU that holds %s", rank_name(rank),
		   rank_name(bit_highest(held)));
}
