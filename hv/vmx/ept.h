/* Extended page tables: what a guest-physical address means on this node. SDM vol. 3, 29.3 */
#ifndef HV_VMX_EPT_H
#define HV_VMX_EPT_H

#include "hv/virt/virt.h"

struct npt *ept_create(struct why *why);
int ept_map(struct npt *npt, gpa_t gpa, hpa_t hpa, unsigned order, enum npt_perm perm);
int ept_map_apic(struct npt *npt, gpa_t gpa);
void ept_flush(struct npt *npt);

/* For the VMCS: the EPT pointer, and the page whose accesses APIC virtualization watches. */
uint64_t ept_pointer(const struct npt *npt);
hpa_t ept_apic_access_page(const struct npt *npt);

#endif
