/*
 * The status console: who connects to NETIP_CONSOLE_PORT gets the status and the log's tail as text,
 * then the connection is closed. Nothing that is sent to it is looked at.
 */

#include "hv/base/string.h"
#include "net/ip/netip_priv.h"

#define READERS  2
#define LOG_TAIL 6144
#define PATIENCE 20 /* polls of half a second without progress */

struct reader {
	struct tcp_pcb *pcb; /* NULL: free */
	size_t len, sent;
	unsigned idle;
	char text[NETIP_STATUS];
};

static struct reader readers[READERS];

static void reader_free(struct reader *r)
{
	tcp_arg(r->pcb, NULL);
	tcp_sent(r->pcb, NULL);
	tcp_poll(r->pcb, NULL, 0);
	tcp_err(r->pcb, NULL);
	r->pcb = NULL;
}

/* Queues as much as there is room for; closes behind the end. */
static err_t push(struct reader *r)
{
	struct tcp_pcb *pcb = r->pcb;

	while (r->sent < r->len && tcp_sndbuf(pcb) > 0) {
		size_t n = MIN(MIN(r->len - r->sent, (size_t)tcp_sndbuf(pcb)), (size_t)TCP_MSS);

		if (tcp_write(pcb, r->text + r->sent, (u16_t)n, TCP_WRITE_FLAG_COPY) != ERR_OK)
			break;
		r->sent += n;
		r->idle = 0;
	}
	if (r->sent < r->len) {
		tcp_output(pcb);
		return ERR_OK;
	}
	reader_free(r);
	if (tcp_close(pcb) == ERR_OK)
		return ERR_OK;
	tcp_abort(pcb);
	return ERR_ABRT;
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
	(void)pcb, (void)len;
	return push(arg);
}

static err_t on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
	(void)arg, (void)err;
	if (p == NULL)
		return ERR_OK; /* it sends no more; it may still read */
	tcp_recved(pcb, p->tot_len);
	pbuf_free(p);
	return ERR_OK;
}

static err_t on_poll(void *arg, struct tcp_pcb *pcb)
{
	struct reader *r = arg;

	if (++r->idle < PATIENCE)
		return push(r);
	reader_free(r);
	tcp_abort(pcb);
	return ERR_ABRT;
}

static void on_err(void *arg, err_t err)
{
	struct reader *r = arg;

	(void)err;
	r->pcb = NULL; /* lwIP has freed it */
}

/* The log's last LOG_TAIL bytes, from a line's beginning. */
static size_t log_tail(char *buf)
{
	struct log_reader reader = {0};
	size_t len = 0, n;

	while ((n = log_read(&reader, buf + len, 2 * LOG_TAIL - len)) > 0) {
		len += n;
		if (len > LOG_TAIL) {
			memmove(buf, buf + len - LOG_TAIL, LOG_TAIL);
			len = LOG_TAIL;
		}
	}
	for (n = 0; len == LOG_TAIL && n < len; n++) {
		if (buf[n] == '\n') {
			memmove(buf, buf + n + 1, len - n - 1);
			return len - n - 1;
		}
	}
	return len;
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
	struct reader *r = readers;

	(void)arg;
	if (err != ERR_OK || pcb == NULL)
		return ERR_VAL;
	while (r < readers + READERS && r->pcb != NULL)
		r++;
	if (r == readers + READERS) {
		tcp_abort(pcb);
		return ERR_ABRT;
	}
	netip.stats.console_reads++;
	r->pcb = pcb;
	r->sent = 0;
	r->idle = 0;
	STATIC_ASSERT(NETIP_STATUS > 2 * LOG_TAIL, "the tail needs room twice while it is cut");
	r->len = netip.config.status(netip.config.ctx, r->text, NETIP_STATUS - 2 * LOG_TAIL);
	r->len += log_tail(r->text + r->len);
	tcp_arg(pcb, r);
	tcp_recv(pcb, on_recv);
	tcp_sent(pcb, on_sent);
	tcp_err(pcb, on_err);
	tcp_poll(pcb, on_poll, 1);
	return push(r);
}

int netip_console_start(struct why *why)
{
	struct tcp_pcb *pcb = tcp_new(), *listener;

	if (pcb == NULL || tcp_bind(pcb, IP_ADDR_ANY, NETIP_CONSOLE_PORT) != ERR_OK)
		return why_set(why, ERR_NOMEM, "lwIP has no memory for the status console");
	listener = tcp_listen(pcb);
	if (listener == NULL)
		return why_set(why, ERR_NOMEM, "lwIP has no memory for the status console");
	tcp_accept(listener, on_accept);
	return 0;
}
