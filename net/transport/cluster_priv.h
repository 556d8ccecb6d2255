/* What the files of cluster formation share with each other and with nobody else. */
#ifndef NET_TRANSPORT_CLUSTER_PRIV_H
#define NET_TRANSPORT_CLUSTER_PRIV_H

#include "net/transport/cluster.h"

#define CLUSTER_NEVER     UINT64_MAX
#define CLUSTER_HELLO_MIN (10 * NS_PER_MS) /* first HELLOs come quickly, later ones once per beat */
#define CLUSTER_LOST_SENT 5
/*
 * Anybody on the network can bring such sentences about, so a log gets so many; a refused node hears its own.
 */
#define CLUSTER_TOLD_MAX  64

#define MAC_FMT     "%02x:%02x:%02x:%02x:%02x:%02x"
#define MAC_ARGS(m) (m)[0], (m)[1], (m)[2], (m)[3], (m)[4], (m)[5]

void cluster_event(struct cluster *c, enum cluster_event_kind kind, unsigned node, const char *fmt,
		   ...) PRINTF(4, 5);

/* True when a node of MAC `a` would be head rather than one of MAC `b`. */
bool cluster_leads(const struct cluster *c, const uint8_t *a, bool a_guest, const uint8_t *b,
		   bool b_guest);

/* An event about a node that is no member, as long as there were few; the last says that it is the last. */
void cluster_tell(struct cluster *c, enum cluster_event_kind kind, const char *fmt, ...)
	PRINTF(3, 4);

/* Text that came by the wire, ended and printable. */
void cluster_text(char *out, const char *text, size_t size);

/*
 * Why the node may not join us, with the second half of the sentence, "it ...", in `detail`;
 * CLUSTER_FITS when it may.
 */
enum cluster_reason cluster_fits(const struct cluster *c, const struct cluster_candidate *other,
				 char detail[WIRE_TEXT]);

/* Cluster formation proper; see cluster_form.c. */
void cluster_hello_in(struct cluster *c, uint64_t now, const struct wire_head *head,
		      const uint8_t mac[WIRE_MAC]);
void cluster_refuse_in(struct cluster *c, const struct wire_head *head,
		       const uint8_t mac[WIRE_MAC]);
void cluster_offer_in(struct cluster *c, uint64_t now, const struct wire_head *head,
		      const uint8_t mac[WIRE_MAC]);
void cluster_vote_in(struct cluster *c, uint64_t now, const struct wire_head *head,
		     const uint8_t mac[WIRE_MAC]);
/* Our part in a membership that does not run yet is over; `now` as for cluster_init(). */
void cluster_seek(struct cluster *c, uint64_t now);
/* A node that is no member, or not yet, says why it stops. */
void cluster_left(struct cluster *c, uint64_t now, const uint8_t mac[WIRE_MAC], uint64_t life,
		  const char *text);
/* Forgets who is silent while the cluster forms. */
void cluster_form_heard(struct cluster *c, uint64_t seen);
/* Looks whether an offer can be made, must be withdrawn, or was waited for long enough. */
void cluster_form_run(struct cluster *c, uint64_t now);
/* All accepted: the membership runs from now on. */
void cluster_run(struct cluster *c, uint64_t now);

/* Heartbeats; see cluster_beat.c. */
void cluster_beat_in(struct cluster *c, uint64_t now, const struct wire_head *head,
		     const uint8_t mac[WIRE_MAC]);
void cluster_lost_in(struct cluster *c, const struct wire_head *head, const uint8_t mac[WIRE_MAC]);
void cluster_stop_in(struct cluster *c, uint64_t now, const struct wire_head *head,
		     const uint8_t mac[WIRE_MAC]);
void cluster_beat_run(struct cluster *c, uint64_t now);

/* True when who was heard last at `heard` is lost by now; else it is to be looked for again in time. */
static inline bool cluster_silent(struct cluster *c, uint64_t heard, uint64_t seen)
{
	uint64_t until = heard + c->config.lost_ns;

	c->silent_at = MIN(c->silent_at, MAX(until, seen));
	return until < seen;
}

static inline bool cluster_runs(const struct cluster *c)
{
	return c->state == CLUSTER_RUNNING || c->state == CLUSTER_STARTING;
}

static inline uint32_t cluster_all(const struct cluster *c)
{
	return (uint32_t)(BIT(c->count) - 1);
}

#endif
