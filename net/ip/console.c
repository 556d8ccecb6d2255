/*
 * The status console: who connects to NETIP_CONSOLE_PORT gets the status and the log's tail as text,
 * then the connection is closed. Nothing that is sent to it is looked at.
 *
 * Anybody on the network can connect, so what that costs is bounded: a text is made at most once per
 * CONSOLE_EVERY_NS, whoever connects meanwhile gets the same; CONSOLE_READERS read at a time, others are
 * turned away; and a reader has PATIENCE for all of it, however little it takes at a time. What is left
 * of a connection that was read to its end gives way to new ones.
 *
 * Connections are closed by netip_console_run(), never in a callback: where the segment that brings an
 * acknowledgement brings data, too, lwIP 2.1.3 forgets to free it when its `sent` callback closes, and with
 * it a buffer of the card.
 */

#include "hv/base/string.h"
#include "net/ip/netip_priv.h"

#define LOG_TAIL 6144
#define PATIENCE (10 * NS_PER_S)

STATIC_ASSERT(NETIP_STATUS > 2 * LOG_TAIL, "the tail needs room twice while it is cut");

static void reader_free(struct console_reader *r)
{
	tcp_arg(r->pcb, NULL);
	tcp_sent(r->pcb, NULL);
	tcp_err(r->pcb, NULL);
	r->pcb = NULL;
	r->text->readers--;
}

static void reader_drop(struct console_reader *r)
{
	struct tcp_pcb *pcb = r->pcb;

	reader_free(r);
	tcp_abort(pcb);
}

/*
 * lwIP cuts segments of half the largest window that it has heard of, but whole ones while that is zero, and
 * asserts later that none is longer than what it would cut then: a window that opens a little would end the
 * node. From this size on the segments are always whole.
 */
static bool window_was_wide(const struct tcp_pcb *pcb)
{
	return pcb->snd_wnd_max >= 2 * pcb->mss;
}

/* Queues what there is room for. */
static void queue(struct console_reader *r)
{
	const struct console_text *t = r->text;

	while (r->queued < t->len && tcp_sndbuf(r->pcb) > 0 && window_was_wide(r->pcb)) {
		size_t n =
			MIN(MIN(t->len - r->queued, (size_t)tcp_sndbuf(r->pcb)), (size_t)TCP_MSS);

		if (tcp_write(r->pcb, t->bytes + r->queued, (u16_t)n, TCP_WRITE_FLAG_COPY) !=
		    ERR_OK)
			return;
		r->queued += n;
	}
}

/* Goes on; closes when the other end has all of it, or has had its time. */
static void run(struct console_reader *r)
{
	struct tcp_pcb *pcb = r->pcb;

	if (r->acked == r->text->len) {
		tcp_setprio(pcb, TCP_PRIO_MIN);
		if (tcp_close(pcb) == ERR_OK)
			reader_free(r);
		else
			reader_drop(r);
	} else if (r->ip->now >= r->until) {
		r->ip->stats.console_cut++;
		reader_drop(r);
	} else {
		queue(r);
		tcp_output(pcb);
	}
}

void netip_console_run(struct netip *ip)
{
	for (unsigned i = 0; i < CONSOLE_READERS; i++) {
		if (ip->console.readers[i].pcb != NULL)
			run(&ip->console.readers[i]);
	}
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
	struct console_reader *r = arg;

	(void)pcb;
	r->acked += len;
	return ERR_OK;
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

static void on_err(void *arg, err_t err)
{
	struct console_reader *r = arg;

	(void)err;
	r->pcb = NULL; /* lwIP has freed it */
	r->text->readers--;
}

/* The log's last LOG_TAIL bytes, from a line's beginning. */
static size_t log_tail(char *buf)
{
	struct log_reader reader = {.outside = true};
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

/* One that nobody reads any more: there is one more than there are readers. */
static struct console_text *text_unread(struct console *c)
{
	struct console_text *t = c->texts;

	while (t->readers > 0)
		t++;
	ASSERT(t < c->texts + ARRAY_LEN(c->texts));
	return t;
}

static struct console_text *text_get(struct netip *ip)
{
	struct console *c = &ip->console;
	struct console_text *t = c->newest;

	if (t != NULL && ip->now - c->made_at < CONSOLE_EVERY_NS)
		return t;
	t = c->newest = text_unread(c);
	c->made_at = ip->now;
	t->len = ip->config.status(ip->config.ctx, t->bytes, NETIP_STATUS - 2 * LOG_TAIL);
	t->len += log_tail(t->bytes + t->len);
	return t;
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
	struct netip *ip = arg;
	struct console_reader *r = ip->console.readers;

	if (err != ERR_OK || pcb == NULL)
		return ERR_VAL;
	while (r < ip->console.readers + CONSOLE_READERS && r->pcb != NULL)
		r++;
	if (r == ip->console.readers + CONSOLE_READERS) {
		ip->stats.console_refused++;
		tcp_abort(pcb);
		return ERR_ABRT;
	}
	ip->stats.console_reads++;
	*r = (struct console_reader){
		.ip = ip, .pcb = pcb, .text = text_get(ip), .until = ip->now + PATIENCE};
	r->text->readers++;
	tcp_arg(pcb, r);
	tcp_recv(pcb, on_recv);
	tcp_sent(pcb, on_sent);
	tcp_err(pcb, on_err);
	return ERR_OK;
}

int netip_console_start(struct netip *ip, struct why *why)
{
	struct tcp_pcb *pcb = tcp_new(), *listener;

	if (pcb == NULL || tcp_bind(pcb, IP_ADDR_ANY, NETIP_CONSOLE_PORT) != ERR_OK)
		return why_set(why, ERR_NOMEM, "lwIP has no memory for the status console");
	listener = tcp_listen(pcb);
	if (listener == NULL)
		return why_set(why, ERR_NOMEM, "lwIP has no memory for the status console");
	tcp_arg(listener, ip);
	tcp_accept(listener, on_accept);
	return 0;
}
