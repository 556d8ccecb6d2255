/* The log as UDP syslog, RFC 5424 in its shortest form: one datagram per line, facility local0. */

#include "hv/base/fmt.h"
#include "hv/base/string.h"
#include "net/ip/netip_priv.h"

#define PRIORITY_INFO (16 * 8 + 6) /* RFC 5424, 6.2.1 */
#define LINES_A_POLL  8

int netip_syslog_start(struct netip *ip, struct why *why)
{
	ip->syslog.pcb = udp_new();
	ip->syslog.reader.outside = true;
	if (ip->syslog.pcb == NULL)
		return why_set(why, ERR_NOMEM, "lwIP has no memory for the syslog socket");
	return 0;
}

static bool reachable(const struct netip *ip)
{
	return netif_is_up(&ip->netif) && netif_is_link_up(&ip->netif) &&
	       !ip4_addr_isany_val(*netif_ip4_addr(&ip->netif));
}

static bool send_line(struct netip *ip, const char *text, size_t len)
{
	ip_addr_t to = {.addr = lwip_htonl(ip->config.syslog)};
	char head[80];
	int n = (int)fmt_print(head, sizeof(head), "<%u>1 - %s amalgam - - - ", PRIORITY_INFO,
			       ip->config.hostname[0] ? ip->config.hostname : "-");
	struct pbuf *p = pbuf_alloc(PBUF_TRANSPORT, (u16_t)((size_t)n + len), PBUF_RAM);
	err_t err;

	if (p == NULL)
		return false;
	pbuf_take(p, head, (u16_t)n);
	pbuf_take_at(p, text, (u16_t)len, (u16_t)n);
	err = udp_sendto(ip->syslog.pcb, p, &to, NETIP_SYSLOG_PORT);
	pbuf_free(p);
	return err == ERR_OK;
}

/* Length of the first whole line, its newline counted; a line that does not fit is cut. */
static size_t line_next(const struct syslog *s)
{
	for (size_t i = 0; i < s->len; i++) {
		if (s->line[i] == '\n')
			return i + 1;
	}
	return s->len == sizeof(s->line) ? s->len : 0;
}

static void fill(struct syslog *s)
{
	s->len += log_read(&s->reader, s->line + s->len, sizeof(s->line) - s->len);
}

bool netip_syslog_waits(struct netip *ip)
{
	struct syslog *s = &ip->syslog;

	if (!reachable(ip))
		return false;
	fill(s);
	return line_next(s) > 0;
}

void netip_syslog_run(struct netip *ip)
{
	struct syslog *s = &ip->syslog;

	for (unsigned i = 0; i < LINES_A_POLL && netip_syslog_waits(ip); i++) {
		size_t len = line_next(s), text = len - (s->line[len - 1] == '\n');

		if (text > 0) {
			if (!send_line(ip, s->line, text))
				return; /* the ring is full or memory is out: later */
			ip->stats.syslog_lines++;
		}
		s->len -= len;
		memmove(s->line, s->line + len, s->len);
	}
}
