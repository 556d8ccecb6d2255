/*
 * The composition root: the one place that knows every room. From the handoff to a running machine, and
 * to the node's end.
 */
#include "boot/handoff.h"
#include "hv/base/log.h"
#include "hv/base/string.h"
#include "hv/core/machine.h"
#include "hv/virt/preflight.h"
#include "hv/cluster/uplink.h"
#include "hv/svm/svm.h"
#include "hv/vmx/vmx.h"
#include "hv/x86/cmos.h"
#include "hv/x86/cpu.h"
#include "hv/x86/pcpu_setup.h"
#include "hv/x86/platform.h"
#include "hv/x86/pmem.h"
#include "hv/x86/serial.h"
#include "hv/x86/smp.h"
#include "hv/x86/x86.h"

#define RAM_NEEDED MIB(48)

/* Every vendor that this image serves. */
static const struct virt_ops *const vendors[] = {&vmx_ops, &svm_ops};

static struct options options;
static struct boot_file files[HANDOFF_FILES];
static struct uplink *uplink; /* NULL: not started, or nothing to use it for */
static _Atomic bool machine_ready;

/* The node's last words. */
NORETURN static void node_halt(void)
{
	log_info(LOG_BOOT, "node halted");
	cpu_halt_forever();
}

NORETURN static void node_stop(const char *sentence)
{
	if (uplink)
		uplink_stop(uplink, sentence);
	log_error(LOG_BOOT, "%s", sentence);
	node_halt();
}

static const struct virt_ops *find_vendor(void)
{
	for (size_t i = 0; i < ARRAY_LEN(vendors); i++)
		if (vendors[i]->present())
			return vendors[i];
	return NULL;
}

static const struct virt_ops *preflight(void)
{
	static struct preflight report;
	const struct virt_ops *ops = find_vendor();

	preflight_init(&report);
	if (ops)
		ops->preflight(&report);
	else
		preflight_missing(&report, "virtualization",
				  "this CPU has neither VT-x (CPUID.1:ECX.VMX is 0) nor AMD-V "
				  "(CPUID 80000001h ECX.SVM is 0); "
				  "switch Intel Virtualization Technology or SVM Mode on "
				  "in the firmware setup, or take another machine");
	if (pmem_total_bytes() >= RAM_NEEDED)
		preflight_found(&report, "RAM", "%llu MiB, at least %llu needed",
				(unsigned long long)(pmem_total_bytes() >> 20),
				(unsigned long long)(RAM_NEEDED >> 20));
	else
		preflight_missing(&report, "RAM",
				  "this node has %llu MiB of RAM and %llu are needed; add RAM",
				  (unsigned long long)(pmem_total_bytes() >> 20),
				  (unsigned long long)(RAM_NEEDED >> 20));
	preflight_print(&report);
	if (!preflight_passed(&report))
		node_stop(preflight_first_missing(&report));
	return ops;
}

/* The other CPUs of the node wait here until CPU 0 has made the machine. */
static void cpu_entry(void)
{
	while (!atomic_load(&machine_ready))
		cpu_pause();
	machine_run_cpu();
}

static void list_files(const struct handoff *handoff)
{
	for (unsigned i = 0; i < handoff->file_count; i++) {
		const struct handoff_file *f = &handoff->files[i];

		files[i] =
			(struct boot_file){f->name, f->args, pmem_virt(f->base), (size_t)f->size};
		log_info(LOG_BOOT, "boot file '%s', %llu bytes", f->name,
			 (unsigned long long)f->size);
		if (f->args[0])
			log_private(LOG_BOOT, "boot file '%s': %s", f->name, f->args);
	}
}

static void read_options(const struct handoff *handoff)
{
	struct why why;

	if (handoff->cmdline_cut)
		node_stop("the hypervisor's command line is longer than 2047 bytes; shorten it");
	if (options_parse(handoff->cmdline, &options, &why) || log_configure(options.log, &why))
		node_stop(why.text);
}

/* vCPUs of this node: one per CPU, or what the command line says. More of them take turns. */
static unsigned cpu_count(void)
{
	return options.cpus ? (unsigned)options.cpus : pcpu_count();
}

/* Unlike at any other start of any node: each node mixes its MAC in. */
static uint64_t seed(void)
{
	return rdtsc() ^ (uint64_t)cmos_unix_time() << 32;
}

/* The card, and formation of the cluster, be it of one. */
static void start_uplink(const struct handoff *handoff)
{
	const struct uplink_options wanted = {
		.cluster = options.cluster,
		.nodes = options.nodes,
		.head = options.head,
		.syslog = options.syslog,
		.mtu = options.mtu,
		.cpus = cpu_count(),
		.ram = pmem_free_bytes(),
		.lost_ns = options.lost_after * NS_PER_MS,
		.has_guest = handoff->file_count > 0,
		.tsc_trusted = options.trust_tsc,
		.seed = seed(),
	};
	struct why why;

	uplink = uplink_start(&wanted, &why);
	if (!uplink)
		node_stop(why.text);
}

/* Finds the other nodes and forms the cluster with them. */
static void join(const struct handoff *handoff)
{
	struct why why;

	start_uplink(handoff);
	if (!options.test_wire)
		return;
	if (uplink_selftest(uplink, (uint32_t)options.test_wire, &why))
		node_stop(why.text);
	node_halt();
}

static void make_machine(const struct handoff *handoff, const struct virt_ops *ops)
{
	struct machine_config config = {
		.ops = ops,
		.options = &options,
		.uplink = uplink,
		.files = files,
		.file_count = handoff->file_count,
		.wall_clock = cmos_unix_time(),
	};
	struct why why;

	if (machine_create(&config, cpu_count(), &why))
		node_stop(why.text);
}

static void node_end(void)
{
	if (uplink)
		uplink_close(uplink);
	if (options.on_off == ON_OFF_POWEROFF && machine_ended_well())
		platform_poweroff();
	if (options.on_off == ON_OFF_REBOOT && machine_ended_well())
		platform_reset();
	node_halt();
}

void hv_main(struct handoff *handoff)
{
	const struct virt_ops *ops;
	struct why why;

	log_info(LOG_BOOT, "Amalgam, loaded by %s",
		 handoff->loader == HANDOFF_UEFI ? "UEFI" : "multiboot");
	log_private(LOG_BOOT, "command line: %s", handoff->cmdline);
	read_options(handoff);
	if (x86_init(handoff, &why))
		node_stop(why.text);
	if (options.test_panic[0] && panic_test(options.test_panic, &why))
		node_stop(why.text);
	ops = preflight();
	list_files(handoff);
	if (smp_start(cpu_entry, &why))
		node_stop(why.text);
	if (options.nodes > 1 || options.test_wire)
		join(handoff);
	else if (options.net || str_starts(options.disk, DISK_AOE))
		start_uplink(handoff);
	make_machine(handoff, ops);
	atomic_store(&machine_ready, true);
	if (uplink)
		uplink_status(uplink, machine_status);
	machine_run_cpu();
	machine_report();
	node_end();
}
