/*
 * A VMCS in an array, for host builds of hv/vmx: taken in before anything else (tests/tests.mk), this
 * stands in for hv/vmx/vmx_insn.h, whose instructions only a hypervisor has.
 */
#ifndef HV_VMX_VMX_INSN_H
#define HV_VMX_VMX_INSN_H

#include "hv/base/compiler.h"
#include "hv/base/types.h"
#include "hv/vmx/vmcs_fields.h"

#define FAKE_VMCS_FIELDS 0x7000u

/* By the field's encoding; the program has it. */
extern uint64_t fake_vmcs[FAKE_VMCS_FIELDS];

/* How often translations were dropped: by VPID, by nested table. */
extern unsigned fake_invvpids, fake_invepts;

#define FAKE_FIELD(name, type, fields)                                      \
	static inline type vmread##name(enum vmcs_field##fields f)          \
	{                                                                   \
		return (type)fake_vmcs[f];                                  \
	}                                                                   \
	static inline void vmwrite##name(enum vmcs_field##fields f, type v) \
	{                                                                   \
		fake_vmcs[f] = v;                                           \
	}

FAKE_FIELD(16, uint16_t, 16)
FAKE_FIELD(32, uint32_t, 32)
FAKE_FIELD(64, uint64_t, 64)
FAKE_FIELD(n, uint64_t, _natural)

enum vmx_inv_type { VMX_INV_ONE = 1, VMX_INV_ALL = 2 };

static inline bool vmx_invept(enum vmx_inv_type type, uint64_t eptp)
{
	fake_invepts++;
	return true;
}

static inline bool vmx_invvpid(enum vmx_inv_type type, uint16_t vpid)
{
	fake_invvpids++;
	return true;
}

#endif
