#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/wire/packet.h"

static void fail(const char *what, const char *interface)
{
	fprintf(stderr, "interface %s: %s: %s\n", interface, what, strerror(errno));
	exit(2);
}

static void option(struct packet *p, const char *interface, int name, int value, const char *what)
{
	if (setsockopt(p->fd, SOL_PACKET, name, &value, sizeof(value)) != 0)
		fail(what, interface);
}

void packet_open(struct packet *p, const char *interface, uint16_t type)
{
	struct sockaddr_ll addr = {.sll_family = AF_PACKET, .sll_protocol = htons(type)};
	struct packet_mreq all = {.mr_type = PACKET_MR_PROMISC};
	struct ifreq ifr;
	int bytes = 8 << 20;

	memset(&ifr, 0, sizeof(ifr));
	strncpy(ifr.ifr_name, interface, IFNAMSIZ - 1);
	p->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(type));
	if (p->fd < 0)
		fail("no raw socket (run it in a namespace of its own, unshare -Urn)", interface);
	if (ioctl(p->fd, SIOCGIFHWADDR, &ifr) != 0)
		fail("no such interface", interface);
	memcpy(p->mac, ifr.ifr_hwaddr.sa_data, 6);
	if (ioctl(p->fd, SIOCGIFMTU, &ifr) != 0)
		fail("MTU", interface);
	p->mtu = (uint16_t)ifr.ifr_mtu;
	addr.sll_ifindex = (int)if_nametoindex(interface);
	all.mr_ifindex = addr.sll_ifindex;
	if (bind(p->fd, (struct sockaddr *)&addr, sizeof(addr)) != 0)
		fail("bind", interface);
	setsockopt(p->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	option(p, interface, PACKET_IGNORE_OUTGOING, 1, "ignoring own frames");
	option(p, interface, PACKET_QDISC_BYPASS, 1, "bypassing the queue");
	if (type == PACKET_ALL &&
	    setsockopt(p->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) != 0)
		fail("promiscuous mode", interface);
}

size_t packet_recv(struct packet *p, void *buf, size_t size)
{
	ssize_t n = recv(p->fd, buf, size, MSG_DONTWAIT | MSG_TRUNC);

	return n <= 0 || (size_t)n > size ? 0 : (size_t)n;
}

bool packet_send(struct packet *p, const void *frame, size_t len)
{
	return send(p->fd, frame, len, MSG_DONTWAIT) == (ssize_t)len;
}

void packet_wait(struct packet *p, uint64_t deadline)
{
	struct pollfd pfd = {.fd = p->fd, .events = POLLIN};
	uint64_t now = packet_now();
	struct timespec ts = {0, 0};

	if (deadline <= now)
		return;
	deadline = MIN(deadline - now, NS_PER_S);
	ts.tv_sec = (time_t)(deadline / NS_PER_S);
	ts.tv_nsec = (long)(deadline % NS_PER_S);
	ppoll(&pfd, 1, &ts, NULL);
}

uint64_t packet_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}
