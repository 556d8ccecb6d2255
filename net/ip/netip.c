#include "net/ip/netip.h"

#include "hv/base/string.h"
#include "net/ip/hooks.h"
#include "net/ip/netip_priv.h"

#define RX_BATCH     32
#define LINK_LOOK_NS (1 * NS_PER_S)

struct netip netip;

/* --- What lwIP asks of its platform --- */

void netip_assert_owner(void);
void netip_assert_owner(void)
{
	ASSERT(!netip.started || plat_cpu() == netip.owner);
}

uint32_t netip_random(void)
{
	uint64_t z = (netip.random += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	return (uint32_t)(z ^ z >> 32);
}

u32_t sys_now(void)
{
	return (u32_t)(netip.now / NS_PER_MS);
}

/* --- Receiving --- */

static void rx_free(struct pbuf *p)
{
	/* The pbuf is the first member of pbuf_custom, which is the first of netip_rx. */
	nic_rx_done(netip.nic, ((struct netip_rx *)(void *)p)->buffer);
}

signed char netip_unknown_frame(struct pbuf *p, struct netif *netif)
{
	const uint8_t *frame = p->payload;

	(void)netif;
	if (netip.config.wire == NULL || (frame[12] << 8 | frame[13]) != netip.config.wire_type)
		return ERR_ARG;
	netip.config.wire(netip.config.ctx, netip.now, frame, p->len);
	pbuf_free(p);
	return ERR_OK;
}

static void rx_frame(const struct nic_frame *f)
{
	struct netip_rx *rx = &netip.rx[f->buffer];
	struct pbuf *p;

	if (netip.config.tap && netip.config.tap(netip.config.ctx, f->data, f->len)) {
		nic_rx_done(netip.nic, f->buffer);
		return;
	}
	rx->buffer = f->buffer;
	rx->pbuf.custom_free_function = rx_free;
	p = pbuf_alloced_custom(PBUF_RAW, f->len, PBUF_REF, &rx->pbuf, f->data, f->len);
	ASSERT(p != NULL);
	if (netip.netif.input(p, &netip.netif) != ERR_OK)
		pbuf_free(p);
}

/* --- Sending --- */

static err_t link_output(struct netif *netif, struct pbuf *p)
{
	uint8_t *buf = nic_tx_buffer(netip.nic);

	(void)netif;
	if (buf == NULL || p->tot_len > NIC_ETH + NIC_MTU) {
		netip.stats.tx_full++;
		return ERR_MEM;
	}
	pbuf_copy_partial(p, buf, p->tot_len, 0);
	/* The shortest frame is 60 bytes; what is left of an earlier one must not go out with it. */
	if (p->tot_len < 60)
		memset(buf + p->tot_len, 0, 60u - p->tot_len);
	nic_tx_send(netip.nic, MAX(p->tot_len, 60));
	nic_tx_kick(netip.nic);
	return ERR_OK;
}

bool netip_send(const void *frame, size_t len)
{
	bool sent;

	netip_assert_owner();
	sent = nic_send(netip.nic, frame, len);
	netip.stats.tx_full += !sent;
	return sent;
}

/* --- Set-up --- */

static err_t netif_up(struct netif *n)
{
	n->name[0] = 'n';
	n->name[1] = 'i';
	n->output = etharp_output;
	n->linkoutput = link_output;
	n->mtu = NIC_MTU;
	n->hwaddr_len = NIC_MAC;
	memcpy(n->hwaddr, netip.nic->mac, NIC_MAC);
	n->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
	return ERR_OK;
}

static void status_changed(struct netif *n)
{
	const uint8_t *a = (const uint8_t *)&netif_ip4_addr(n)->addr;

	if (netif_is_up(n) && !ip4_addr_isany_val(*netif_ip4_addr(n)))
		log_info(LOG_NET, "address %u.%u.%u.%u", a[0], a[1], a[2], a[3]);
}

static ip4_addr_t address(uint32_t written)
{
	ip4_addr_t a = {.addr = lwip_htonl(written)};

	return a;
}

static void link_look(void)
{
	netip.link_at = netip.now + LINK_LOOK_NS;
	nic_link(netip.nic);
	if (netip.nic->link == !!netif_is_link_up(&netip.netif))
		return;
	log_info(LOG_NET, "link %s", netip.nic->link ? "up" : "down");
	if (netip.nic->link)
		netif_set_link_up(&netip.netif);
	else
		netif_set_link_down(&netip.netif);
}

static int services_start(struct why *why)
{
	int err = netip.config.syslog ? netip_syslog_start(why) : 0;

	if (err == 0 && netip.config.status)
		err = netip_console_start(why);
	return err;
}

int netip_start(struct nic *nic, const struct netip_config *config, uint64_t now, struct why *why)
{
	const struct netip_config *c = &netip.config;
	ip4_addr_t ip, mask, gateway;

	ASSERT(!netip.started);
	netip.nic = nic;
	netip.config = *config;
	netip.now = now;
	netip.random = config->seed;
	netip.owner = plat_cpu();
	netip.started = true;
	lwip_init();
	ip = address(c->address);
	mask = address(c->mask);
	gateway = address(c->gateway);
	if (netif_add(&netip.netif, &ip, &mask, &gateway, NULL, netif_up, ethernet_input) == NULL)
		return why_set(why, ERR_NOMEM, "lwIP does not take the network interface");
	netif_set_hostname(&netip.netif, netip.config.hostname);
	netif_set_status_callback(&netip.netif, status_changed);
	netif_set_default(&netip.netif);
	link_look();
	netif_set_up(&netip.netif);
	if (c->address == 0 && dhcp_start(&netip.netif) != ERR_OK)
		return why_set(why, ERR_NOMEM, "lwIP has no memory for its DHCP client");
	return services_start(why);
}

/* --- Running --- */

/* After a poll that began at `now` and took `count` frames. */
static void look_back(uint64_t now, unsigned count)
{
	bool empty = count < RX_BATCH;

	netip.taken += count;
	/* A ring that is never empty has still been gone through once so many frames were taken. */
	if (!empty && netip.taken - netip.mark_taken < NIC_RX_BUFFERS)
		return;
	netip.seen = empty ? now : netip.mark_at;
	netip.mark_at = now;
	netip.mark_taken = netip.taken;
}

bool netip_poll(uint64_t now)
{
	struct nic_frame f;
	unsigned count = 0;

	netip_assert_owner();
	netip.now = now;
	while (count < RX_BATCH && nic_rx(netip.nic, &f)) {
		rx_frame(&f);
		count++;
	}
	look_back(now, count);
	sys_check_timeouts();
	if (now >= netip.link_at)
		link_look();
	if (netip.config.syslog)
		netip_syslog_run();
	return count > 0;
}

uint64_t netip_deadline(uint64_t now)
{
	u32_t ms;

	netip_assert_owner();
	netip.now = now;
	if (netip.config.syslog && netip_syslog_waits())
		return now;
	ms = sys_timeouts_sleeptime();
	return MIN(netip.link_at,
		   ms == SYS_TIMEOUTS_SLEEPTIME_INFINITE ? UINT64_MAX : now + ms * NS_PER_MS);
}

uint64_t netip_seen(void)
{
	return netip.seen;
}

uint32_t netip_address(void)
{
	return lwip_ntohl(netif_ip4_addr(&netip.netif)->addr);
}

const struct netip_stats *netip_stats_get(void)
{
	return &netip.stats;
}
