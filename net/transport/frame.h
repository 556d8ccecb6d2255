/*
 * The wire format: every frame that one node sends to another. docs/wire.md has a table per message
 * and is checked against these structures. All numbers are little-endian; frames travel as raw
 * Ethernet (IEEE 802.3 type field WIRE_ETHERTYPE), padded to its minimum with zeros.
 *
 * The head, and the whole of WIRE_HELLO and WIRE_REFUSE, keep their layout in every version, so that
 * nodes of different versions can still tell each other why they don't go together.
 */
#ifndef NET_TRANSPORT_FRAME_H
#define NET_TRANSPORT_FRAME_H

#include "hv/base/assert.h"
#include "hv/base/err.h"

/* IEEE 802 local experimental EtherType 1 (RFC 9542, 3). */
#define WIRE_ETHERTYPE 0x88b5
#define WIRE_VERSION   2

#define WIRE_MAC      6
#define WIRE_ETH      14   /* bytes of the Ethernet header */
#define WIRE_MIN      60   /* smallest Ethernet frame without its FCS */
#define WIRE_MTU      1500 /* every link carries this much behind the Ethernet header */
#define WIRE_MTU_MAX  9000
#define WIRE_NOBODY   0xffff /* a node that has no number yet */
#define WIRE_NODES    32     /* the largest cluster */
#define WIRE_NAME     32     /* cluster name with its closing NUL */
#define WIRE_TEXT     160    /* a sentence with its closing NUL */
#define WIRE_WHY      240    /* one that says what is to be done, too */
#define WIRE_FEATURES 8      /* words of the CPU feature set */
#define WIRE_VENDOR   7      /* the word with one bit: whose CPU it is */
#define WIRE_TAG      16

enum wire_kind {
	WIRE_OPEN = 1,     /* wants a session */
	WIRE_OPEN_ACK = 2, /* has heard WIRE_OPEN; a frame with both ids seals the session */
	WIRE_DATA = 3,     /* segments of messages */
	WIRE_ACK = 4,      /* acknowledgements alone */
	WIRE_PROBE = 5,    /* as long as the sender hopes the path carries */
	WIRE_HELLO = 16,   /* I am here and this is what I have (broadcast) */
	WIRE_REFUSE = 17,  /* why the receiver may not join */
	WIRE_OFFER = 18,   /* the membership as the head proposes it */
	WIRE_ACCEPT = 19,  /* a member agrees to it */
	WIRE_START = 20,   /* everybody agreed: the cluster runs */
	WIRE_ABORT = 21,   /* the offer is withdrawn */
	WIRE_BEAT = 22,    /* heartbeat, and the four time stamps of the clock agreement */
	WIRE_LOST = 23,    /* the sender stopped: it lost a node */
	WIRE_STOP = 24,    /* the sender stops for a reason of its own */
};

struct PACKED wire_eth {
	uint8_t dst[WIRE_MAC], src[WIRE_MAC];
	uint8_t type[2]; /* big-endian */
};
ASSERT_SIZE(struct wire_eth, WIRE_ETH);

/*
 * Starts every frame. Until frames are authenticated, the first half of the tag is wire_frame_sum() and
 * the second half is zero.
 */
struct PACKED wire_head {
	uint8_t version, kind;
	uint16_t length;         /* bytes from this head to the end, padding not counted */
	uint32_t cluster;        /* wire_cluster_hash() of the cluster's name */
	uint32_t src_id, dst_id; /* session ids of the sender and of the receiver; 0: none */
	uint16_t src, dst;       /* node numbers or WIRE_NOBODY */
	uint32_t zero;
	uint8_t tag[WIRE_TAG];
};
ASSERT_SIZE(struct wire_head, 40);
ASSERT_OFFSET(struct wire_head, tag, 24);

/* Body of WIRE_OPEN and WIRE_OPEN_ACK. */
struct PACKED wire_open {
	uint32_t have_src,
		have_dst; /* the session the sender has until this one is sealed; 0: none */
	uint16_t mtu;     /* the longest frame it can take behind the Ethernet header */
	uint16_t zero;
};
ASSERT_SIZE(struct wire_open, 12);

/* The two channels of a session, each ordered for itself; the first is sent ahead of the second. */
enum wire_channel { WIRE_URGENT, WIRE_BULK, WIRE_CHANNELS };

#define WIRE_FLAG_ASK 1 /* answer at once, even if there is nothing to say */

/* Body of WIRE_ACK and WIRE_PROBE, and first part of WIRE_DATA. */
struct PACKED wire_session {
	uint32_t next[WIRE_CHANNELS]; /* every segment before this number has arrived */
	uint64_t sack[WIRE_CHANNELS]; /* bit i: segment next + 1 + i has arrived too */
	uint32_t stamp;               /* sender's time in units of 16 ns */
	uint32_t echo;                /* the last stamp it received */
	uint32_t held;                /* how long ago it received that, in units of 16 ns */
	uint16_t rx_max;              /* longest frame received in this session */
	uint8_t flags;                /* WIRE_FLAG_* */
	uint8_t zero;
};
ASSERT_SIZE(struct wire_session, 40);
ASSERT_OFFSET(struct wire_session, stamp, 24);

/* What follows in WIRE_DATA, as often as there are segments in it: this, and the segment's bytes. */
struct PACKED wire_data {
	uint32_t seq;
	uint16_t msg_len; /* of the whole message, 1 to WIRE_MSG_MAX */
	uint16_t offset;  /* of the segment in it */
	uint16_t len;     /* of the segment, at least 1 */
	uint8_t channel;
	uint8_t zero;
};
ASSERT_SIZE(struct wire_data, 12);

#define WIRE_DATA_HEAD \
	(sizeof(struct wire_head) + sizeof(struct wire_session) + sizeof(struct wire_data))
/* A page and 128 bytes about it: three standard frames or one jumbo frame. */
#define WIRE_MSG_MAX (PAGE_SIZE + 128)
STATIC_ASSERT(3 * (WIRE_MTU - WIRE_DATA_HEAD) == WIRE_MSG_MAX, "a page fits three frames");

enum wire_state {
	WIRE_SEEKING = 0, /* looks for the others */
	WIRE_JOINING = 1, /* has accepted an offer */
	WIRE_RUNNING = 2,
	WIRE_STOPPED = 3, /* lost a node or was refused */
};

#define WIRE_HAS_GUEST     1 /* holds guest images */
#define WIRE_TSC_INVARIANT 2

/* Body of WIRE_HELLO. Same layout in every version. */
struct PACKED wire_hello {
	char name[WIRE_NAME];
	uint64_t life; /* unlike that of any other start of any node */
	uint64_t ram;  /* bytes it offers */
	uint32_t tsc_khz;
	uint16_t nodes; /* how many nodes it expects, itself included */
	uint16_t cpus;
	uint8_t state;                    /* enum wire_state */
	uint8_t flags;                    /* WIRE_HAS_GUEST, WIRE_TSC_INVARIANT */
	uint8_t head[WIRE_MAC];           /* the head named on the command line; zeros: none */
	uint32_t features[WIRE_FEATURES]; /* CPU features it has */
	uint32_t needs[WIRE_FEATURES];    /* CPU features it insists on */
};
ASSERT_SIZE(struct wire_hello, 128);

/* Body of WIRE_REFUSE. Same layout in every version. */
struct PACKED wire_refuse {
	uint64_t life;   /* of the node that is refused */
	uint32_t reason; /* enum cluster_reason */
	uint32_t zero;
	char text[WIRE_TEXT]; /* the sentence for the refused node's screen */
};
ASSERT_SIZE(struct wire_refuse, 176);

struct PACKED wire_member {
	uint8_t mac[WIRE_MAC];
	uint16_t cpus;
	uint64_t life;
	uint64_t ram;
};
ASSERT_SIZE(struct wire_member, 24);

/* Body of WIRE_OFFER; `count` members follow in the order of their numbers. The sender is the head. */
struct PACKED wire_offer {
	uint64_t epoch; /* names this membership */
	uint32_t tsc_khz;
	uint16_t count;
	uint16_t head;                    /* its number */
	uint32_t features[WIRE_FEATURES]; /* what all have in common */
};
ASSERT_SIZE(struct wire_offer, 48);
STATIC_ASSERT(sizeof(struct wire_head) + sizeof(struct wire_offer) +
			      WIRE_NODES * sizeof(struct wire_member) <=
		      WIRE_MTU,
	      "the largest membership fits one frame");

/* Body of WIRE_ACCEPT, WIRE_START and WIRE_ABORT. */
struct PACKED wire_vote {
	uint64_t epoch;
	uint64_t life; /* the sender's */
};
ASSERT_SIZE(struct wire_vote, 16);

/* Body of WIRE_BEAT. Times are the sender's own clock in ns, those of the peer the peer's. */
struct PACKED wire_beat {
	uint64_t epoch;
	uint64_t life;
	uint64_t sent;      /* when this frame was sent */
	uint64_t peer_sent; /* `sent` of the last beat from the receiver; 0: none yet */
	uint64_t received;  /* when that one arrived */
	uint32_t alive;     /* bit n: the sender runs and hears node n */
	uint32_t flags;     /* WIRE_FLAG_ASK */
};
ASSERT_SIZE(struct wire_beat, 48);

/* Body of WIRE_LOST. */
struct PACKED wire_lost {
	uint64_t epoch;
	uint16_t node;
	uint16_t zero[3];
	char text[WIRE_TEXT];
};
ASSERT_SIZE(struct wire_lost, 176);

/* Body of WIRE_STOP. */
struct PACKED wire_stop {
	uint64_t epoch; /* 0: the cluster has not formed yet */
	uint64_t life;  /* the sender's */
	char text[WIRE_WHY];
};
ASSERT_SIZE(struct wire_stop, 256);

/* A 32-bit name for a cluster's name: keeps clusters on one Ethernet apart cheaply. Never 0. */
uint32_t wire_cluster_hash(const char *name);

/* Checksum of `len` bytes, 64 bits, good against accidents and not against an enemy. */
uint64_t wire_sum(const void *data, size_t len, uint64_t seed);

/*
 * Checksum of a frame up to head->length, the tag left out. From the Ethernet header on: a damaged
 * sender's MAC would look like another node.
 */
uint64_t wire_frame_sum(const void *frame);

/*
 * Finishes a frame of `body` bytes behind the head, which stands at frame + WIRE_ETH: fills in the
 * Ethernet header, version, length and tag, and pads. Returns the frame's length.
 */
size_t wire_seal(void *frame, const uint8_t dst[WIRE_MAC], const uint8_t src[WIRE_MAC],
		 size_t body);

/*
 * Checks a received frame of `len` bytes: type, version, length and tag. Returns its head, or NULL
 * with *err set: ERR_NOTFOUND not ours, ERR_UNSUPPORTED another version (the head is returned all the
 * same), ERR_INVALID damaged.
 */
const struct wire_head *wire_check(const void *frame, size_t len, int *err);

/* The body of a checked frame when it has at least `size` bytes, else NULL. */
const void *wire_body(const struct wire_head *head, size_t size);

static inline const struct wire_eth *wire_eth_of(const void *frame)
{
	return frame;
}

#endif
