/*
 * The VMX instructions. Success and failure come back in the flags: CF set means there is no current
 * VMCS to say more (VMfailInvalid), ZF set that the VM-instruction error field does (VMfailValid).
 * SDM vol. 3, 31.2
 */
#ifndef HV_VMX_VMX_INSN_H
#define HV_VMX_VMX_INSN_H

#include "hv/base/types.h"
#include "hv/base/compiler.h"
#include "hv/vmx/vmcs_fields.h"

enum vmx_status { VMX_OK = 0, VMX_FAIL_INVALID = 1, VMX_FAIL_VALID = 2 };

/* What "VM-instruction error" numbers mean, as a clause; never NULL. SDM vol. 3, 31.4 */
const char *vmx_insn_error_text(uint32_t number);

/* A VMREAD or VMWRITE failed: our own mistake, or no VMCS is current. */
COLD NORETURN void vmx_field_broken(const char *insn, uint64_t field);

static inline enum vmx_status vmx_on(hpa_t region)
{
	bool cf, zf;

	__asm__ volatile("vmxon %2" : "=@ccc"(cf), "=@ccz"(zf) : "m"(region) : "memory");
	return cf ? VMX_FAIL_INVALID : zf ? VMX_FAIL_VALID : VMX_OK;
}

static inline void vmx_off(void)
{
	__asm__ volatile("vmxoff" ::: "cc", "memory");
}

static inline enum vmx_status vmx_clear(hpa_t vmcs)
{
	bool cf, zf;

	__asm__ volatile("vmclear %2" : "=@ccc"(cf), "=@ccz"(zf) : "m"(vmcs) : "memory");
	return cf ? VMX_FAIL_INVALID : zf ? VMX_FAIL_VALID : VMX_OK;
}

static inline enum vmx_status vmx_ptrld(hpa_t vmcs)
{
	bool cf, zf;

	__asm__ volatile("vmptrld %2" : "=@ccc"(cf), "=@ccz"(zf) : "m"(vmcs) : "memory");
	return cf ? VMX_FAIL_INVALID : zf ? VMX_FAIL_VALID : VMX_OK;
}

static inline uint64_t vmx_read_field(uint64_t field)
{
	uint64_t value;
	bool failed;

	__asm__ volatile("vmread %2, %0" : "=r"(value), "=@ccbe"(failed) : "r"(field) : "memory");
	if (UNLIKELY(failed))
		vmx_field_broken("VMREAD", field);
	return value;
}

static inline void vmx_write_field(uint64_t field, uint64_t value)
{
	bool failed;

	__asm__ volatile("vmwrite %2, %1" : "=@ccbe"(failed) : "r"(field), "rm"(value) : "memory");
	if (UNLIKELY(failed))
		vmx_field_broken("VMWRITE", field);
}

/* One pair per width class, so that a field's value is never cut by mistake. */
static inline uint16_t vmread16(enum vmcs_field16 f)
{
	return (uint16_t)vmx_read_field(f);
}

static inline uint32_t vmread32(enum vmcs_field32 f)
{
	return (uint32_t)vmx_read_field(f);
}

static inline uint64_t vmread64(enum vmcs_field64 f)
{
	return vmx_read_field(f);
}

static inline uint64_t vmreadn(enum vmcs_field_natural f)
{
	return vmx_read_field(f);
}

static inline void vmwrite16(enum vmcs_field16 f, uint16_t v)
{
	vmx_write_field(f, v);
}

static inline void vmwrite32(enum vmcs_field32 f, uint32_t v)
{
	vmx_write_field(f, v);
}

static inline void vmwrite64(enum vmcs_field64 f, uint64_t v)
{
	vmx_write_field(f, v);
}

static inline void vmwriten(enum vmcs_field_natural f, uint64_t v)
{
	vmx_write_field(f, v);
}

/* SDM vol. 3, 29.4.3 and "INVEPT", "INVVPID" in chapter 31 */
struct vmx_inv_descriptor {
	uint64_t first;  /* INVEPT: the EPT pointer; INVVPID: the VPID */
	uint64_t second; /* INVVPID: the linear address */
};

enum vmx_inv_type { VMX_INV_ONE = 1, VMX_INV_ALL = 2 };

static inline bool vmx_invept(enum vmx_inv_type type, uint64_t eptp)
{
	struct vmx_inv_descriptor d = {eptp, 0};
	bool failed;

	__asm__ volatile("invept %1, %2"
			 : "=@ccbe"(failed)
			 : "m"(d), "r"((uint64_t)type)
			 : "memory");
	return !failed;
}

static inline bool vmx_invvpid(enum vmx_inv_type type, uint16_t vpid)
{
	struct vmx_inv_descriptor d = {vpid, 0};
	bool failed;

	__asm__ volatile("invvpid %1, %2"
			 : "=@ccbe"(failed)
			 : "m"(d), "r"((uint64_t)type)
			 : "memory");
	return !failed;
}

#endif
