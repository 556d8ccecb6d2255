/*
 * Whose translations a CPU may still have, where they are tagged with an ASID, the nested ones too (APM
 * vol. 2, 15.25.7), and a CPU drops those of one ASID at the entry of a guest that has it. With several vCPUs
 * that take turns on a CPU, dropping what it has of the nested table takes an entry of each of them: what
 * this keeps count of. It also lets vCPUs share an ASID where there are few, and come back to a CPU on which
 * they have been before they went to another.
 */
#ifndef HV_VIRT_ASID_H
#define HV_VIRT_ASID_H

#include "hv/base/types.h"

/* As many as are used at most; few CPUs have fewer. */
#define ASIDS_MAX 64u

/* Of a CPU. */
struct asids {
	uint64_t drops; /* times that all translations were to be dropped */
	const struct asid_use *owner[ASIDS_MAX];
};

/* Of a vCPU: which ASID it has, and with whom it was last, after how many drops. */
struct asid_use {
	uint32_t asid;
	const struct asids *on;
	uint64_t drops;
};

/* The ASID of the node's vCPU `number`, from 1, on a CPU that has `asids`, 0 included. */
uint32_t asid_of(uint32_t number, uint32_t asids);

/* The vCPU is loaded on the CPU. True: its next entry has to drop the ASID's translations. */
bool asid_load(struct asids *cpu, struct asid_use *use);

/* All translations of the CPU are to be dropped; the loaded vCPU's next entry does its own. */
void asid_drop(struct asids *cpu, struct asid_use *loaded);

#endif
