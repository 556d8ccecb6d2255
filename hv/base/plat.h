/*
 * The platform under the portable code: one implementation per image, resolved at link time. The
 * hypervisor's is in hv/x86/plat_x86.c and in hv/core/memory.c, the host programs' in tests/host/plat.c.
 */
#ifndef HV_BASE_PLAT_H
#define HV_BASE_PLAT_H

#include "hv/base/compiler.h"

/* Prints the sentence, where it happened and what is known of the node's state, and never returns. */
NORETURN void plat_panic(const char *fmt, ...) PRINTF(1, 2);

/*
 * For the log's line prefix and the lock's owner, so these neither log nor lock; and for nothing else:
 * protocol and device code gets its time and its CPU as arguments, so that a test can replay it.
 */
uint64_t plat_log_ns(void); /* ns since boot */
unsigned plat_cpu(void);    /* 0-based index of the CPU within its node */

/* What the calling CPU holds, a bit for each rank; for hv/base/spinlock.h alone. */
uint32_t *plat_ranks(void);

/* The hint for a spinning loop (PAUSE). */
void plat_relax(void);

/*
 * Guest memory, for everything but the guest itself: device models, loaders, emulated instructions.
 * Acquires [gpa, gpa + len), which must not cross a 4 KiB page, for reading or for writing, waiting
 * as a page fault would until this node may do so. Returns a pointer good until the release, or NULL
 * where the guest has no RAM, and then there is nothing to release. Other nodes wait for the page
 * meanwhile: a CPU has at most one at a time, takes no lock that is waited for with it in hand (its rank
 * is RANK_GUEST_PAGE of hv/base/spinlock.h), and releases it with what it was acquired with.
 */
void *plat_gmem_acquire(gpa_t gpa, uint32_t len, bool write) MUST_CHECK;
void plat_gmem_release(gpa_t gpa, uint32_t len, bool write);

#endif
