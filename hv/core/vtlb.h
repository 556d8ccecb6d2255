/*
 * A virtual TLB, for CPUs whose nested walker accesses guest page tables as if it wrote them (AMD-V; APM
 * vol. 2, 15.25.5). Shared between nodes, every page table would have one owner then, and two nodes in the
 * same kernel would take its page directory from each other at every TLB miss.
 *
 * The CPU walks copies instead, which lie beyond guest RAM: of all tables above the last level, and of those
 * of the last level that this node may not write. What it may write it walks itself. A copy takes from
 * the guest's table only what the walker would have no bit to set in: entries with A, writable where D is set
 * too. All else faults, and is walked in software, which sets the bits as a write of this node.
 *
 * Why that is right: a copied entry is a cached translation, as any TLB may hold (SDM vol. 3, 4.10; APM
 * vol. 2, 5.5). It was read from the guest's table, with the right to read that page, at some moment since
 * the guest last dropped translations; it goes when the guest drops it, by INVLPG or with all others, or
 * when its use faults. INVLPG also drops whatever is cached of tables that lead to others, so each link
 * between copies is compared with the guest's entry then, and goes if that has changed.
 *
 * Left out: copies of all tables (a shadow page table). It needs no look at who may write, but private page
 * tables, which are most, would fault once per page and process switch. Also left out: telling the walker's
 * writes from the guest's by page and giving each node its own page-table page: nested paging has no right
 * that only the walker has, and a guest's store would go unseen.
 *
 * All calls are made on the vCPU's own CPU, with nothing acquired; they may wait for pages.
 */
#ifndef HV_CORE_VTLB_H
#define HV_CORE_VTLB_H

#include "hv/cpu/cpu_words.h"
#include "hv/core/vm.h"

/* Takes from the features that the guest may see those of translations with tags, which these have not. */
void vtlb_features(uint32_t words[CPU_WORDS]);

/* Makes v->vtlb; on a machine or a CPU that needs none, it stays NULL. */
int vtlb_create(struct vcpu *v, struct why *why) MUST_CHECK;

/* The guest has dropped its translations, by CR3 or whatever else does it: what it has now counts. */
void vtlb_load(struct vcpu *v);
/* INVLPG. The linear address need not be mapped, nor a virtual TLB be there. */
void vtlb_invlpg(struct vcpu *v, gva_t gva);
/* A #PF left the guest: it was the copies' alone, or the guest gets it. `code` is its error code. */
void vtlb_page_fault(struct vcpu *v, gva_t gva, uint32_t code);
/* The walker could not write the guest's table at `gpa`; false when it did not find it by a copy. */
bool vtlb_walk_fault(struct vcpu *v, gpa_t gpa);

struct report;
void vtlb_report(struct report *r, const struct vcpu *v);

#endif
