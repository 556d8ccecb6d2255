#include "hv/insn/emulate.h"
#include "hv/base/fmt.h"
#include "hv/base/log.h"
#include "hv/base/string.h"
#include "hv/insn/emulate_insn.h"
#include "hv/x86/msr.h"

/* Times in a row that what is found at one place may be none of what left the guest. */
#define CHANGED_MAX 16u

/* The decoder for the vCPU's present mode (SDM vol. 3, 3.4.5: CS.L and CS.D). */
static ZyanStatus decode(struct emu *e, const struct virt_seg *cs)
{
	ZydisDecoder d;
	bool real = !(e->mode.cr0 & CR0_PE) || e->rflags & RFLAGS_VM;
	ZydisMachineMode mode = e->long_mode ? ZYDIS_MACHINE_MODE_LONG_64
				: cs->db     ? ZYDIS_MACHINE_MODE_LEGACY_32
				: real       ? ZYDIS_MACHINE_MODE_REAL_16
					     : ZYDIS_MACHINE_MODE_LEGACY_16;
	struct virt_seg ss;

	e->v->vm->ops->seg_get(&e->v->virt, SEG_SS, &ss);

	ZydisStackWidth stack = e->long_mode ? ZYDIS_STACK_WIDTH_64
				: ss.db      ? ZYDIS_STACK_WIDTH_32
					     : ZYDIS_STACK_WIDTH_16;
	ZydisDecoderContext context;
	ZyanStatus status = ZydisDecoderInit(&d, mode, stack);

	if (ZYAN_SUCCESS(status))
		status = ZydisDecoderDecodeInstruction(&d, &context, e->bytes, e->got, &e->insn);
	if (!ZYAN_SUCCESS(status))
		return status;
	return ZydisDecoderDecodeOperands(&d, &context, &e->insn, e->op, e->insn.operand_count);
}

static void inject(struct emu *e, uint8_t vector, uint32_t code)
{
	const struct virt_event event = {EVENT_EXCEPTION, vector, vector != VECTOR_UD, code};

	e->v->vm->ops->inject(&e->v->virt, &event);
}

static void inject_fault(struct emu *e)
{
	if (e->fault.vector == VECTOR_PF)
		e->v->virt.cr2 = e->fault_address;
	e->v->vm->ops->inject(&e->v->virt, &e->fault);
}

/* One that the guest's kernel ran ends its machine with a sentence, one of a program's the program. */
static void refuse(struct emu *e)
{
	char hex[48];
	size_t n = 0;

	for (unsigned i = 0; i < MIN(e->got, 8u); i++)
		n += fmt_print(hex + n, sizeof(hex) - n, "%02x ", e->bytes[i]);
	if (!e->mode.user) {
		vm_fail(e->v->vm,
			"vCPU %u used an instruction on device memory or ports "
			"that is not emulated (at %#llx, bytes %s); device memory takes MOV, ALU, "
			"shift, bit, exchange, stack and string instructions",
			e->v->index, (unsigned long long)e->rip, hex);
		return;
	}
	if (!e->v->refused++)
		log_warn(LOG_VCPU,
			 "a program on vCPU %u used an instruction on device memory that is not "
			 "emulated (at %#llx, bytes %s); it gets #UD, and so do others of the kind",
			 e->v->index, (unsigned long long)e->rip, hex);
	inject(e, VECTOR_UD, 0);
}

/*
 * The bytes are fetched anew after the exit, and another CPU may have changed them in between: a kernel that
 * patches its code, or a thread that is up to something. What they are now may be none that this kind of exit
 * comes from, and none that the CPU has checked. Then nothing is done: the CPU itself runs what is there now,
 * with its own checks, and exits for what that is. Should it go on so at one place, then the decoder does not
 * see what the CPU sees.
 */
static bool changed(struct emu *e)
{
	struct vcpu *v = e->v;

	if (v->changed_rip != e->rip)
		v->changed = 0;
	v->changed_rip = e->rip;
	return v->changed++ < CHANGED_MAX;
}

/* Why there was nothing to decode: the fault of the fetch, or what a CPU makes of such bytes. */
static void bad_bytes(struct emu *e, ZyanStatus status)
{
	if (status == ZYDIS_STATUS_NO_MORE_DATA && e->got < sizeof(e->bytes))
		inject_fault(e);
	else if (status == ZYDIS_STATUS_NO_MORE_DATA || status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG)
		inject(e, VECTOR_GP, 0);
	else
		inject(e, VECTOR_UD, 0);
}

/*
 * Reads the vCPU's mode and decodes what it is at; false when that came to nothing, and was dealt with.
 * Of `e`, which is large, only what belongs to this instruction is filled in.
 */
static bool begin(struct emu *e, struct vcpu *v)
{
	const struct virt_ops *ops = v->vm->ops;
	struct virt_seg cs;
	ZyanStatus status;
	int err;

	e->v = v;
	walk_mode_read(v, &e->mode);
	ops->seg_get(&v->virt, SEG_CS, &cs);
	e->long_mode = e->mode.efer & EFER_LMA && cs.l;
	e->rip = ops->reg_get(&v->virt, REG_RIP);
	e->rflags = ops->reg_get(&v->virt, REG_RFLAGS);
	err = emu_fetch(e);
	if (err == ERR_INVALID)
		inject_fault(e);
	if (err)
		return false;
	status = decode(e, &cs);
	if (!ZYAN_SUCCESS(status))
		bad_bytes(e, status);
	return ZYAN_SUCCESS(status);
}

static void run(struct emu *e, const struct emu_row *row)
{
	struct vcpu *v = e->v;
	const struct virt_ops *ops = v->vm->ops;
	uint64_t flags = e->rflags;
	int err = row->run(e, row->arg);

	v->changed = 0;
	if (err == ERR_BUSY)
		return;
	if (err == ERR_INVALID) {
		inject_fault(e);
		return;
	}
	if (e->rflags != flags)
		ops->reg_set(&v->virt, REG_RFLAGS, e->rflags);
	if (err == 0)
		ops->skip(&v->virt, e->insn.length);
	else if (flags & RFLAGS_TF)
		ops->skip(&v->virt, 0); /* the step is over, RIP stays */
}

void emulate(struct vcpu *v, const struct vm_exit *exit)
{
	struct emu e;
	const struct emu_row *row;

	if (!begin(&e, v))
		return;
	row = emu_row_for(&e, exit);
	if (row)
		run(&e, row);
	else if (emu_may_cause(&e, exit) || !changed(&e))
		refuse(&e);
}

// clang-format off
static const ZydisMnemonic reasons[VM_EXIT_KINDS][3] = {
	[VM_EXIT_CPUID]     = {ZYDIS_MNEMONIC_CPUID},
	[VM_EXIT_HLT]       = {ZYDIS_MNEMONIC_HLT},
	[VM_EXIT_PAUSE]     = {ZYDIS_MNEMONIC_PAUSE},
	[VM_EXIT_MSR_READ]  = {ZYDIS_MNEMONIC_RDMSR},
	[VM_EXIT_MSR_WRITE] = {ZYDIS_MNEMONIC_WRMSR},
	[VM_EXIT_XSETBV]    = {ZYDIS_MNEMONIC_XSETBV},
	[VM_EXIT_HYPERCALL] = {ZYDIS_MNEMONIC_VMMCALL, ZYDIS_MNEMONIC_VMCALL},
	[VM_EXIT_CACHE]     = {ZYDIS_MNEMONIC_WBINVD, ZYDIS_MNEMONIC_INVD},
};
// clang-format on

unsigned emulate_insn_length(struct vcpu *v, enum vm_exit_kind kind)
{
	const ZydisMnemonic *reason = reasons[kind];
	struct emu e;

	if (!begin(&e, v))
		return 0;
	for (unsigned i = 0; i < ARRAY_LEN(reasons[0]); i++)
		if (reason[i] && reason[i] == e.insn.mnemonic) {
			v->changed = 0;
			return e.insn.length;
		}
	if (!changed(&e))
		inject(&e, VECTOR_UD, 0);
	return 0;
}
