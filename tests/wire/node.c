/*
 * A node as a Linux process: the hypervisor's own formation, transport and wire self-test over
 * AF_PACKET.
 *
 *     node INTERFACE CLUSTER NODES MESSAGES [linger=SECONDS] [guest] [head=MAC] [tsc=KHZ] [no-tsc]
 *          [lost=MS] [version=N]
 *
 * Prints the membership, runs the self-test and ends 0 when it passed; with `linger` it goes on running after
 * that, until the cluster ends or the time is over. SIGTERM ends it, which it tells the others. `version`
 * makes it a node of another protocol version.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "net/transport/selftest.h"
#include "net/transport/station.h"
#include "tests/wire/packet.h"
#include "tests/wire/version.h"

#define POOL 256

static struct station station;
static struct selftest test;
static struct packet packet;
static struct xport_peer peers[WIRE_NODES];
static struct xport_buf pool[POOL];
static uint32_t messages;
static uint64_t linger;
static bool reported;
static uint8_t version = WIRE_VERSION;
static volatile sig_atomic_t told_to_end;

static void up(uint64_t now)
{
	const struct cluster *c = &station.cluster;
	char line[100];

	for (unsigned i = 0; i < c->count; i++) {
		cluster_describe(c, i, line, sizeof(line));
		printf("member %s\n", line);
	}
	selftest_init(&test, c->self, c->count, messages, now);
}

static void cluster_say(const struct cluster_event *e, uint64_t now)
{
	printf("cluster: %s\n", e->text);
	if (e->kind == CLUSTER_UP)
		up(now);
	if (e->kind == CLUSTER_LOST || e->kind == CLUSTER_REFUSED)
		exit(e->kind == CLUSTER_LOST ? (reported && linger == 0 ? 0 : 3) : 4);
}

static void stats(void)
{
	const struct cluster *c = &station.cluster;

	for (unsigned i = 0; i < c->count; i++) {
		const struct xport_stats *s = &peers[i].stats;
		int64_t offset = 0;
		uint64_t error = 0;

		if (i == c->self)
			continue;
		clock_offset(&c->members[i].clock, packet_now(), &offset, &error);
		printf("peer %u: out %llu in %llu frames, resent %llu, timeouts %llu, doubled "
		       "%llu, early %llu, rtt p50 %llu p99 %llu us, clock offset "
		       "%lld error %llu ns\n",
		       i, (unsigned long long)s->frames_out, (unsigned long long)s->frames_in,
		       (unsigned long long)s->resent, (unsigned long long)s->timeouts,
		       (unsigned long long)s->doubled, (unsigned long long)s->early,
		       (unsigned long long)hist_quantile(&s->rtt, 500) / 1000,
		       (unsigned long long)hist_quantile(&s->rtt, 990) / 1000, (long long)offset,
		       (unsigned long long)error);
	}
}

static void report(void)
{
	char line[200];

	reported = true;
	selftest_describe(&test, line, sizeof(line));
	printf("%s\n", line);
	stats();
	fflush(stdout);
}

static void take_events(uint64_t now)
{
	struct station_event e;

	while (station_poll(&station, now, &e)) {
		if (e.kind == STATION_CLUSTER)
			cluster_say(&e.cluster, now);
		else
			selftest_event(&test, &e.wire);
	}
}

static void step(void)
{
	static uint8_t frame[WIRE_ETH + WIRE_MTU_MAX];
	uint64_t began = packet_now(), now = began;
	bool empty = false;
	size_t len;
	int err;

	for (unsigned i = 0; i < 64; i++) {
		len = packet_recv(&packet, frame, sizeof(frame));
		empty = len == 0;
		if (empty)
			break;
		now = packet_now();
		if (version != WIRE_VERSION && wire_check(frame, len, &err))
			version_swap(frame, version);
		station_rx(&station, now, frame, len);
		take_events(now);
	}
	take_events(now);
	if (station.open && station.cluster.state == CLUSTER_RUNNING)
		selftest_run(&test, &station.xport, now);
	if (empty)
		station_heard(&station, began);
	while ((len = station_tx(&station, now, frame)) > 0) {
		if (version != WIRE_VERSION)
			version_set(frame, version);
		packet_send(&packet, frame, len);
	}
}

static void on_term(int number)
{
	told_to_end = 1;
}

static void mac_parse(uint8_t *mac, const char *text)
{
	unsigned v[6];

	if (sscanf(text, "%x:%x:%x:%x:%x:%x", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5]) != 6) {
		fprintf(stderr, "head=%s is no MAC address; expected one like 02:00:00:00:00:01\n",
			text);
		exit(2);
	}
	for (unsigned i = 0; i < 6; i++)
		mac[i] = (uint8_t)v[i];
}

static void options(struct cluster_config *c, int argc, char **argv)
{
	for (int i = 5; i < argc; i++) {
		if (strcmp(argv[i], "guest") == 0) {
			c->has_guest = true;
		} else if (strcmp(argv[i], "no-tsc") == 0) {
			c->tsc_invariant = false;
		} else if (strncmp(argv[i], "linger=", 7) == 0) {
			linger = strtoull(argv[i] + 7, NULL, 0) * NS_PER_S;
		} else if (strncmp(argv[i], "head=", 5) == 0) {
			mac_parse(c->head, argv[i] + 5);
		} else if (strncmp(argv[i], "lost=", 5) == 0) {
			c->lost_ns = strtoull(argv[i] + 5, NULL, 0) * NS_PER_MS;
		} else if (strncmp(argv[i], "version=", 8) == 0) {
			version = (uint8_t)strtoul(argv[i] + 8, NULL, 0);
		} else if (strncmp(argv[i], "tsc=", 4) == 0) {
			c->tsc_khz = (uint32_t)strtoul(argv[i] + 4, NULL, 0);
		} else {
			fprintf(stderr,
				"option '%s' is unknown; the options are linger=, guest, head=, "
				"tsc=, no-tsc, lost=, version=\n",
				argv[i]);
			exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	struct cluster_config c = {.cpus = 1,
				   .ram = GIB(1),
				   .tsc_khz = 2000000,
				   .tsc_invariant = true,
				   .beat_ns = 50 * NS_PER_MS,
				   .lost_ns = NS_PER_S};

	if (argc < 5 || strlen(argv[2]) >= WIRE_NAME) {
		fprintf(stderr, "usage: node INTERFACE CLUSTER NODES MESSAGES [options]\n");
		return 2;
	}
	signal(SIGTERM, on_term);
	setvbuf(stdout, NULL, _IOLBF, 0);
	packet_open(&packet, argv[1], WIRE_ETHERTYPE);
	memcpy(c.mac, packet.mac, sizeof(c.mac));
	strcpy(c.name, argv[2]);
	c.nodes = (uint16_t)MIN(MAX(strtoul(argv[3], NULL, 0), 1ul), (unsigned long)WIRE_NODES);
	messages = (uint32_t)strtoul(argv[4], NULL, 0);
	options(&c, argc, argv);
	if (getrandom(&c.life, sizeof(c.life), 0) != sizeof(c.life))
		return 2;
	c.life |= 1;
	station_init(&station, &c, MIN(packet.mtu, (uint16_t)WIRE_MTU_MAX), peers, WIRE_NODES, pool,
		     POOL, packet_now());
	for (;;) {
		uint64_t now;

		if (told_to_end)
			station_stop(&station, "it was told to end");
		step();
		if (told_to_end)
			return 0;
		now = packet_now();
		if (test.finished && !reported)
			report();
		/* Stay a little, as the others may still miss our last acknowledgement. */
		if (reported && now > test.finished + MAX(linger, 500 * NS_PER_MS))
			return test.wrong ? 1 : 0;
		packet_wait(&packet, station_deadline(&station));
	}
}
