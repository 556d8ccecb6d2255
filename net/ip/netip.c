#include "net/ip/netip.h"

#include "hv/base/string.h"
#include "net/ip/hooks.h"
#include "net/ip/netip_priv.h"

#define RX_BATCH     32
#define LINK_LOOK_NS (1 * NS_PER_S)

/* What lwIP is to serve; it says so nowhere in its calls. NULL: not started. */
static struct netip *stack;

/* --- What lwIP asks of its platform --- */

void netip_assert_owner(void)
{
	ASSERT(stack == NULL || plat_cpu() == stack->owner);
}

uint32_t netip_random(void)
{
	uint64_t z = (stack->random += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	return (uint32_t)(z ^ z >> 32);
}

u32_t sys_now(void)
{
	return (u32_t)(stack->now / NS_PER_MS);
}

/* --- Receiving --- */

static void rx_free(struct pbuf *p)
{
	/* The pbuf is the first member of pbuf_custom, which is the first of netip_rx. */
	struct netip_rx *rx = (struct netip_rx *)(void *)p;

	nic_rx_done(rx->nic, rx->buffer);
}

signed char netip_unknown_frame(struct pbuf *p, struct netif *netif)
{
	const struct netip *ip = netif->state;
	const uint8_t *frame = p->payload;

	if (ip->config.raw == NULL || p->len < NIC_ETH ||
	    (frame[12] << 8 | frame[13]) != ip->config.raw_type)
		return ERR_ARG;
	ip->config.raw(ip->config.ctx, ip->now, frame, p->len);
	pbuf_free(p);
	return ERR_OK;
}

static void rx_frame(struct netip *ip, const struct nic_frame *f)
{
	struct netip_rx *rx = &ip->rx[f->buffer];
	struct pbuf *p;

	if (ip->config.tap && ip->config.tap(ip->config.ctx, f->data, f->len)) {
		nic_rx_done(ip->nic, f->buffer);
		return;
	}
	rx->nic = ip->nic;
	rx->buffer = f->buffer;
	rx->pbuf.custom_free_function = rx_free;
	p = pbuf_alloced_custom(PBUF_RAW, f->len, PBUF_REF, &rx->pbuf, f->data, f->len);
	ASSERT(p != NULL);
	if (ip->netif.input(p, &ip->netif) != ERR_OK)
		pbuf_free(p);
}

/* --- Sending --- */

static err_t link_output(struct netif *netif, struct pbuf *p)
{
	struct netip *ip = netif->state;
	uint8_t *buf = nic_tx_buffer(ip->nic);

	if (buf == NULL || p->tot_len > NIC_ETH + NIC_MTU) {
		ip->stats.tx_full++;
		return ERR_MEM;
	}
	pbuf_copy_partial(p, buf, p->tot_len, 0);
	/* The shortest frame is 60 bytes; what is left of an earlier one must not go out with it. */
	if (p->tot_len < 60)
		memset(buf + p->tot_len, 0, 60u - p->tot_len);
	nic_tx_send(ip->nic, MAX(p->tot_len, 60));
	nic_tx_kick(ip->nic);
	return ERR_OK;
}

bool netip_send(struct netip *ip, const void *frame, size_t len)
{
	bool sent;

	netip_assert_owner();
	sent = nic_send(ip->nic, frame, len);
	ip->stats.tx_full += !sent;
	return sent;
}

/* --- Set-up --- */

static err_t netif_up(struct netif *n)
{
	const struct netip *ip = n->state;

	n->name[0] = 'n';
	n->name[1] = 'i';
	n->output = etharp_output;
	n->linkoutput = link_output;
	n->mtu = NIC_MTU;
	n->hwaddr_len = NIC_MAC;
	memcpy(n->hwaddr, ip->nic->mac, NIC_MAC);
	n->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
	return ERR_OK;
}

static void status_changed(struct netif *n)
{
	const uint8_t *a = (const uint8_t *)&netif_ip4_addr(n)->addr;

	if (netif_is_up(n) && !ip4_addr_isany_val(*netif_ip4_addr(n)))
		log_info_few(LOG_NET, "address %u.%u.%u.%u", a[0], a[1], a[2], a[3]);
}

static ip4_addr_t address(uint32_t written)
{
	ip4_addr_t a = {.addr = lwip_htonl(written)};

	return a;
}

static void link_look(struct netip *ip)
{
	ip->link_at = ip->now + LINK_LOOK_NS;
	nic_link(ip->nic);
	if (ip->nic->link == !!netif_is_link_up(&ip->netif))
		return;
	log_info_few(LOG_NET, "link %s", ip->nic->link ? "up" : "down");
	if (ip->nic->link)
		netif_set_link_up(&ip->netif);
	else
		netif_set_link_down(&ip->netif);
}

static int services_start(struct netip *ip, struct why *why)
{
	int err = ip->config.syslog ? netip_syslog_start(ip, why) : 0;

	if (err == 0 && ip->config.status)
		err = netip_console_start(ip, why);
	return err;
}

static int interface_start(struct netip *ip, struct why *why)
{
	const struct netip_config *c = &ip->config;
	ip4_addr_t own = address(c->address), mask = address(c->mask),
		   gateway = address(c->gateway);

	if (netif_add(&ip->netif, &own, &mask, &gateway, ip, netif_up, ethernet_input) == NULL)
		return why_set(why, ERR_NOMEM, "lwIP does not take the network interface");
	netif_set_hostname(&ip->netif, c->hostname);
	netif_set_status_callback(&ip->netif, status_changed);
	netif_set_default(&ip->netif);
	link_look(ip);
	netif_set_up(&ip->netif);
	if (c->address == 0 && dhcp_start(&ip->netif) != ERR_OK)
		return why_set(why, ERR_NOMEM, "lwIP has no memory for its DHCP client");
	return services_start(ip, why);
}

struct netip *netip_start(struct nic *nic, const struct netip_config *config, uint64_t now,
			  struct why *why)
{
	static struct netip ip;

	ASSERT(stack == NULL);
	ip.nic = nic;
	ip.config = *config;
	ip.now = now;
	ip.random = config->seed;
	ip.owner = plat_cpu();
	stack = &ip;
	lwip_init();
	return interface_start(&ip, why) ? NULL : &ip;
}

/* --- Running --- */

/* After a poll that began at `now` and took `count` frames. */
static void look_back(struct netip *ip, uint64_t now, unsigned count)
{
	bool empty = count < RX_BATCH;

	ip->taken += count;
	/* A ring that is never empty has still been gone through once so many frames were taken. */
	if (!empty && ip->taken - ip->mark_taken < NIC_RX_BUFFERS)
		return;
	ip->seen = empty ? now : ip->mark_at;
	ip->mark_at = now;
	ip->mark_taken = ip->taken;
}

bool netip_poll(struct netip *ip, uint64_t now)
{
	struct nic_frame f;
	unsigned count = 0;

	netip_assert_owner();
	ip->now = now;
	while (count < RX_BATCH && nic_rx(ip->nic, &f)) {
		rx_frame(ip, &f);
		count++;
	}
	look_back(ip, now, count);
	sys_check_timeouts();
	if (now >= ip->link_at)
		link_look(ip);
	if (ip->config.syslog)
		netip_syslog_run(ip);
	if (ip->config.status)
		netip_console_run(ip);
	return count > 0;
}

uint64_t netip_deadline(struct netip *ip, uint64_t now)
{
	u32_t ms;

	netip_assert_owner();
	ip->now = now;
	if (ip->config.syslog && netip_syslog_waits(ip))
		return now;
	ms = sys_timeouts_sleeptime();
	return MIN(ip->link_at,
		   ms == SYS_TIMEOUTS_SLEEPTIME_INFINITE ? UINT64_MAX : now + ms * NS_PER_MS);
}

uint64_t netip_seen(const struct netip *ip)
{
	return ip->seen;
}

uint32_t netip_address(const struct netip *ip)
{
	return lwip_ntohl(netif_ip4_addr(&ip->netif)->addr);
}

const struct netip_stats *netip_stats_get(const struct netip *ip)
{
	return &ip->stats;
}
