#include "tests/hosted/port.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define SLOTS 128 /* few enough to stay in the caches */
#define BLOCK 65536

static void need(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(2);
}

void port_open(struct port *p, const char *name, uint16_t ethertype)
{
	struct tpacket_req req = {.tp_block_size = BLOCK,
				  .tp_block_nr = SLOTS * PORT_FRAME / BLOCK,
				  .tp_frame_size = PORT_FRAME,
				  .tp_frame_nr = SLOTS};
	struct sockaddr_ll addr = {.sll_family = AF_PACKET, .sll_protocol = htons(ethertype)};
	int version = TPACKET_V2, one = 1;

	memset(p, 0, sizeof(*p));
	p->fd = socket(AF_PACKET, SOCK_RAW, 0);
	need(p->fd >= 0, "AF_PACKET socket");
	p->ifindex = (int)if_nametoindex(name);
	need(p->ifindex > 0, name);
	need(!setsockopt(p->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)),
	     "PACKET_VERSION");
	need(!setsockopt(p->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)),
	     "PACKET_IGNORE_OUTGOING");
	need(!setsockopt(p->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)),
	     "PACKET_QDISC_BYPASS");
	need(!setsockopt(p->fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)), "PACKET_RX_RING");
	p->ring = mmap(NULL, (size_t)SLOTS * PORT_FRAME, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, p->fd, 0);
	need(p->ring != MAP_FAILED, "mmap of the ring");
	p->slots = SLOTS;
	addr.sll_ifindex = p->ifindex;
	need(!bind(p->fd, (struct sockaddr *)&addr, sizeof(addr)), "bind");
}

static struct tpacket2_hdr *slot(const struct port *p)
{
	return (struct tpacket2_hdr *)(void *)(p->ring + (size_t)p->next * PORT_FRAME);
}

const uint8_t *port_peek(struct port *p, size_t *len)
{
	struct tpacket2_hdr *h = slot(p);

	if (!(*(volatile uint32_t *)&h->tp_status & TP_STATUS_USER))
		return NULL;
	atomic_thread_fence(memory_order_acquire);
	*len = h->tp_snaplen;
	return (const uint8_t *)h + h->tp_mac;
}

void port_done(struct port *p)
{
	atomic_thread_fence(memory_order_release);
	*(volatile uint32_t *)&slot(p)->tp_status = TP_STATUS_KERNEL;
	p->next = (p->next + 1) % p->slots;
	p->frames_in++;
}

uint8_t *port_room(struct port *p)
{
	if (p->queued == PORT_BATCH)
		port_flush(p);
	return p->out[p->queued];
}

void port_queue(struct port *p, size_t len)
{
	p->out_len[p->queued++] = len;
}

void port_flush(struct port *p)
{
	struct mmsghdr msgs[PORT_BATCH];
	struct iovec parts[PORT_BATCH];
	unsigned sent = 0;

	for (unsigned i = 0; i < p->queued; i++) {
		parts[i] = (struct iovec){p->out[i], p->out_len[i]};
		msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[i], .msg_iovlen = 1}};
	}
	while (sent < p->queued) {
		int n = sendmmsg(p->fd, msgs + sent, p->queued - sent, 0);

		/* A full queue below: what is lost here the transport sends again. */
		if (n <= 0)
			break;
		sent += (unsigned)n;
	}
	p->frames_out += sent;
	p->queued = 0;
}
