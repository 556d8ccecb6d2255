/* The guest's state in words, for the log when a vCPU can't go on. */
#include "hv/base/log.h"
#include "hv/svm/svm_vcpu.h"

#define LINE(...) log_error(LOG_VIRT, __VA_ARGS__)
#define X(v)      ((unsigned long long)(v))

static void dump_registers(const struct virt_vcpu *v, const struct svm_vcpu *x)
{
	const struct vmcb_save *s = &x->vmcb->save;
	const uint64_t *r = v->gpr;

	LINE("rax %016llx rbx %016llx rcx %016llx rdx %016llx", X(r[GPR_RAX]), X(r[GPR_RBX]),
	     X(r[GPR_RCX]), X(r[GPR_RDX]));
	LINE("rsi %016llx rdi %016llx rbp %016llx rsp %016llx", X(r[GPR_RSI]), X(r[GPR_RDI]),
	     X(r[GPR_RBP]), X(s->rsp));
	LINE("r8  %016llx r9  %016llx r10 %016llx r11 %016llx", X(r[GPR_R8]), X(r[GPR_R9]),
	     X(r[GPR_R10]), X(r[GPR_R11]));
	LINE("r12 %016llx r13 %016llx r14 %016llx r15 %016llx", X(r[GPR_R12]), X(r[GPR_R13]),
	     X(r[GPR_R14]), X(r[GPR_R15]));
	LINE("rip %016llx rflags %08llx cr2 %016llx dr6 %08llx dr7 %08llx cpl %u", X(s->rip),
	     X(s->rflags), X(v->cr2), X(s->dr6), X(s->dr7), s->cpl);
	LINE("cr0 %08llx (the guest sees %08llx) cr3 %016llx cr4 %08llx", X(s->cr0),
	     X(s->cr0 | x->cr0_cache), X(s->cr3), X(s->cr4));
	LINE("efer %04llx pat %016llx debugctl %04llx sysenter cs %04llx eip %016llx esp %016llx",
	     X(s->efer), X(s->pat), X(s->debugctl), X(s->sysenter_cs), X(s->sysenter_eip),
	     X(s->sysenter_esp));
}

static void dump_segments(const struct vmcb_save *s)
{
	const struct {
		const char *name;
		const struct vmcb_seg *seg;
	} rows[] = {{"es", &s->es},     {"cs", &s->cs},    {"ss", &s->ss},     {"ds", &s->ds},
		    {"fs", &s->fs},     {"gs", &s->gs},    {"ldtr", &s->ldtr}, {"tr", &s->tr},
		    {"gdtr", &s->gdtr}, {"idtr", &s->idtr}};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		LINE("%-4s %04x base %016llx limit %08x attributes %03x", rows[i].name,
		     rows[i].seg->selector, X(rows[i].seg->base), rows[i].seg->limit,
		     rows[i].seg->attr);
}

static void dump_control(const struct svm_vcpu *x)
{
	const struct vmcb_control *c = &x->vmcb->control;

	LINE("intercepts %08x %08x %08x %08x %08x %08x", c->intercepts[0], c->intercepts[1],
	     c->intercepts[2], c->intercepts[3], c->intercepts[4], c->intercepts[5]);
	LINE("virtual interrupt %016llx shadow %llu asid %u event injected %016llx", X(c->vintr),
	     X(c->shadow), c->asid, X(c->event_inject));
	LINE("last exit: code %#llx information %#llx %#llx interrupted event %#llx",
	     X(c->exit_code), X(c->exit_info1), X(c->exit_info2), X(c->exit_int_info));
	LINE("NMIs are %s%s", x->nmi == NMI_OPEN ? "open" : "blocked",
	     x->step.on ? ", an instruction is being stepped over" : "");
}

void svm_dump(struct virt_vcpu *v)
{
	const struct svm_vcpu *x = v->vendor;

	LINE("state of the guest on CPU %u:", plat_cpu());
	dump_registers(v, x);
	dump_segments(&x->vmcb->save);
	dump_control(x);
}
