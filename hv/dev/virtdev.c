#include "hv/dev/virtdev.h"
#include "guest/layout.h"
#include "guest/ramdisk.h"
#include "guest/virtio_console.h"
#include "hv/base/log.h"
#include "hv/base/string.h"
#include "hv/dev/devices.h"
#include "hv/cluster/link.h"
#include "hv/dev/netcard.h"
#include "hv/dev/netdisk.h"
#include "hv/cluster/wire.h"
#include "hv/x86/serial.h"

/* The serial port is asked and filled this often; its FIFOs hold 16 bytes, 1.4 ms at this speed. */
#define CONSOLE_POLL_NS (1 * NS_PER_MS)
#define CONSOLE_BAUD    115200
#define CONSOLE_QUEUE   64
/* The wire is looked at this often even when nothing is awaited. */
#define LAN_POLL_NS     (1 * NS_PER_MS)

static struct {
	struct virtio_blk blk;
	bool present, remote;
} disk;

/* Of the devices that are on the wire. */
static struct {
	struct vm *vm;
	bool card;
	uint64_t next_poll;
} lan;

static struct {
	struct virtio_console dev;
	struct serial port;
	bool present;
	uint8_t typed[CONSOLE_QUEUE]; /* not yet taken by the guest */
	size_t typed_count;
	uint64_t next_poll;
} console;

void virtdev_disk_image(void *image, uint64_t bytes)
{
	struct blk_disk backend;

	ramdisk_init(&backend, image, bytes);
	virtio_blk_init(&disk.blk, &backend);
	disk.present = true;
	log_info(LOG_DEV, "the guest has a disk of %llu KiB, kept in this node's RAM",
		 (unsigned long long)(bytes >> 10));
}

static void wake(void)
{
	lan.next_poll = 0;
	devices_wake(lan.vm);
}

static bool on_frame(const void *frame, size_t len)
{
	return netdisk_frame(frame, len) || netcard_frame(frame, len);
}

static void lan_open(struct vm *vm)
{
	lan.vm = vm;
	wire_tap(on_frame);
}

void virtdev_net(struct vm *vm, bool aoe)
{
	lan_open(vm);
	netcard_open(wake, aoe);
	lan.card = true;
}

int virtdev_disk_aoe(struct vm *vm, const char *name, struct why *why)
{
	struct blk_disk backend;
	int err;

	lan_open(vm);
	err = netdisk_open(name, &backend, wake, why);
	if (err)
		return err;
	virtio_blk_init(&disk.blk, &backend);
	disk.present = disk.remote = true;
	return 0;
}

/* What the FIFO has no room for waits in the guest until the next poll. */
static size_t console_tx(void *ctx, const uint8_t *bytes, size_t count)
{
	size_t sent = 0;

	while (sent < count && serial_try_tx(&console.port, bytes[sent]))
		sent++;
	return sent;
}

void virtdev_console_open(uint16_t port)
{
	if (!port)
		return;
	console.present = serial_init(&console.port, port, CONSOLE_BAUD);
	if (console.present)
		virtio_console_init(&console.dev, console_tx, NULL);
	else
		log_warn(LOG_DEV,
			 "no serial port answers at %#x, so the guest gets no virtio console; name "
			 "another with vconsole=",
			 port);
}

int virtdev_plug(struct pci *bus, struct why *why)
{
	int err = 0;

	if (disk.present)
		err = pci_add(bus, &disk.blk.virtio.pci, LAYOUT_DISK_SLOT, why);
	if (lan.card && !err)
		err = pci_add(bus, netcard_pci(), LAYOUT_NET_SLOT, why);
	if (console.present && !err)
		err = pci_add(bus, &console.dev.virtio.pci, LAYOUT_CONSOLE_SLOT, why);
	return err;
}

static void move_typed_and_printed(void)
{
	size_t taken = 0;
	int byte;

	virtio_console_resume(&console.dev);
	while (console.typed_count < CONSOLE_QUEUE && (byte = serial_rx(&console.port)) >= 0)
		console.typed[console.typed_count++] = (uint8_t)byte;
	if (console.typed_count)
		taken = virtio_console_rx(&console.dev, console.typed, console.typed_count);
	console.typed_count -= taken;
	memmove(console.typed, console.typed + taken, console.typed_count);
}

void virtdev_report(struct report *r)
{
	const struct virtio_blk *b = &disk.blk;

	if (disk.present)
		report_line(r, LOG_DEV, "disk: %llu reads, %llu writes, %llu flushes, %llu errors",
			    (unsigned long long)b->reads, (unsigned long long)b->writes,
			    (unsigned long long)b->flushes, (unsigned long long)b->errors);
	if (disk.remote)
		netdisk_report(r);
	if (lan.card)
		netcard_report(r);
}

static uint64_t poll_console(struct pc *pc, uint64_t now)
{
	if (now >= console.next_poll) {
		console.next_poll = now + CONSOLE_POLL_NS;
		move_typed_and_printed();
		pc_pci_sync(pc, now);
	}
	return console.next_poll;
}

static uint64_t poll_lan(struct pc *pc, uint64_t now)
{
	uint64_t next = LAN_POLL_NS;

	if (now < lan.next_poll)
		return lan.next_poll;
	link_poll();
	if (disk.remote)
		next = MIN(next, netdisk_poll());
	if (lan.card)
		next = MIN(next, netcard_poll());
	lan.next_poll = now + next;
	pc_pci_sync(pc, now);
	return lan.next_poll;
}

uint64_t virtdev_poll(struct pc *pc, uint64_t now)
{
	uint64_t next = console.present ? poll_console(pc, now) : UINT64_MAX;

	return lan.vm ? MIN(next, poll_lan(pc, now)) : next;
}
