#include "hv/dev/virtdev.h"
#include "guest/layout.h"
#include "guest/ramdisk.h"
#include "hv/base/log.h"

/* The wire is looked at this often even when nothing is awaited. */
#define LAN_POLL_NS (1 * NS_PER_MS)

void virtdev_init(struct virtdev *d, void (*wake)(void *ctx), void *ctx)
{
	d->wake = wake;
	d->wake_ctx = ctx;
}

void virtdev_disk_image(struct virtdev *d, void *image, uint64_t bytes)
{
	struct blk_disk backend;

	ramdisk_init(&backend, image, bytes);
	virtio_blk_init(&d->blk, &backend);
	d->disk = true;
	log_info(LOG_DEV, "the guest has a disk of %llu KiB, kept in this node's RAM",
		 (unsigned long long)(bytes >> 10));
}

/* --- On the network --- */

static void on_wake(void *owner)
{
	struct virtdev *d = owner;

	d->lan_next = 0;
	d->wake(d->wake_ctx);
}

static bool on_frame(void *owner, const void *frame, size_t len)
{
	struct virtdev *d = owner;

	return (d->disk_remote && netdisk_frame(&d->remote, frame, len)) ||
	       (d->net && netcard_frame(&d->card, frame, len));
}

void virtdev_lan(struct virtdev *d, const struct lan *lan)
{
	d->lan = *lan;
	d->lan.wake = on_wake;
	d->lan.owner = d;
	d->on_lan = true;
	lan->tap(lan->ctx, on_frame, d);
}

void virtdev_net(struct virtdev *d, bool aoe)
{
	netcard_open(&d->card, &d->lan, aoe);
	d->net = true;
}

int virtdev_disk_aoe(struct virtdev *d, const char *name, struct why *why)
{
	struct blk_disk backend;
	int err;

	d->disk_remote = true; /* the target's answers come before it is found */
	err = netdisk_open(&d->remote, &d->lan, name, &backend, why);
	d->disk_remote = !err;
	if (err)
		return err;
	virtio_blk_init(&d->blk, &backend);
	d->disk = true;
	return 0;
}

static uint64_t poll_lan(struct virtdev *d, struct pc *pc, uint64_t now)
{
	uint64_t next = LAN_POLL_NS, due;

	if (now < d->lan_next)
		return d->lan_next;
	d->lan.poll(d->lan.ctx);
	if (d->disk_remote) {
		due = netdisk_poll(&d->remote);
		next = MIN(next, due);
	}
	if (d->net) {
		due = netcard_poll(&d->card);
		next = MIN(next, due);
	}
	d->lan_next = now + next;
	pc_pci_sync(pc, now);
	return d->lan_next;
}

/* --- The console --- */

/* What the FIFO has no room for waits in the guest until the next poll. */
static size_t console_tx(void *ctx, const uint8_t *bytes, size_t count)
{
	struct virtdev *d = ctx;
	size_t sent = 0;

	while (sent < count && serial_try_tx(&d->tty.port, bytes[sent]))
		sent++;
	return sent;
}

static size_t console_rx(void *ctx, const uint8_t *bytes, size_t count)
{
	struct virtdev *d = ctx;

	return virtio_console_rx(&d->console, bytes, count);
}

void virtdev_console_open(struct virtdev *d, uint16_t port)
{
	tty_open(&d->tty, port, "virtio console", "vconsole");
	if (d->tty.open)
		virtio_console_init(&d->console, console_tx, d);
}

static void poll_console(struct virtdev *d, struct pc *pc, uint64_t now)
{
	if (now < tty_due(&d->tty))
		return;
	virtio_console_resume(&d->console);
	tty_poll(&d->tty, now, console_rx, d);
	pc_pci_sync(pc, now);
}

/* --- All of them --- */

int virtdev_plug(struct virtdev *d, struct pci *bus, struct why *why)
{
	int err = 0;

	if (d->disk)
		err = pci_add(bus, &d->blk.virtio.pci, LAYOUT_DISK_SLOT, why);
	if (d->net && !err)
		err = pci_add(bus, &d->card.dev.virtio.pci, LAYOUT_NET_SLOT, why);
	if (d->tty.open && !err)
		err = pci_add(bus, &d->console.virtio.pci, LAYOUT_CONSOLE_SLOT, why);
	return err;
}

uint64_t virtdev_poll(struct virtdev *d, struct pc *pc, uint64_t now)
{
	uint64_t lan = d->on_lan ? poll_lan(d, pc, now) : UINT64_MAX;

	poll_console(d, pc, now);
	return MIN(lan, tty_due(&d->tty));
}

void virtdev_report(const struct virtdev *d, struct report *r)
{
	const struct virtio_blk *b = &d->blk;

	if (d->disk)
		report_line(r, LOG_DEV, "disk: %llu reads, %llu writes, %llu flushes, %llu errors",
			    (unsigned long long)b->reads, (unsigned long long)b->writes,
			    (unsigned long long)b->flushes, (unsigned long long)b->errors);
	if (d->disk_remote)
		netdisk_report(&d->remote, r);
	if (d->net)
		netcard_report(&d->card, r);
}
