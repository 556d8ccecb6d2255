#include "hv/vmx/vmx_insn.h"

#include "hv/base/plat.h"

/* SDM vol. 3, table 31-1; gaps in the numbering are the manual's. */
static const char *const error_texts[] = {
	[1] = "VMCALL was executed outside a guest",
	[2] = "VMCLEAR got an invalid physical address",
	[3] = "VMCLEAR got the VMXON region",
	[4] = "VMLAUNCH was executed on a VMCS that is not clear",
	[5] = "VMRESUME was executed on a VMCS that was never launched",
	[6] = "VMRESUME was executed after VMX operation was left and entered again",
	[7] = "a control field is invalid",
	[8] = "a host-state field is invalid",
	[9] = "VMPTRLD got an invalid physical address",
	[10] = "VMPTRLD got the VMXON region",
	[11] = "VMPTRLD found a VMCS of another revision",
	[12] = "VMREAD or VMWRITE named a field this CPU does not have",
	[13] = "VMWRITE named a read-only field",
	[15] = "VMXON was executed in VMX operation",
	[16] = "the executive-VMCS pointer is invalid",
	[17] = "the executive VMCS was never launched",
	[18] = "the executive-VMCS pointer is not the VMXON pointer",
	[19] = "VMCALL was executed on a VMCS that is not clear",
	[20] = "VMCALL found invalid VM-exit controls",
	[22] = "VMCALL found another MSEG revision",
	[23] = "VMXOFF was executed under dual-monitor treatment of SMM",
	[24] = "VMCALL found invalid SMM-monitor features",
	[25] = "the executive VMCS has invalid execution controls",
	[26] = "the entry was tried while MOV SS blocked events",
	[28] = "INVEPT or INVVPID got an invalid operand",
};

const char *vmx_insn_error_text(uint32_t number)
{
	if (number >= ARRAY_LEN(error_texts) || !error_texts[number])
		return "an error the manual does not list";
	return error_texts[number];
}

void vmx_field_broken(const char *insn, uint64_t field)
{
	plat_panic("%s of VMCS field %#llx failed: the CPU has no such field, "
		   "or no VMCS is current",
		   insn, (unsigned long long)field);
}
