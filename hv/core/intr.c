#include "hv/core/intr.h"
#include "guest/layout.h"
#include "hv/base/log.h"
#include "hv/dev/devices.h"
#include "hv/core/arch.h"
#include "hv/core/vcpu.h"
#include "hv/x86/irq.h"
#include "hv/x86/hostapic.h"
#include "hv/x86/tsc.h"

/* A tick of a vCPU that waits for other nodes may be so late where it waits little. */
#define TICK_CALM_NS  (100 * NS_PER_MS)
#define TICK_CALM_FOR 32

/* The host timer has fired, so it is armed no more; the exit it caused leads to intr_service. */
static void timer_fired(void)
{
	struct vm_cpu *c = arch_cpu();

	if (c)
		c->armed = 0;
}

/* The interrupt itself is the message: it ends the guest's stay or the CPU's sleep. */
static void kicked(void)
{
}

void intr_setup(void)
{
	irq_handler_set(IRQ_TIMER, timer_fired);
	irq_handler_set(IRQ_KICK, kicked);
}

void intr_route(struct vm *vm, const struct apic_msg *msg, uint32_t src)
{
	struct cpuset targets;
	unsigned cpu;

	apic_match(&vm->book, msg, src, &targets);
	cpuset_for_each(cpu, &targets)
	{
		if (cpu >= vm->cpu_count)
			continue;
		if (!vm_is_local(vm, cpu))
			vm->far->post(arch_vcpu(), cpu, msg);
		else if (apic_post_msg(&vm->vcpus[cpu].post, msg))
			vcpu_kick(&vm->vcpus[cpu]);
	}
}

void intr_unhalt(struct vcpu *target)
{
	if (!vm_is_local(target->vm, target->index)) {
		target->vm->far->unhalt(arch_vcpu(), target->index);
		return;
	}
	atomic_store(&target->pv_unhalt, true);
	vcpu_kick(target);
}

struct lapic *intr_lapic(struct vcpu *v)
{
	if (v->vid_stale) {
		v->vid_stale = false;
		lapic_sync_hw(&v->lapic);
	}
	return &v->lapic;
}

/* A level interrupt's EOI must exit, so that the IOAPIC hears of it. */
static void set_eoi_exits(struct vcpu *v)
{
	uint64_t bitmap[4];

	if (!v->use_vid)
		return;
	lapic_eoi_exits(&v->lapic, bitmap);
	v->vm->ops->apic_eoi_exits(&v->virt, bitmap);
}

/*
 * The page whose accesses hardware watches is one for the node, in its one nested table, but only a CPU
 * whose LAPIC is there watches it. Any other, in x2APIC mode, with its LAPIC off or elsewhere, would find
 * memory of the node's own there, which no other node sees. So the page is mapped as long as all CPUs of
 * the node have their LAPIC there; else every access leaves the guest, and devices.c decides for each CPU
 * whether it meets a LAPIC or a hole. Systems switch all their CPUs at once, so hardly one is ever slower
 * for another's sake.
 *
 * Called before hardware is told of the new mode. A CPU that still watches may use what its TLB has: it is
 * the same page. One that has ceased to drops it here, before it enters the guest again.
 */
static void follow_page(struct vcpu *v, bool away)
{
	struct vm *vm = v->vm;

	if (away == v->apic_away)
		return;
	v->apic_away = away;
	spin_lock(&vm->mem_lock);
	if (away && vm->apics_away++ == 0)
		(void)vm->ops->npt_map(vm->npt, LAYOUT_LAPIC, 0, 0, NPT_NONE);
	/* Should this fail, accesses exit as before. */
	if (!away && --vm->apics_away == 0)
		(void)vm->ops->npt_map_apic(vm->npt, LAYOUT_LAPIC);
	spin_unlock(&vm->mem_lock);
	if (away)
		vm->ops->npt_flush(vm->npt);
}

/*
 * Follows IA32_APIC_BASE. Hardware knows one place for the page; a guest that moves it gets the
 * software LAPIC, and so does one in x2APIC mode where hardware knows only the page.
 */
static void set_mode(struct vcpu *v)
{
	const struct virt_features *f = &v->vm->features;
	enum apic_mode mode = lapic_mode(&v->lapic);
	bool page = mode == APIC_XAPIC && lapic_gpa(&v->lapic) == LAYOUT_LAPIC;
	bool msrs = mode == APIC_X2APIC && f->x2apic;

	if (!v->apic_hw)
		return;
	/* What hardware delivers from the page until now must be seen before it stops. */
	intr_lapic(v);
	v->use_vid = (page || msrs) && f->apic_registers && f->interrupt_delivery;
	follow_page(v, !page);
	v->vm->ops->apic_mode(&v->virt, page || mode == APIC_X2APIC, mode == APIC_X2APIC);
	set_eoi_exits(v);
	v->recheck = true;
}

void intr_apply(struct vcpu *v, const struct lapic_actions *a)
{
	if (a->dest_changed) {
		struct apic_dest dest;

		lapic_dest(&v->lapic, &dest);
		apic_book_update(&v->vm->book, v->index, &dest);
		if (v->vm->far)
			v->vm->far->dest(v, &dest);
	}
	if (a->mode_changed)
		set_mode(v);
	if (a->timer_changed || a->recheck)
		v->recheck = true;
	if (a->eoi_level && vm_is_head(v->vm))
		devices_eoi(v->vm, a->eoi_vector);
	else if (a->eoi_level)
		v->vm->far->eoi(v, a->eoi_vector);
	if (a->send_ipi) {
		lapic_tick_work(&v->tick);
		intr_route(v->vm, &a->ipi, v->index);
	}
}

/* INIT and SIPI. SDM vol. 3, 9.4 and table 10-1 */
static void restart_events(struct vcpu *v, const struct lapic_events *ev)
{
	if (ev->init && v->lapic.config.bsp) {
		log_info_few(LOG_GUEST, "the guest sent INIT to its boot CPU: the machine resets");
		vm_stop(v->vm, VM_RESET);
		return;
	}
	if (ev->init) {
		v->state = VCPU_WAIT_SIPI;
		v->nmi_pending = v->extint = false;
	}
	if (ev->sipi) {
		v->vm->ops->vcpu_startup(&v->virt, ev->sipi_vector);
		v->irq_window = v->nmi_window = false;
		v->state = VCPU_RUNNING;
		log_limited(LOG_MANY, LOG_GUEST, LOG_INFO, "vCPU %u starts at %#x", v->index,
			    ev->sipi_vector << 12);
	}
}

static void take_posted(struct vcpu *v)
{
	struct lapic *l = intr_lapic(v);
	struct lapic_events ev;

	lapic_pull(l, &v->post, &ev);
	if (ev.dest_changed)
		intr_apply(v, &(struct lapic_actions){.dest_changed = true});
	if (ev.init || ev.sipi)
		restart_events(v, &ev);
	v->nmi_pending |= ev.nmi;
	v->extint |= ev.extint;
	if (ev.smi)
		log_warn_few(LOG_GUEST,
			     "vCPU %u got an SMI, which this machine does not have; ignored",
			     v->index);
	if (ev.eoi_exits)
		set_eoi_exits(v);
}

uint64_t intr_host_tsc(const struct vm *vm, uint64_t guest_tsc)
{
	uint64_t now = vm_guest_tsc(vm);

	if (guest_tsc > now && guest_tsc - now > BIT(62))
		return UINT64_MAX;
	return guest_tsc + vm->tsc_base;
}

/* A sleeping vCPU's ticks may be rarer; not a periodic timer's, since the guest may count those. */
static uint64_t tick_due(const struct vcpu *v)
{
	uint64_t due = lapic_timer_deadline(&v->lapic);

	if (v->state != VCPU_HALTED || due == UINT64_MAX || v->lapic.timer.mode == LAPIC_PERIODIC)
		return due;
	return lapic_tick_due(&v->tick, due);
}

/*
 * When the LAPIC's timer may interrupt, as a guest TSC. A tick whose handler waits for other nodes as long as
 * the tick's period would leave no time for anything else: so from one to the next most of the time is the
 * vCPU's own, as long as that makes ticks no rarer than ten in a second, and at least half of it in any case.
 * But one that waits most of its time, whatever for, needs ticks too. That goes for a halted vCPU as well:
 * its ticks take pages from those that work. A CPU may take its interrupts late; missed periods become one.
 */
static uint64_t timer_due(const struct vcpu *v)
{
	uint64_t due = tick_due(v);
	uint64_t calm = MIN(TICK_CALM_FOR * v->stalled, ns_to_tsc(TICK_CALM_NS));
	uint64_t rest = MIN(MAX(2 * v->stalled, calm), ns_to_tsc(INTR_TICK_LATE_NS));

	if (!rest || due == UINT64_MAX)
		return due;
	return MAX(due, v->timer_fired + rest - v->vm->tsc_base);
}

/* How often the vCPU has waited for pages. */
static uint64_t waits(const struct vcpu *v)
{
	return v->fault_ns[0].count + v->fault_ns[1].count;
}

static void fire_timer(struct vcpu *v, uint64_t now)
{
	struct timer_counts *c = &v->ticks;
	uint64_t due = lapic_timer_deadline(&v->lapic);
	bool halted = v->state == VCPU_HALTED;

	c->all++;
	c->woke += halted;
	c->late += tick_due(v) != due;
	c->awake = halted;
	c->waits_before = waits(v);
	lapic_tick_fires(&v->tick, due, halted);
	lapic_timer_expire(intr_lapic(v), now);
	v->timer_fired = arch_tsc();
	v->stalled = 0;
}

static void run_timer(struct vcpu *v)
{
	uint64_t guest = vm_guest_tsc(v->vm);

	if (guest >= timer_due(v))
		fire_timer(v, guest);
}

void intr_halt(struct vcpu *v)
{
	struct timer_counts *c = &v->ticks;

	if (c->awake)
		c->waits += waits(v) - c->waits_before;
	c->awake = false;
	lapic_tick_halts(&v->tick, vm_guest_tsc(v->vm), lapic_timer_deadline(&v->lapic),
			 v->stalled);
	v->state = VCPU_HALTED;
	v->recheck = true;
}

/* What the first CPU does whoever lives on it: the wire, first of all, for others wait. */
static void serve_wire(struct vm_cpu *c)
{
	if (c->vm->far && vm_cpu_leads(c))
		c->vm->far->serve(c->vm);
}

/*
 * And on the head the devices' time; returns when that is due again, as a guest TSC. What it posts is taken
 * after a stay in the guest: where ticks come faster than they can be served, the guest gets on between them.
 */
static uint64_t serve_devices(struct vm_cpu *c)
{
	uint64_t ns = vm_cpu_leads(c) && vm_is_head(c->vm) ? devices_tick(c->vm) : UINT64_MAX;

	return ns == UINT64_MAX ? ns : ns_to_tsc(ns);
}

/*
 * The CPU's timer wakes it for the vCPU's timer, for what is due at this guest TSC, and for the wire. Where
 * others live on the CPU, turns_next() sets it for all of them.
 */
static void wake_by(struct vcpu *v, uint64_t due)
{
	struct vm_cpu *c = v->cpu;

	v->due = timer_due(v);
	c->due = intr_host_tsc(c->vm, c->count == 1 ? MIN(due, v->due) : due);
	if (c->vm->far)
		c->due = MIN(c->due, c->vm->far->deadline(c));
	if (c->count == 1 && c->due != UINT64_MAX)
		vm_cpu_wake_by(c, c->due);
}

/* The PIC's vector comes next: its INTR is up on an open LINT0, or an ExtINT message came. */
static bool extint_waits(struct vcpu *v)
{
	const struct lapic *l = &v->lapic;

	return v->extint || (l->lint & 1 && lapic_extint_accepted(l));
}

/* HLT ends with an NMI, a deliverable interrupt, or a kick from KVM's hypercall. */
static void wake(struct vcpu *v, bool irq)
{
	bool event = v->nmi_pending || (irq && v->vm->ops->irq_ready(&v->virt));

	/* A kick that comes with an interrupt is left for the next HLT. */
	if (!event && !atomic_exchange(&v->pv_unhalt, false))
		return;
	if (!event)
		lapic_tick_work(&v->tick);
	v->state = VCPU_RUNNING;
	/* A tick that only the sleep has put off is due now. */
	if (vm_guest_tsc(v->vm) >= timer_due(v))
		v->recheck = true;
}

/* Something other than its timer interrupts the vCPU. */
static bool has_work(struct vcpu *v, int pending)
{
	return v->nmi_pending || extint_waits(v) ||
	       (pending >= 0 && pending != (uint8_t)v->lapic.lvt_timer);
}

static void ask_windows(struct vcpu *v, bool irq, bool nmi)
{
	if (irq != v->irq_window) {
		v->irq_window = irq;
		v->vm->ops->irq_window(&v->virt, irq);
	}
	if (nmi != v->nmi_window) {
		v->nmi_window = nmi;
		v->vm->ops->nmi_window(&v->virt, nmi);
	}
}

/* The vector that comes next, taken from the LAPIC or the PIC; false when the PIC had nothing. */
static bool take_vector(struct vcpu *v, int pending, uint8_t *vector)
{
	if (extint_waits(v)) {
		v->extint = false;
		return devices_int_ack(v->vm, vector);
	}
	*vector = (uint8_t)pending;
	lapic_accept(intr_lapic(v), *vector);
	return true;
}

static void inject_interrupt(struct vcpu *v, int pending)
{
	uint8_t vector;

	if (!take_vector(v, pending, &vector))
		return;

	struct virt_event event = {EVENT_INTERRUPT, vector, false, 0};

	v->vm->ops->inject(&v->virt, &event);
	v->injected++;
}

/* With virtual-interrupt delivery hardware injects from the LAPIC page; only NMI and ExtINT are ours. */
static void deliver(struct vcpu *v)
{
	const struct virt_ops *ops = v->vm->ops;
	struct lapic *l = intr_lapic(v);
	int pending = lapic_pending(l);
	bool irq = extint_waits(v) || (pending >= 0 && !v->use_vid), nmi = v->nmi_pending;

	if (has_work(v, pending))
		lapic_tick_work(&v->tick);
	if (v->state == VCPU_HALTED)
		wake(v, irq || pending >= 0);
	if (v->state != VCPU_RUNNING)
		return;
	if (!ops->event_pending(&v->virt)) {
		if (nmi && ops->nmi_ready(&v->virt)) {
			struct virt_event event = {EVENT_NMI, 2, false, 0};

			ops->inject(&v->virt, &event);
			v->nmi_pending = nmi = false;
		} else if (irq && ops->irq_ready(&v->virt)) {
			inject_interrupt(v, pending);
			pending = lapic_pending(l);
			irq = extint_waits(v) || (pending >= 0 && !v->use_vid);
		}
	}
	ask_windows(v, irq, nmi);
	if (v->use_vid)
		ops->apic_pending(&v->virt, lapic_highest_irr(l), lapic_highest_isr(l));
	else if (v->apic_hw)
		ops->apic_tpr_threshold(&v->virt, lapic_tpr_threshold(l));
}

void intr_service(struct vcpu *v)
{
	v->recheck = false;
	serve_wire(v->cpu);
	if (apic_post_pending(&v->post))
		take_posted(v);
	run_timer(v);
	wake_by(v, serve_devices(v->cpu));
	deliver(v);
}
