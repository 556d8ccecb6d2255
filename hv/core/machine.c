#include "hv/core/machine.h"
#include "guest/firmware.h"
#include "guest/load.h"
#include "hv/base/log.h"
#include "hv/base/report.h"
#include "hv/base/string.h"
#include "hv/cpu/cpu_policy.h"
#include "hv/dev/devices.h"
#include "hv/dev/node_lan.h"
#include "hv/core/arch.h"
#include "hv/core/intr.h"
#include "hv/cluster/client.h"
#include "hv/core/memory.h"
#include "hv/core/turns.h"
#include "hv/cluster/remote.h"
#include "hv/cluster/share.h"
#include "hv/core/vcpu.h"
#include "hv/core/vtlb.h"
#include "hv/image/image_test.h"
#include "hv/x86/pcpu_setup.h"
#include "hv/x86/pmem.h"
#include "hv/x86/serial.h"
#include "hv/x86/tsc.h"
#include "hv/x86/xstate.h"

/* What the node keeps for itself: nested page tables, control structures, the log, the stacks. */
#define NODE_RESERVE    MIB(16)
#define MEM_DEFAULT_MAX GIB(16)
#define MAX_FILES       16

static struct vm vm;
static struct devices devices;
/* The cluster's part of it, on a node of several; the link also where the node has a card for the guest. */
static struct link link;
static struct share share = {.config = &share_usual};
static struct remote remote;
static struct machine_config config;
static const struct boot_file *guest, *initrd, *disk;

/* The CPUs of the node meet here before and after each life. */
static struct {
	_Atomic unsigned arrived, round;
} gate;

static void meet(void)
{
	unsigned round = atomic_load(&gate.round);

	if (atomic_fetch_add(&gate.arrived, 1) + 1 == vm.host_cpus) {
		atomic_store(&gate.arrived, 0);
		atomic_store(&gate.round, round + 1);
		return;
	}
	while (atomic_load(&gate.round) == round) {
		if (vm.far)
			vm.far->wait(&vm);
		else
			plat_relax();
	}
}

static const struct boot_file *find_file(const char *name)
{
	for (unsigned i = 0; i < config.file_count; i++)
		if (!strcmp(config.files[i].name, name))
			return &config.files[i];
	return NULL;
}

static int choose_files(struct why *why)
{
	const struct options *o = config.options;

	if (!config.file_count)
		return why_set(why, ERR_NOTFOUND,
			       "no guest image came with the boot; give a kernel "
			       "(bzImage or Multiboot ELF) as the first boot file, "
			       "and its initrd as the second");
	guest = o->guest[0] ? find_file(o->guest) : &config.files[0];
	if (!guest)
		return why_set(why, ERR_NOTFOUND,
			       "guest image '%s' is not among the %u boot files; the first is '%s'",
			       o->guest, config.file_count, config.files[0].name);
	initrd = o->initrd[0] ? find_file(o->initrd) : NULL;
	if (o->initrd[0] && !initrd)
		return why_set(why, ERR_NOTFOUND, "initrd '%s' is not among the %u boot files",
			       o->initrd, config.file_count);
	disk = o->disk[0] ? find_file(o->disk) : NULL;
	if (o->disk[0] && !disk && !str_starts(o->disk, DISK_AOE))
		return why_set(why, ERR_NOTFOUND, "disk image '%s' is not among the %u boot files",
			       o->disk, config.file_count);
	if (image_identify(guest->data, guest->size) == IMAGE_UNKNOWN)
		return why_set(why, ERR_INVALID,
			       "guest image '%s' (%zu bytes) is neither a Linux bzImage nor "
			       "a Multiboot image; it may be damaged or the wrong file",
			       guest->name, guest->size);
	return 0;
}

static int choose_memory(struct why *why)
{
	uint64_t free = pmem_free_bytes(), bytes = config.options->mem;
	/* The frame table takes 8 bytes per 4 KiB page, nested page tables about as much. */
	uint64_t most =
		free > NODE_RESERVE ? (free - NODE_RESERVE) / (PAGE_SIZE + 16) * PAGE_SIZE : 0;

	most = align_down(most, MIB(2));
	if (!bytes)
		bytes = MIN(most, MEM_DEFAULT_MAX);
	bytes = align_down(bytes, MIB(2));
	if (bytes > most || bytes < MIB(2))
		return why_set(why, ERR_NOMEM,
			       "too little RAM: the guest is to have %llu MiB and this node can "
			       "give %llu of its %llu MiB; ask for less (mem=) or add RAM",
			       (unsigned long long)(config.options->mem >> 20),
			       (unsigned long long)(most >> 20),
			       (unsigned long long)(pmem_total_bytes() >> 20));
	return memory_init(&vm, bytes, why);
}

/* A node by itself: all vCPUs are here, and so are all devices. */
static int alone(unsigned cpu_count, struct why *why)
{
	vm.cpu_count = MIN(cpu_count, (unsigned)VM_MAX_CPUS);
	vm.nodes = (struct vm_nodes){.count = 1, .local_cpus = vm.cpu_count};
	vm.tsc_hz = tsc_hz();
	vm.ram = &memory_alone;
	return choose_memory(why);
}

/* A node of several: which vCPUs and which memory are here follows from the membership. */
static int together(struct parts *parts, struct why *why)
{
	vm.nodes.count = (unsigned)config.options->nodes;
	vm.share = &share;
	vm.remote = &remote;
	vm.ram = &share_ram;
	vm.far = &remote_far;
	link_start(&link, &vm, &cluster_client);
	return remote_join(&vm, config.options->mem, parts, why);
}

static void number_cpus(void)
{
	for (unsigned i = 0; i < vm.cpu_count; i++) {
		vm.apic_ids[i] = i;
		vm.vcpus[i].vm = &vm;
		vm.vcpus[i].index = i;
	}
	turns_place(&vm, pcpu_count());
}

/* The page is watched only with the rest of the help: mapped without, it would be memory. */
static bool apic_hw(void)
{
	return config.options->apic_hw == APIC_HW_AUTO && vm.features.tpr_shadow &&
	       vm.features.apic_access_page;
}

static int create_npt(struct why *why)
{
	int err = 0;

	vm.npt = vm.ops->npt_create(why);
	if (!vm.npt)
		return ERR_NOMEM;
	if (apic_hw())
		err = vm.ops->npt_map_apic(vm.npt, LAYOUT_LAPIC);
	return err ? why_set(why, err, "no RAM for the guest's APIC page (%s)", err_name(err)) : 0;
}

/* What the vCPUs show of what all nodes' CPUs have. */
static int choose_features(bool shared, struct why *why)
{
	uint32_t common[CPU_WORDS];

	if (shared) {
		memcpy(common, uplink_cluster(link.wire)->features, sizeof(common));
		if (vm.features.walk_writes)
			vtlb_features(common);
	}
	cpu_policy_init(shared ? common : NULL);
	return xstate_init(cpu_policy_xcr0_allowed(), why);
}

static int open_devices(const struct options *o, struct why *why)
{
	struct virtdev *virt = &devices.virt;
	bool remote_disk = o->disk[0] && !disk;
	struct lan lan;
	int err = 0;

	if (disk)
		virtdev_disk_image(virt, disk->data, disk->size);
	if (remote_disk || o->net) {
		node_lan(&lan, &link);
		virtdev_lan(virt, &lan);
	}
	if (remote_disk)
		err = virtdev_disk_aoe(virt, o->disk + strlen(DISK_AOE), why);
	if (err)
		return err;
	if (o->net)
		virtdev_net(virt, o->net_aoe);
	devices_console_open(&devices, serial_port_by_name(o->console));
	virtdev_console_open(virt, serial_port_by_name(o->vconsole));
	return 0;
}

int machine_create(const struct machine_config *c, unsigned cpu_count, struct why *why)
{
	struct parts parts;
	bool shared = c->options->nodes > 1;
	int err;

	config = *c;
	vm_locks_init(&vm);
	vm.ops = c->ops;
	vm.options = c->options;
	devices_init(&devices, &vm);
	vm.wall_start = c->wall_clock;
	vm.io = &devices_io;
	vm.boundary = c->options->test_image ? image_test : NULL;
	if (c->uplink) {
		link_init(&link, c->uplink);
		vm.link = &link;
	}
	vm.tsc_base = arch_tsc();
	vm.ops->features(&vm.features);
	if (!c->options->large_pages)
		vm.features.large_pages = false;
	apic_book_init(&vm.book);
	intr_setup();
	err = shared ? together(&parts, why) : alone(cpu_count, why);
	if (!err && vm_is_head(&vm))
		err = choose_files(why);
	if (!err)
		err = create_npt(why);
	if (!err && shared)
		err = share_init(&share, &vm, &parts, why);
	if (!err)
		err = choose_features(shared, why);
	if (err)
		return err;
	number_cpus();
	if (vm_is_head(&vm))
		err = open_devices(c->options, why);
	if (err)
		return err;
	log_info(LOG_GUEST, "the guest has %u CPUs and %llu MiB", vm.cpu_count,
		 (unsigned long long)(vm.ram_bytes >> 20));
	if (vm_is_head(&vm))
		log_info(LOG_GUEST, "image '%s', %zu KiB", guest->name, guest->size >> 10);
	return 0;
}

/* SDM vol. 3, table 10-1 gives the rest; these are what the boot protocols want on top. */
static void set_entry_state(struct vcpu *v, const struct load_result *r)
{
	const struct virt_ops *ops = v->vm->ops;
	struct virt_seg code = {.selector = r->cs,
				.limit = UINT32_MAX,
				.type = 0xb,
				.s = true,
				.present = true,
				.db = true,
				.g = true};
	struct virt_seg data = code;
	struct virt_seg gdt = {.base = r->gdt, .limit = r->gdt_limit};
	uint64_t *gpr = v->virt.gpr;

	data.selector = r->ds;
	data.type = 3;
	ops->seg_set(&v->virt, SEG_CS, &code);
	for (enum virt_seg_id id = SEG_ES; id <= SEG_GS; id++)
		if (id != SEG_CS)
			ops->seg_set(&v->virt, id, &data);
	ops->seg_set(&v->virt, SEG_GDTR, &gdt);
	ops->reg_set(&v->virt, REG_CR0, CR0_PE | CR0_ET | CR0_NE);
	ops->reg_set(&v->virt, REG_RFLAGS, RFLAGS_FIXED);
	ops->reg_set(&v->virt, REG_RIP, r->entry);
	ops->reg_set(&v->virt, REG_RSP, r->esp);
	gpr[GPR_RAX] = r->eax;
	gpr[GPR_RBX] = r->ebx;
	gpr[GPR_RCX] = r->ecx;
	gpr[GPR_RDX] = r->edx;
	gpr[GPR_RSI] = r->esi;
	gpr[GPR_RDI] = r->edi;
	gpr[GPR_RBP] = r->ebp;
}

/* The files that go with the guest: the initrd named, or all but the guest itself and its disk. */
static unsigned companions(struct load_file *out)
{
	unsigned n = 0;

	for (unsigned i = 0; i < config.file_count && n < MAX_FILES; i++) {
		const struct boot_file *f = &config.files[i];

		if (initrd ? f == initrd : f != guest && f != disk)
			out[n++] = (struct load_file){f->data, f->size, f->args};
	}
	return n;
}

static int load_guest(struct why *why)
{
	struct pc_config pc = vm.pc.config;
	struct load_file files[MAX_FILES];
	struct firmware firmware;
	struct load_result result;
	int err = firmware_build(&pc, &firmware, why);

	if (err)
		return err;

	const char *cmdline = config.options->append[0] ? config.options->append : guest->args;
	struct load_request request = {
		.image = guest->data,
		.size = guest->size,
		.cmdline = cmdline,
		.files = files,
		.file_count = companions(files),
		.ram_bytes = vm.ram_bytes,
		.rsdp = firmware.rsdp,
	};

	err = load_image(&request, &result, why);
	if (err)
		return err;
	log_info_few(LOG_GUEST, "booting %s '%s' at %#llx%s", image_kind_name(result.kind),
		     guest->name, (unsigned long long)result.entry,
		     cmdline && cmdline[0] ? "" : ", no command line");
	if (cmdline && cmdline[0])
		log_private_few(LOG_GUEST, "its command line: %s", cmdline);
	set_entry_state(&vm.vcpus[0], &result);
	return 0;
}

/* A LAPIC as after power on; the boot CPU's as a BIOS leaves it. */
static void reset_lapic(struct lapic *l, uint32_t *page, unsigned cpu)
{
	const struct lapic_config wanted = {
		.apic_id = vm.apic_ids[cpu],
		.bsp = cpu == 0,
		.features = LAPIC_HAS_X2APIC | LAPIC_HAS_TSC_DEADLINE,
		.phys_bits = (uint8_t)(cpu_policy_cpuid(&vm.vcpus[cpu], 0x80000008, 0).eax & 0xff),
		.tsc_hz = vm.tsc_hz,
		.timer_hz = vm.tsc_hz,
	};

	lapic_init(l, page, &wanted);
	if (wanted.bsp)
		lapic_virtual_wire(l);
}

/* How every LAPIC of the machine, also those of other nodes, is addressed after power on. */
static void reset_book(void)
{
	static uint32_t page[PAGE_SIZE / 4] ALIGNED(PAGE_SIZE);
	static struct lapic scratch;
	struct apic_dest dest;

	apic_book_init(&vm.book);
	for (unsigned i = 0; i < vm.cpu_count; i++) {
		reset_lapic(&scratch, page, i);
		lapic_dest(&scratch, &dest);
		apic_book_update(&vm.book, i, &dest);
	}
}

/* The first vCPU keeps the time of the guest's kernel; the others' ticks may be late, in a cluster. */
static uint64_t late_ticks(const struct vcpu *v)
{
	bool late = config.options->ticks == TICKS_LATE && vm.far && v->index != 0;

	return late ? ns_to_tsc(INTR_TICK_LATE_NS) : 0;
}

static void reset_vcpu(struct vcpu *v)
{
	struct lapic_actions actions = {.mode_changed = true};

	apic_post_init(&v->post);
	reset_lapic(&v->lapic, v->lapic.regs, v->index);
	vm.ops->vcpu_reset(&v->virt);
	v->state = v->index == 0 ? VCPU_RUNNING : VCPU_WAIT_SIPI;
	v->nmi_pending = v->extint = v->irq_window = v->nmi_window = false;
	v->kvm_clock_msr = v->kvm_wall_msr = v->kvm_steal_msr = 0;
	v->robbed_at = v->stolen = 0;
	v->misc_enable = 1;
	v->timer_fired = arch_tsc();
	v->stalled = 0;
	v->ticks.awake = false;
	lapic_tick_init(&v->tick, vm.tsc_hz, late_ticks(v));
	v->due = 0;
	v->recheck = true;
	atomic_store(&v->pv_unhalt, false);
	intr_apply(v, &actions);
}

static int create_vcpu(struct vcpu *v, struct why *why)
{
	hpa_t page = pmem_alloc_zeroed(0);

	if (page == PMEM_NONE)
		return why_set(why, ERR_NOMEM, "no RAM for the APIC page of vCPU %u", v->index);
	v->lapic.regs = pmem_virt(page);
	v->apic_hw = apic_hw();

	struct virt_config virt = {
		.npt = vm.npt,
		.asid = (uint16_t)(v->index + 1),
		.apic_page = v->lapic.regs,
		.use_apic_hw = v->apic_hw,
		.tsc_offset = -vm.tsc_base,
		.cr4_guest = cpu_policy_cr4_allowed(),
		/* What it spins on is held from the node, or the vCPU, that is to change it. */
		.pause_exits = vm.far != NULL || v->cpu->count > 1,
	};
	int err = vm.ops->vcpu_create(&v->virt, &virt, why);

	return err ? err : vtlb_create(v, why);
}

/* Those that live on the calling CPU; the last is the one it has the state of. */
static int create_vcpus(struct vm_cpu *c, struct why *why)
{
	int err = vm.ops->cpu_on(why);

	for (unsigned i = 0; i < c->count && !err; i++) {
		if (c->current)
			vm.ops->vcpu_save(&c->current->virt);
		c->current = c->vcpus[i];
		err = create_vcpu(c->current, why);
	}
	return err;
}

/* The first is the one that the CPU has the state of then: on the head's first CPU the boot CPU. */
static void reset_vcpus(struct vm_cpu *c)
{
	for (unsigned i = c->count; i-- > 0;) {
		turns_switch(c->vcpus[i]);
		reset_vcpu(c->vcpus[i]);
	}
}

static void report_end(enum vm_stop how)
{
	switch (how) {
	case VM_POWERED_OFF:
		log_info(LOG_GUEST, "the guest powered off");
		break;
	case VM_RESET:
		log_info_few(LOG_GUEST, "the guest asked for reset");
		break;
	case VM_DEBUG_EXIT:
		log_info(LOG_GUEST, "debug exit with code %u", vm.debug_code);
		break;
	default:
		log_error(LOG_GUEST, "stopped: %s", vm.stop_why.text);
		break;
	}
}

/* The head's first CPU alone: devices, memory contents and vCPU 0 for the next life. */
static void boot(void)
{
	struct why why = {""};

	devices_start(&vm);
	if (load_guest(&why))
		vm_fail(&vm, "%s", why.text);
}

/* The node's first CPU: the next life begins when all nodes are ready for it. */
static void start(void)
{
	if (vm.far) {
		remote_next_life(&vm);
		remote_ready_all(&vm);
	}
	if (vm_is_head(&vm) && atomic_load(&vm.stop) == VM_RUNNING)
		boot();
}

/* True when the machine is to boot again. */
static bool again(void)
{
	enum vm_stop how;

	if (vm.far)
		remote_stop_all(&vm);
	how = atomic_load(&vm.stop);
	report_end(how);
	if (how != VM_RESET || config.options->on_reset == ON_RESET_STOP)
		return false;
	atomic_store(&vm.stop, VM_RUNNING);
	return true;
}

void machine_run_cpu(void)
{
	static _Atomic bool more;
	struct pcpu *pcpu = pcpu_this();
	struct vm_cpu *c;
	bool leads = pcpu->index == 0;
	struct why why = {""};

	if (pcpu->index >= vm.host_cpus)
		return;
	c = &vm.cpus[pcpu->index];
	c->pcpu = pcpu;
	pcpu->core = c;
	if (create_vcpus(c, &why))
		vm_fail(&vm, "%s", why.text);
	meet();
	do {
		if (atomic_load(&vm.stop) != VM_FAILED)
			reset_vcpus(c);
		if (leads)
			reset_book();
		meet();
		if (leads)
			start();
		meet();
		vcpu_run(c);
		meet();
		if (leads)
			atomic_store(&more, again());
		meet();
	} while (atomic_load(&more));
	vm.ops->cpu_off();
}

/* Also of those that have left. */
static uint64_t sum_exits(enum vm_exit_kind kind)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < vm.cpu_count; i++)
		sum += vm.vcpus[i].exits[kind];
	return sum;
}

static unsigned local_count(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < vm.cpu_count; i++)
		n += vm_is_local(&vm, i);
	return n;
}

static void report_timer(struct report *r, const struct vcpu *v)
{
	const struct timer_counts *c = &v->ticks;

	report_line(r, LOG_VCPU,
		    "vCPU %u: %llu timer interrupts, %llu of them to a halted vCPU, %llu late, "
		    "%llu waits for pages behind those",
		    v->index, (unsigned long long)c->all, (unsigned long long)c->woke,
		    (unsigned long long)c->late, (unsigned long long)c->waits);
}

static void report_vcpu(struct report *r, const struct vcpu *v)
{
	report_line(r, LOG_VCPU,
		    "vCPU %u: %llu interrupts injected, %llu hypercalls, %llu pages backed "
		    "on demand, %llu device memory accesses, %llu accesses to unknown MSRs",
		    v->index, (unsigned long long)v->injected, (unsigned long long)v->hypercalls,
		    (unsigned long long)v->pages_backed, (unsigned long long)v->mmio,
		    (unsigned long long)v->msr_unknown);
	report_timer(r, v);
	if (v->cpu->count > 1)
		report_line(r, LOG_VCPU, "vCPU %u: %llu turns on CPU %u", v->index,
			    (unsigned long long)v->switches, v->cpu->index);
	vtlb_report(r, v);
}

static void report(struct report *r)
{
	report_line(r, LOG_VCPU, "exit counters, all %u vCPUs here:", local_count());
	for (enum vm_exit_kind kind = 0; kind < VM_EXIT_KINDS; kind++)
		if (sum_exits(kind))
			report_line(r, LOG_VCPU, "  %-18s %12llu", vcpu_exit_names[kind],
				    (unsigned long long)sum_exits(kind));
	for (unsigned i = 0; i < vm.cpu_count; i++)
		if (vm_is_local(&vm, i))
			report_vcpu(r, &vm.vcpus[i]);
	image_test_report(r, &vm);
	virtdev_report(&devices.virt, r);
	report_line(r, LOG_VCPU, "guest memory: %llu of %llu MiB backed",
		    (unsigned long long)(vm.ram->backed(&vm) >> 20),
		    (unsigned long long)(vm.ram_bytes >> 20));
	if (vm.ram->report)
		vm.ram->report(&vm, r);
	if (vm.far)
		link_report(&link, r);
}

void machine_report(void)
{
	struct report log = {0};

	report(&log);
	if (vm.far)
		uplink_report(link.wire);
}

size_t machine_status(char *buf, size_t size)
{
	struct report text = {.buf = buf, .size = size};

	report(&text);
	return text.len;
}

bool machine_ended_well(void)
{
	return atomic_load(&vm.stop) != VM_FAILED;
}
