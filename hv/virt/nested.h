/*
 * The nested page table as a tree, the same for both vendors: four levels of 512 entries, 2 MiB pages
 * at level 2. What an entry looks like is the vendor's `struct nested_format`.
 */
#ifndef HV_VIRT_NESTED_H
#define HV_VIRT_NESTED_H

#include "hv/base/spinlock.h"
#include "hv/virt/virt.h"

/* Bit 7 makes an entry of level 2 a page, and bits 51:12 are the address, in EPT and in NPT. */
#define NESTED_LARGE   (1ull << 7)
#define NESTED_ADDRESS 0x000ffffffffff000ull
#define NESTED_LEVELS  4u

/* What is mapped stays one of the guest's 48 address bits. */
#define NESTED_LIMIT (1ull << 48)

struct nested_format {
	uint64_t present; /* any of these bits: there is something */
	uint64_t table;   /* of an entry that names a table: all rights, the leaves decide */
	/* A leaf without its address and size; `perm` is not NPT_NONE. */
	uint64_t (*leaf)(enum npt_perm perm);
	enum npt_perm (*perm)(uint64_t entry);
};

struct npt {
	const struct nested_format *format;
	hpa_t root;
	hpa_t apic_page; /* the one whose accesses APIC virtualization watches; PMEM_NONE: none */
	struct spinlock lock;
};

struct npt *nested_create(const struct nested_format *format, struct why *why);

/* As virt_ops.npt_map; that the CPU can do what is asked for is the caller's to know. */
int nested_map(struct npt *npt, gpa_t gpa, hpa_t hpa, unsigned order, enum npt_perm perm);
enum npt_perm nested_query(struct npt *npt, gpa_t gpa, hpa_t *hpa);

#endif
