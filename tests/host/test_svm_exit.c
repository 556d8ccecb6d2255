/* hv/svm/svm_exit.c, svm_event.c and svm_regs.c: a VMCB as the CPU leaves it, and what becomes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/virt/vm_exit.h"
#include "hv/svm/svm_vcpu.h"
#include "hv/x86/msr.h"

struct svm_caps svm_caps;

static struct virt_vcpu v;
static struct svm_vcpu x;
static struct vmcb vmcb;
static struct vmcb_control *const c = &vmcb.control;
static struct vmcb_save *const s = &vmcb.save;

#define RIP     0x1234
#define ALWAYS  (BIT(VECTOR_MC) | BIT(VECTOR_DB) | BIT(VECTOR_AC))
#define IRET_ON (c->intercepts[3] >> (SVM_EXIT_IRET - 0x60) & 1)

/* 32-bit protected mode, interrupts on. */
static int setup(void **state)
{
	svm_caps = (struct svm_caps){.phys_bits = 48, .linear_bits = 48};
	memset(&v, 0, sizeof(v));
	memset(&x, 0, sizeof(x));
	memset(&vmcb, 0, sizeof(vmcb));
	x.vmcb = &vmcb;
	x.virt = &v;
	v.vendor = &x;
	s->rip = RIP;
	s->cr0 = CR0_PE | CR0_ET;
	s->rflags = RFLAGS_FIXED | RFLAGS_IF;
	s->dr6 = DR6_RESET;
	svm_intercepts_init(&x);
	svm_events_reset(&x);
	return 0;
}

/* The guest is entered, and leaves with this. Like QEMU's, this CPU forgets the interrupt shadow. */
static struct vm_exit leave(uint64_t code, uint64_t info1, uint64_t info2)
{
	struct vm_exit out;

	memset(&out, 0x5a, sizeof(out));
	svm_event_load(&x);
	c->shadow = 0;
	c->exit_code = code;
	c->exit_info1 = info1;
	c->exit_info2 = info2;
	svm_exit_decode(&x, &out);
	c->exit_int_info = 0;
	return out;
}

static bool intercepted(unsigned code)
{
	return c->intercepts[code / 32] >> (code % 32) & 1;
}

static void intercepts_follow_the_table(void **state)
{
	static const unsigned on[] = {0x08, 0x14, 0x18, 0x41, 0x51, 0x52, 0x60, 0x61,
				      0x63, 0x64, 0x65, 0x6f, 0x72, 0x76, 0x78, 0x7a,
				      0x7b, 0x7c, 0x7d, 0x7f, 0x80, 0x81, 0x82, 0x83,
				      0x84, 0x85, 0x86, 0x89, 0x8a, 0x8b, 0x8c, 0x8d};
	unsigned n = 0;

	for (unsigned code = 0; code < SVM_INTERCEPTS; code++) {
		bool want = n < ARRAY_LEN(on) && on[n] == code;

		assert_int_equal(intercepted(code), want);
		n += want;
	}
}

static void decodes_instructions(void **state)
{
	struct vm_exit e = leave(SVM_EXIT_CPUID, 0, 0);

	assert_int_equal(e.kind, VM_EXIT_CPUID);
	assert_int_equal(e.insn_len, 0);
	svm_caps.next_rip = true;
	c->next_rip = RIP + 3;
	assert_int_equal(leave(SVM_EXIT_CPUID, 0, 0).insn_len, 3);
	assert_int_equal(leave(SVM_EXIT_MSR, 0, 0).kind, VM_EXIT_MSR_READ);
	assert_int_equal(leave(SVM_EXIT_MSR, 1, 0).kind, VM_EXIT_MSR_WRITE);
	assert_int_equal(leave(SVM_EXIT_SHUTDOWN, 0, 0).kind, VM_EXIT_TRIPLE_FAULT);
	assert_int_equal(leave(SVM_EXIT_NMI, 0, 0).kind, VM_EXIT_NONE);
	e = leave(0x6e, 7, 8); /* RDTSC */
	assert_int_equal(e.kind, VM_EXIT_UNKNOWN);
	assert_non_null(strstr(e.detail, "AMD-V exit 0x6e"));
	e = leave(SVM_EXIT_TASK, 0x28, BIT(36));
	assert_int_equal(e.kind, VM_EXIT_TASK_SWITCH);
	assert_non_null(strstr(e.detail, "task 0x28 by IRET at 0x1234"));
	e = leave(SVM_EXIT_EXCEPTION + VECTOR_MC, 0, 0);
	assert_int_equal(e.kind, VM_EXIT_UNKNOWN);
	assert_non_null(strstr(e.detail, "machine check"));
}

static void decodes_io(void **state)
{
	struct vm_exit e = leave(SVM_EXIT_IOIO, 0x03f8ull << 16 | 1 << 4 | 1, RIP + 2);

	assert_int_equal(e.kind, VM_EXIT_IO);
	assert_int_equal(e.io.port, 0x3f8);
	assert_int_equal(e.io.size, 1);
	assert_true(e.io.in && !e.io.string);
	assert_int_equal(e.insn_len, 2);
	e = leave(SVM_EXIT_IOIO, 0xffffull << 16 | 4 << 4 | 1 << 3 | 1 << 2, RIP + 1);
	assert_int_equal(e.io.port, 0xffff);
	assert_int_equal(e.io.size, 4);
	assert_true(!e.io.in && e.io.string);
}

static void decodes_nested_faults(void **state)
{
	struct vm_exit e = leave(SVM_EXIT_NPF, BIT(32) | 4 | 2, 0xfee00300);

	assert_int_equal(e.kind, VM_EXIT_NPF);
	assert_int_equal(e.npf.gpa, 0xfee00300);
	assert_true(e.npf.write && !e.npf.read && !e.npf.fetch && !e.npf.gla_valid);
	assert_false(e.npf.table_walk || e.npf.delivery);
	e = leave(SVM_EXIT_NPF, BIT(32) | 0x10 | 4, 0x2000);
	assert_true(e.npf.fetch && !e.npf.write && !e.npf.read);
	c->exit_int_info = EVENT_VALID | EVENT_TYPE_FIELD(EVENT_TYPE_INTR) | 0x30;
	e = leave(SVM_EXIT_NPF, BIT(33) | 4, 0x3000);
	assert_true(e.npf.table_walk && e.npf.read && e.npf.delivery);
	assert_int_equal(leave(SVM_EXIT_NPF, BIT(32) | 8 | 1, 0).kind, VM_EXIT_UNKNOWN);
}

/* Whatever the CPU looks at first: what only level 0 may do is refused at level 3, and nothing else is. */
static void level_3_is_refused(void **state)
{
	static const unsigned privileged[] = {
		SVM_EXIT_CR4_WRITE, SVM_EXIT_CR8_READ, SVM_EXIT_CR0_SEL,
		SVM_EXIT_INVD,      SVM_EXIT_HLT,      SVM_EXIT_INVLPG,
		SVM_EXIT_MSR,       SVM_EXIT_WBINVD,   SVM_EXIT_XSETBV};
	static const unsigned free[] = {SVM_EXIT_CR0_READ, SVM_EXIT_CPUID, SVM_EXIT_PAUSE,
					SVM_EXIT_IOIO, SVM_EXIT_VMMCALL};

	for (unsigned i = 0; i < ARRAY_LEN(privileged); i++) {
		s->cpl = 3;
		assert_int_equal(leave(privileged[i], 0, 0).kind, VM_EXIT_FORBIDDEN);
		s->cpl = 0;
		assert_int_not_equal(leave(privileged[i], 0, 0).kind, VM_EXIT_FORBIDDEN);
	}
	s->cpl = 3;
	for (unsigned i = 0; i < ARRAY_LEN(free); i++)
		assert_int_not_equal(leave(free[i], 0, 0).kind, VM_EXIT_FORBIDDEN);
	assert_int_equal(leave(SVM_EXIT_RDPMC, 0, 0).kind, VM_EXIT_FORBIDDEN);
	assert_int_equal(leave(SVM_EXIT_MONITOR, 0, 0).kind, VM_EXIT_UNDEFINED);
}

/* Only decode assists make a CR_WRITE of it; without them hv/core has a look itself. */
static void decodes_control_registers(void **state)
{
	struct vm_exit e = leave(SVM_EXIT_CR4_WRITE, CR_ACCESS_MOV | GPR_RSP, 0);

	assert_int_equal(e.kind, VM_EXIT_EMULATE);
	svm_caps.next_rip = svm_caps.decode_assist = true;
	c->next_rip = RIP + 3;
	s->rsp = 0x1000000b0ull;
	e = leave(SVM_EXIT_CR4_WRITE, CR_ACCESS_MOV | GPR_RSP, 0);
	assert_int_equal(e.kind, VM_EXIT_CR_WRITE);
	assert_int_equal(e.cr.cr, 4);
	assert_int_equal(e.cr.value, 0xb0); /* 32-bit code */
	assert_int_equal(e.insn_len, 3);
	v.gpr[GPR_R9] = 0x80000011;
	e = leave(SVM_EXIT_CR0_WRITE, CR_ACCESS_MOV | GPR_R9, 0);
	assert_int_equal(e.cr.cr, 0);
	assert_int_equal(e.cr.value, 0x80000011);
	assert_int_equal(leave(SVM_EXIT_CR0_WRITE, 0, 0).kind, VM_EXIT_EMULATE); /* CLTS, LMSW */
	assert_int_equal(leave(SVM_EXIT_CR0_SEL, 0, 0).kind, VM_EXIT_EMULATE);
}

/* While the CPU walks another table, the guest still sees its own CR3, and all that concerns it exits. */
static void walks_another_table(void **state)
{
	struct vm_exit e;

	svm_reg_set(&v, REG_CR3, 0x5000);
	assert_true(v.tlb_dropped);
	svm_walk_root(&v, 0xff000000);
	assert_int_equal(s->cr3, 0xff000000);
	assert_int_equal(svm_reg_get(&v, REG_CR3), 0x5000);
	svm_reg_set(&v, REG_CR3, 0x6000);
	assert_int_equal(s->cr3, 0xff000000);
	assert_int_equal(svm_reg_get(&v, REG_CR3), 0x6000);
	assert_true(intercepted(SVM_EXIT_CR3_READ) && intercepted(SVM_EXIT_CR3_WRITE) &&
		    intercepted(SVM_EXIT_INVLPG));
	svm_reg_set(&v, REG_CR0, CR0_PE | CR0_ET);
	assert_true(intercepted(SVM_EXIT_CR0_READ) && !intercepted(SVM_EXIT_CR0_WRITE));
	assert_true(intercepted(SVM_EXIT_EXCEPTION + VECTOR_PF));
	e = leave(SVM_EXIT_EXCEPTION + VECTOR_PF, 6, 0xc0001234);
	assert_int_equal(e.kind, VM_EXIT_EXCEPTION);
	assert_int_equal(e.exception.vector, VECTOR_PF);
	assert_int_equal(e.exception.code, 6);
	assert_int_equal(e.exception.address, 0xc0001234);
	svm_events_reset(&x);
	assert_true(intercepted(SVM_EXIT_EXCEPTION + VECTOR_PF));
	svm_walk_root(&v, 0);
	assert_int_equal(s->cr3, 0x6000);
	assert_false(intercepted(SVM_EXIT_CR0_READ) || intercepted(SVM_EXIT_CR3_READ) ||
		     intercepted(SVM_EXIT_CR3_WRITE) || intercepted(SVM_EXIT_INVLPG) ||
		     intercepted(SVM_EXIT_EXCEPTION + VECTOR_PF));
}

/* The guest sees CD and NW as it set them; the CPU never has them, and says when they matter. */
static void cache_bits_stay_off(void **state)
{
	svm_reg_set(&v, REG_CR0, CR0_PE | CR0_ET | CR0_CD | CR0_NW);
	assert_int_equal(s->cr0, CR0_PE | CR0_ET);
	assert_int_equal(svm_reg_get(&v, REG_CR0), CR0_PE | CR0_ET | CR0_CD | CR0_NW);
	assert_true(intercepted(SVM_EXIT_CR0_READ) && intercepted(SVM_EXIT_CR0_WRITE));
	svm_reg_set(&v, REG_CR0, CR0_PE | CR0_ET);
	assert_int_equal(svm_reg_get(&v, REG_CR0), CR0_PE | CR0_ET);
	assert_false(intercepted(SVM_EXIT_CR0_READ) || intercepted(SVM_EXIT_CR0_WRITE));
}

static void long_mode_follows_paging(void **state)
{
	x.flush = false;
	svm_reg_set(&v, REG_EFER, EFER_LME);
	assert_int_equal(s->efer, EFER_SVME | EFER_LME);
	svm_reg_set(&v, REG_CR0, CR0_PE | CR0_ET | CR0_PG);
	assert_int_equal(s->efer, EFER_SVME | EFER_LME | EFER_LMA);
	assert_int_equal(svm_reg_get(&v, REG_EFER), EFER_LME | EFER_LMA);
	assert_true(x.flush);
	svm_reg_set(&v, REG_CR0, CR0_PE | CR0_ET);
	assert_int_equal(svm_reg_get(&v, REG_EFER), EFER_LME);
}

static void segments_survive(void **state)
{
	const struct virt_seg ss = {.selector = 0x2b,
				    .limit = 0xffffffff,
				    .base = 0x1000,
				    .type = 3,
				    .s = true,
				    .present = true,
				    .db = true,
				    .g = true,
				    .dpl = 3};
	struct virt_seg out;

	svm_seg_set(&v, SEG_SS, &ss);
	assert_int_equal(s->ss.attr, 0xcf3);
	assert_int_equal(s->cpl, 3);
	memset(&out, 0, sizeof(out));
	svm_seg_get(&v, SEG_SS, &out);
	assert_int_equal(out.selector, 0x2b);
	assert_int_equal(out.limit, 0xffffffff);
	assert_int_equal(out.base, 0x1000);
	assert_true(out.type == 3 && out.s && out.present && out.db && out.g && out.dpl == 3);
	assert_false(out.l || out.avl || out.unusable);
	svm_seg_set(&v, SEG_LDTR, &(struct virt_seg){.unusable = true, .present = true});
	svm_seg_get(&v, SEG_LDTR, &out);
	assert_true(out.unusable);
}

static void skipping(void **state)
{
	c->shadow = SHADOW_ON;
	s->rip = 0xfffffffe;
	svm_skip(&v, 3);
	assert_int_equal(s->rip, 1);
	assert_false(c->shadow & SHADOW_ON);
	assert_false(x.todo);
	/* A single step is due after an instruction that was carried out here. */
	s->rflags |= RFLAGS_TF;
	svm_skip(&v, 2);
	assert_true(x.event == (EVENT_VALID | EVENT_TYPE_FIELD(EVENT_TYPE_EXCEPTION) | VECTOR_DB));
	assert_true(s->dr6 & DR6_STEP);
}

static const struct virt_event irq = {.kind = EVENT_INTERRUPT, .vector = 0x31};
static const struct virt_event nmi = {.kind = EVENT_NMI, .vector = 2};
static const struct virt_event gp = {EVENT_EXCEPTION, VECTOR_GP, true, 0x18};
static const struct virt_event pf = {EVENT_EXCEPTION, VECTOR_PF, true, 2};

static uint64_t loaded(void)
{
	svm_event_load(&x);
	return c->event_inject;
}

static void injects(void **state)
{
	assert_true(svm_irq_ready(&v));
	svm_inject(&v, &irq);
	assert_false(svm_irq_ready(&v) || svm_event_pending(&v));
	assert_true(loaded() == (EVENT_VALID | 0x31));
	assert_int_equal(loaded(), 0);
	svm_inject(&v, &gp);
	assert_true(loaded() == (0x18ull << 32 | EVENT_VALID | EVENT_HAS_CODE | 0x300 | VECTOR_GP));
	s->cr0 &= ~CR0_PE; /* real mode pushes no code */
	svm_inject(&v, &gp);
	assert_true(loaded() == (EVENT_VALID | 0x300 | VECTOR_GP));
	c->shadow = SHADOW_ON;
	assert_false(svm_irq_ready(&v) || svm_nmi_ready(&v));
	c->shadow = 0;
	s->rflags &= ~RFLAGS_IF;
	assert_false(svm_irq_ready(&v));
	assert_true(svm_nmi_ready(&v));
}

/* An interrupted delivery is done again; but what RIP is still on is executed again instead. */
static void delivers_again(void **state)
{
	const uint64_t kept = 0x10ull << 32 | EVENT_VALID | EVENT_HAS_CODE | 0x300 | VECTOR_TS;

	c->exit_int_info = kept;
	leave(SVM_EXIT_NPF, BIT(32), 0x1000);
	assert_true(svm_event_pending(&v));
	assert_false(svm_irq_ready(&v));
	assert_true(loaded() == kept);
	assert_false(svm_event_pending(&v));
	c->exit_int_info = EVENT_VALID | EVENT_TYPE_FIELD(EVENT_TYPE_SOFT) | 0x80;
	assert_true(leave(SVM_EXIT_NPF, BIT(32), 0x1000).npf.delivery);
	assert_int_equal(loaded(), 0);
	c->exit_int_info = EVENT_VALID | 0x300 | 3; /* INT3 */
	leave(SVM_EXIT_NPF, BIT(32), 0x1000);
	assert_int_equal(loaded(), 0);
}

static void faults_add_up(void **state)
{
	c->exit_int_info = EVENT_VALID | EVENT_HAS_CODE | 0x300 | VECTOR_TS;
	leave(SVM_EXIT_NPF, BIT(32), 0x1000);
	svm_inject(&v, &gp);
	assert_true(loaded() == (EVENT_VALID | EVENT_HAS_CODE | 0x300 | VECTOR_DF));
	c->exit_int_info = EVENT_VALID | 0x31; /* an interrupt is no fault */
	leave(SVM_EXIT_NPF, BIT(32), 0x1000);
	svm_inject(&v, &pf);
	assert_int_equal(EVENT_VECTOR(loaded()), VECTOR_PF);
	c->exit_int_info = EVENT_VALID | EVENT_HAS_CODE | 0x300 | VECTOR_DF;
	leave(SVM_EXIT_NPF, BIT(32), 0x1000);
	svm_inject(&v, &gp);
	assert_true(x.todo & TODO_SHUTDOWN);
}

static void windows(void **state)
{
	svm_irq_window(&v, true);
	svm_event_load(&x);
	assert_true(c->vintr & VINTR_IRQ && c->vintr & VINTR_IGNORE_TPR &&
		    c->vintr & VINTR_MASKING);
	assert_int_equal(leave(SVM_EXIT_VINTR, 0, 0).kind, VM_EXIT_IRQ_WINDOW);
	svm_irq_window(&v, false);
	svm_event_load(&x);
	assert_int_equal(c->vintr, VINTR_MASKING);
}

/* From an NMI to the end of its IRET; `flags` are those that it pops. */
static struct vm_exit through_nmi(uint64_t flags)
{
	svm_inject(&v, &nmi);
	assert_true(loaded() == (EVENT_VALID | 0x200 | 2));
	assert_false(svm_nmi_ready(&v));
	assert_true(IRET_ON);
	assert_int_equal(leave(SVM_EXIT_IRET, 0, 0).kind, VM_EXIT_NONE);
	assert_false(IRET_ON);
	assert_false(svm_nmi_ready(&v) || svm_irq_ready(&v));
	assert_true(s->rflags & RFLAGS_TF);
	assert_int_equal(c->intercepts[2], UINT32_MAX);
	/* An interrupt or a nested fault on the way changes nothing. */
	svm_irq_window(&v, true);
	assert_int_equal(leave(SVM_EXIT_NPF, BIT(32), 0x1000).kind, VM_EXIT_NPF);
	assert_false(c->vintr & VINTR_IRQ);
	svm_irq_window(&v, false);
	s->rflags = flags;
	s->dr6 |= DR6_STEP;
	return leave(SVM_EXIT_EXCEPTION + VECTOR_DB, 0, 0);
}

static void nmi_blocks_until_iret(void **state)
{
	struct vm_exit e = through_nmi(RFLAGS_FIXED | RFLAGS_IF);

	assert_int_equal(e.kind, VM_EXIT_NONE);
	assert_true(svm_nmi_ready(&v) && svm_irq_ready(&v));
	assert_int_equal(s->rflags, RFLAGS_FIXED | RFLAGS_IF);
	assert_int_equal(s->dr6, DR6_RESET);
	assert_int_equal(c->intercepts[2], ALWAYS);
	/* Who waits for it is told. The flags that were popped stay, TF too. */
	svm_nmi_window(&v, true);
	e = through_nmi(RFLAGS_FIXED | RFLAGS_TF);
	assert_int_equal(e.kind, VM_EXIT_NMI_WINDOW);
	assert_true(s->rflags & RFLAGS_TF);
	assert_true(svm_nmi_ready(&v));
}

/* The handler single-steps itself: its #DB after the IRET is its own. */
static void step_of_the_guest_itself(void **state)
{
	s->rflags |= RFLAGS_TF;
	through_nmi(RFLAGS_FIXED);
	assert_true(loaded() == (EVENT_VALID | 0x300 | VECTOR_DB));
	assert_true(s->dr6 & DR6_STEP);
}

static void iret_that_faults(void **state)
{
	svm_inject(&v, &nmi);
	svm_event_load(&x);
	leave(SVM_EXIT_IRET, 0, 0);
	leave(SVM_EXIT_EXCEPTION + VECTOR_PF, 5, 0xdead000);
	assert_false(s->rflags & RFLAGS_TF);
	assert_int_equal(v.cr2, 0xdead000);
	assert_true(loaded() == (5ull << 32 | EVENT_VALID | EVENT_HAS_CODE | 0x300 | VECTOR_PF));
	assert_int_equal(c->intercepts[2], ALWAYS);
	assert_true(svm_nmi_ready(&v));
}

/* With nothing to wait for but a shadow or an event under way, the guest comes back by itself. */
static void nmi_window_without_iret(void **state)
{
	svm_nmi_window(&v, true);
	svm_inject(&v, &irq);
	svm_event_load(&x);
	assert_true(x.come_back);
	assert_false(s->rflags & RFLAGS_TF);
	c->shadow = SHADOW_ON;
	svm_event_load(&x);
	assert_false(x.come_back);
	assert_true(s->rflags & RFLAGS_TF);
	c->shadow = 0;
	assert_int_equal(leave(SVM_EXIT_EXCEPTION + VECTOR_DB, 0, 0).kind, VM_EXIT_NMI_WINDOW);
	assert_false(s->rflags & RFLAGS_TF);
	assert_true(svm_nmi_ready(&v));
}

/* An operand's address instead of the flags: they are what they were, but for those of the last result. */
static void cpu_that_loses_the_flags(void **state)
{
	const uint64_t address = 0xc1392e42, before = RFLAGS_FIXED | RFLAGS_IF | RFLAGS_AC;

	s->rflags = before;
	svm_event_load(&x);
	s->rflags = address | before;
	svm_event_left(&x);
	assert_int_equal(s->rflags, before | (address & RFLAGS_STATUS));
	/* Flags that can be are left alone. */
	svm_event_load(&x);
	s->rflags = RFLAGS_FIXED | RFLAGS_DF | RFLAGS_ZF;
	svm_event_left(&x);
	assert_int_equal(s->rflags, RFLAGS_FIXED | RFLAGS_DF | RFLAGS_ZF);
}

/* A stay that begins in STI's shadow and ends on the same instruction is still in the shadow. */
static void cpu_that_forgets_the_shadow(void **state)
{
	c->shadow = SHADOW_ON;
	svm_irq_window(&v, true);
	assert_int_equal(leave(SVM_EXIT_INTR, 0, 0).kind, VM_EXIT_INTERRUPT);
	assert_false(svm_irq_ready(&v));
	assert_int_equal(leave(SVM_EXIT_VINTR, 0, 0).kind, VM_EXIT_NONE);
	assert_true(s->rflags & RFLAGS_TF);
	assert_false(svm_irq_ready(&v));
	/* The instruction is done by the CPU, ... */
	s->dr6 |= DR6_STEP;
	assert_int_equal(leave(SVM_EXIT_EXCEPTION + VECTOR_DB, 0, 0).kind, VM_EXIT_IRQ_WINDOW);
	assert_false(c->vintr & VINTR_IRQ);
	assert_false(s->rflags & RFLAGS_TF);
	assert_int_equal(s->dr6, DR6_RESET);
	assert_true(svm_irq_ready(&v));
}

/* ... or by the hypervisor. */
static void step_over_what_exits(void **state)
{
	c->shadow = SHADOW_ON;
	svm_irq_window(&v, true);
	leave(SVM_EXIT_VINTR, 0, 0);
	leave(SVM_EXIT_HLT, 0, 0);
	svm_skip(&v, 1);
	assert_false(s->rflags & RFLAGS_TF);
	assert_int_equal(c->intercepts[2], ALWAYS);
	assert_false(x.todo);
	assert_true(svm_irq_ready(&v));
	/* Or it faults there. */
	c->shadow = SHADOW_ON;
	leave(SVM_EXIT_VINTR, 0, 0);
	svm_inject(&v, &gp);
	assert_false(s->rflags & RFLAGS_TF);
	assert_true(loaded() == (0x18ull << 32 | EVENT_VALID | EVENT_HAS_CODE | 0x300 | VECTOR_GP));
}

/* A jump to itself leaves RIP where it was; the step tells it from an instruction not yet done. */
static void jump_to_itself_in_the_shadow(void **state)
{
	c->shadow = SHADOW_ON;
	svm_irq_window(&v, true);
	leave(SVM_EXIT_VINTR, 0, 0);
	assert_int_equal(leave(SVM_EXIT_EXCEPTION + VECTOR_DB, 0, 0).kind, VM_EXIT_IRQ_WINDOW);
	assert_true(svm_irq_ready(&v));
}

/* The CPU has set DR6 and DR7 already. */
static void debug_exceptions_come_back(void **state)
{
	s->dr6 |= DR6_STEP;
	c->shadow = SHADOW_ON;
	assert_int_equal(leave(SVM_EXIT_EXCEPTION + VECTOR_DB, 0, 0).kind, VM_EXIT_REFLECTED);
	assert_int_equal(s->dr6, DR6_RESET | DR6_STEP);
	assert_false(c->shadow & SHADOW_ON);
	assert_false(svm_irq_ready(&v) || svm_nmi_ready(&v));
	assert_true(loaded() == (EVENT_VALID | 0x300 | VECTOR_DB));
}

/* Each one of an endless row of #AC, met while the one before was delivered, leaves the guest. */
static void alignment_checks_come_back(void **state)
{
	const uint64_t ac = EVENT_VALID | EVENT_HAS_CODE | 0x300 | VECTOR_AC;

	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(leave(SVM_EXIT_EXCEPTION + VECTOR_AC, 0, 0).kind,
				 VM_EXIT_REFLECTED);
		assert_true(x.event == ac);
		svm_event_load(&x);
		c->exit_int_info = ac;
	}
}

/* A #AC of the IRET that is stepped over ends the step; the next is no step's. */
static void alignment_check_of_a_step(void **state)
{
	svm_inject(&v, &nmi);
	svm_event_load(&x);
	leave(SVM_EXIT_IRET, 0, 0);
	assert_int_equal(leave(SVM_EXIT_EXCEPTION + VECTOR_AC, 0, 0).kind, VM_EXIT_NONE);
	assert_false(s->rflags & RFLAGS_TF);
	assert_true(svm_nmi_ready(&v) == false && x.nmi == NMI_OPEN);
	assert_true(loaded() == (EVENT_VALID | EVENT_HAS_CODE | 0x300 | VECTOR_AC));
	assert_int_equal(c->intercepts[2], ALWAYS);
	assert_int_equal(leave(SVM_EXIT_EXCEPTION + VECTOR_DB, 0, 0).kind, VM_EXIT_REFLECTED);
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(intercepts_follow_the_table),
		T(decodes_instructions),
		T(decodes_io),
		T(decodes_nested_faults),
		T(level_3_is_refused),
		T(decodes_control_registers),
		T(walks_another_table),
		T(cache_bits_stay_off),
		T(long_mode_follows_paging),
		T(segments_survive),
		T(skipping),
		T(injects),
		T(delivers_again),
		T(faults_add_up),
		T(windows),
		T(nmi_blocks_until_iret),
		T(step_of_the_guest_itself),
		T(iret_that_faults),
		T(nmi_window_without_iret),
		T(cpu_that_loses_the_flags),
		T(cpu_that_forgets_the_shadow),
		T(step_over_what_exits),
		T(jump_to_itself_in_the_shadow),
		T(debug_exceptions_come_back),
		T(alignment_checks_come_back),
		T(alignment_check_of_a_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
