/* The log as UDP syslog, RFC 5424 in its shortest form: one datagram per line, facility local0. */

#include "hv/base/fmt.h"
#include "hv/base/string.h"
#include "net/ip/netip_priv.h"

#define PRIORITY_INFO (16 * 8 + 6) /* RFC 5424, 6.2.1 */
#define LINES_A_POLL  8
#define LINE_MAX_LEN  600

static struct {
	struct udp_pcb *pcb;
	struct log_reader reader;
	char line
		[LINE_MAX_LEN]; /* what was read of the next line, maybe with the start of another */
	size_t len;
} syslog;

int netip_syslog_start(struct why *why)
{
	syslog.pcb = udp_new();
	if (syslog.pcb == NULL)
		return why_set(why, ERR_NOMEM, "lwIP has no memory for the syslog socket");
	return 0;
}

static bool reachable(void)
{
	return netif_is_up(&netip.netif) && netif_is_link_up(&netip.netif) &&
	       !ip4_addr_isany_val(*netif_ip4_addr(&netip.netif));
}

static bool send_line(const char *text, size_t len)
{
	ip_addr_t to = {.addr = lwip_htonl(netip.config.syslog)};
	char head[80];
	int n = (int)fmt_print(head, sizeof(head), "<%u>1 - %s amalgam - - - ", PRIORITY_INFO,
			       netip.config.hostname[0] ? netip.config.hostname : "-");
	struct pbuf *p = pbuf_alloc(PBUF_TRANSPORT, (u16_t)((size_t)n + len), PBUF_RAM);
	err_t err;

	if (p == NULL)
		return false;
	pbuf_take(p, head, (u16_t)n);
	pbuf_take_at(p, text, (u16_t)len, (u16_t)n);
	err = udp_sendto(syslog.pcb, p, &to, NETIP_SYSLOG_PORT);
	pbuf_free(p);
	return err == ERR_OK;
}

/* Length of the first whole line, its newline counted; a line that does not fit is cut. */
static size_t line_next(void)
{
	for (size_t i = 0; i < syslog.len; i++) {
		if (syslog.line[i] == '\n')
			return i + 1;
	}
	return syslog.len == sizeof(syslog.line) ? syslog.len : 0;
}

static void fill(void)
{
	syslog.len += log_read(&syslog.reader, syslog.line + syslog.len,
			       sizeof(syslog.line) - syslog.len);
}

bool netip_syslog_waits(void)
{
	if (!reachable())
		return false;
	fill();
	return line_next() > 0;
}

void netip_syslog_run(void)
{
	for (unsigned i = 0; i < LINES_A_POLL && netip_syslog_waits(); i++) {
		size_t len = line_next(), text = len - (syslog.line[len - 1] == '\n');

		if (text > 0) {
			if (!send_line(syslog.line, text))
				return; /* the ring is full or memory is out: later */
			netip.stats.syslog_lines++;
		}
		syslog.len -= len;
		memmove(syslog.line, syslog.line + len, syslog.len);
	}
}
