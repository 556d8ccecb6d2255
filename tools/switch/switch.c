/*
 * An Ethernet switch in user space between Linux interfaces (veth, tap), with seeded faults and a
 * capture of what was sent into it.
 *
 *     switch [--seed N] [--faults SPEC] [--all] [--pcap FILE] [--seconds N] PORT PORT...
 *
 * SPEC is a list like drop=5,dup=1,reorder=2,delay=300,corrupt=0.5,partition=1:10:3 where drop, dup,
 * reorder and corrupt are percent of frames, delay is at most so many us for each frame, and
 * partition=PORT:START:LENGTH cuts the port (0 is the first) off for LENGTH seconds from second START.
 * Faults befall the cluster's own frames (type 0x88B5) alone, so that netboot passes; --all means all.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/wire/packet.h"

#define PORTS      16
#define HELD       4096
#define FRAME      9216
#define MACS       256
#define REORDER_NS (2 * NS_PER_MS) /* how long an overtaken frame is held at most */

struct faults {
	double drop, dup, reorder, corrupt; /* percent */
	uint64_t delay;                     /* ns */
	int partition;                      /* port, -1 none */
	uint64_t from, to;                  /* ns since start */
};

struct held {
	uint64_t at;
	unsigned port;
	size_t len;
	uint8_t *bytes;
};

static struct packet ports[PORTS];
static unsigned port_count;
static struct {
	uint8_t mac[6];
	unsigned port;
} macs[MACS];
static unsigned mac_count;
static struct held held[HELD];
static unsigned held_count;
static struct faults faults = {.partition = -1};
static bool all;
static uint64_t rng_state = 1, started;
static FILE *pcap;
static uint64_t n_in, n_out, n_drop, n_dup, n_reorder, n_corrupt, n_cut, n_full;
static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static uint64_t rng(uint64_t below)
{
	uint64_t z = (rng_state += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	z ^= z >> 31;
	return below ? z % below : 0;
}

static bool hit(double percent)
{
	return (double)rng(1000000) < percent * 10000;
}

static void bad(const char *what)
{
	fprintf(stderr,
		"switch: --faults: '%s' is wrong; expected a list of drop=, dup=, reorder=, "
		"corrupt= (percent), delay= (us), partition=PORT:START:LENGTH (seconds)\n",
		what);
	exit(2);
}

static double number(const char *word, const char *text, double max)
{
	char *end;
	double v = strtod(text, &end);

	if (*end || end == text || v < 0 || v > max)
		bad(word);
	return v;
}

static void faults_parse(char *spec)
{
	for (char *word = strtok(spec, ","); word; word = strtok(NULL, ",")) {
		char *value = strchr(word, '=');
		double start, length;

		if (value == NULL)
			bad(word);
		value++;
		if (strncmp(word, "drop=", 5) == 0)
			faults.drop = number(word, value, 100);
		else if (strncmp(word, "dup=", 4) == 0)
			faults.dup = number(word, value, 100);
		else if (strncmp(word, "reorder=", 8) == 0)
			faults.reorder = number(word, value, 100);
		else if (strncmp(word, "corrupt=", 8) == 0)
			faults.corrupt = number(word, value, 100);
		else if (strncmp(word, "delay=", 6) == 0)
			faults.delay = (uint64_t)(number(word, value, 1e6) * 1000);
		else if (strncmp(word, "partition=", 10) == 0 &&
			 sscanf(value, "%d:%lf:%lf", &faults.partition, &start, &length) == 3) {
			faults.from = (uint64_t)(start * 1e9);
			faults.to = faults.from + (uint64_t)(length * 1e9);
		} else {
			bad(word);
		}
	}
}

/* --- Capture (libpcap's file format, nanoseconds) --- */

static void pcap_start(const char *path)
{
	const uint32_t head[6] = {0xa1b23c4d, 2 | 4 << 16, 0, 0, FRAME, 1};

	pcap = fopen(path, "wb");
	if (pcap == NULL) {
		fprintf(stderr, "switch: %s: %s\n", path, strerror(errno));
		exit(2);
	}
	fwrite(head, sizeof(head), 1, pcap);
}

static void pcap_frame(uint64_t now, const void *frame, size_t len)
{
	const uint32_t head[4] = {(uint32_t)(now / NS_PER_S), (uint32_t)(now % NS_PER_S),
				  (uint32_t)len, (uint32_t)len};

	if (pcap == NULL)
		return;
	fwrite(head, sizeof(head), 1, pcap);
	fwrite(frame, len, 1, pcap);
}

/* --- Switching --- */

static unsigned learn(const uint8_t *mac, unsigned port)
{
	unsigned i = 0;

	while (i < mac_count && memcmp(macs[i].mac, mac, 6) != 0)
		i++;
	if (i == MACS)
		return i;
	if (i == mac_count)
		memcpy(macs[mac_count++].mac, mac, 6);
	macs[i].port = port;
	return i;
}

static int lookup(const uint8_t *mac)
{
	for (unsigned i = 0; i < mac_count; i++) {
		if (memcmp(macs[i].mac, mac, 6) == 0)
			return (int)macs[i].port;
	}
	return -1;
}

static bool cut(unsigned port, uint64_t now)
{
	return (int)port == faults.partition && now - started >= faults.from &&
	       now - started < faults.to;
}

static void out(unsigned port, const void *frame, size_t len)
{
	if (packet_send(&ports[port], frame, len))
		n_out++;
	else
		n_full++;
}

static void hold(uint64_t at, unsigned port, const void *frame, size_t len)
{
	struct held *h;

	if (held_count == HELD) {
		n_full++;
		return;
	}
	h = &held[held_count++];
	h->at = at;
	h->port = port;
	h->len = len;
	h->bytes = malloc(len);
	memcpy(h->bytes, frame, len);
}

static void deliver(uint64_t now, unsigned port, uint8_t *frame, size_t len)
{
	uint64_t at = now;

	if (hit(faults.drop)) {
		n_drop++;
		return;
	}
	if (hit(faults.reorder)) {
		n_reorder++;
		at += rng(REORDER_NS);
	}
	if (faults.delay)
		at += rng(faults.delay);
	for (bool again = true; again; n_dup += again) {
		again = hit(faults.dup);
		if (at > now)
			hold(at, port, frame, len);
		else
			out(port, frame, len);
	}
}

static void forward(unsigned from, uint8_t *frame, size_t len)
{
	uint64_t now = packet_now();
	bool ours = all || (frame[12] == 0x88 && frame[13] == 0xb5);
	int to = frame[0] & 1 ? -1 : lookup(frame);

	n_in++;
	pcap_frame(now, frame, len);
	learn(frame + 6, from);
	for (unsigned port = 0; port < port_count; port++) {
		if (port == from || (to >= 0 && (int)port != to))
			continue;
		if (!ours) {
			out(port, frame, len);
		} else if (cut(port, now) || cut(from, now)) {
			n_cut++;
		} else {
			uint8_t copy[FRAME];

			memcpy(copy, frame, len);
			if (hit(faults.corrupt)) {
				n_corrupt++;
				copy[14 + rng(len - 14)] ^= (uint8_t)(1 << rng(8));
			}
			deliver(now, port, copy, len);
		}
	}
}

/* Sends what was held long enough; returns when the next is due. */
static uint64_t release(uint64_t now)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < held_count; i++) {
		struct held *h = &held[i];

		if (h->at > now) {
			next = MIN(next, h->at);
			continue;
		}
		out(h->port, h->bytes, h->len);
		free(h->bytes);
		*h = held[--held_count];
		i--;
	}
	return next;
}

static void run(uint64_t until)
{
	static uint8_t frame[FRAME];
	struct pollfd fds[PORTS];

	while (!stop) {
		uint64_t now = packet_now(), next = MIN(release(now), MIN(until, now + NS_PER_S));
		struct timespec ts = {0, 0};

		if (now >= until)
			return;
		for (unsigned i = 0; i < port_count; i++)
			fds[i] = (struct pollfd){.fd = ports[i].fd, .events = POLLIN};
		if (next > now)
			ts.tv_sec = (time_t)((next - now) / NS_PER_S),
			ts.tv_nsec = (long)((next - now) % NS_PER_S);
		if (ppoll(fds, port_count, &ts, NULL) <= 0)
			continue;
		for (unsigned i = 0; i < port_count; i++) {
			size_t len;

			for (unsigned n = 0;
			     n < 64 && (len = packet_recv(&ports[i], frame, FRAME)) > 14; n++)
				forward(i, frame, len);
		}
	}
}

int main(int argc, char **argv)
{
	uint64_t seconds = 0;

	for (int i = 1; i < argc; i++) {
		bool more = i + 1 < argc;

		if (strcmp(argv[i], "--all") == 0) {
			all = true;
		} else if (more && strcmp(argv[i], "--seed") == 0) {
			rng_state = strtoull(argv[++i], NULL, 0);
		} else if (more && strcmp(argv[i], "--faults") == 0) {
			faults_parse(argv[++i]);
		} else if (more && strcmp(argv[i], "--pcap") == 0) {
			pcap_start(argv[++i]);
		} else if (more && strcmp(argv[i], "--seconds") == 0) {
			seconds = strtoull(argv[++i], NULL, 0);
		} else if (argv[i][0] == '-' || port_count == PORTS) {
			fprintf(stderr,
				"usage: switch [--seed N] [--faults SPEC] [--all] [--pcap FILE] "
				"[--seconds N] PORT PORT... (at most %d)\n",
				PORTS);
			return 2;
		} else {
			packet_open(&ports[port_count++], argv[i], PACKET_ALL);
		}
	}
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	started = packet_now();
	printf("switch: %u ports\n", port_count);
	fflush(stdout);
	run(seconds ? started + seconds * NS_PER_S : UINT64_MAX);
	if (pcap)
		fclose(pcap);
	printf("switch: in %llu out %llu dropped %llu doubled %llu reordered %llu corrupted %llu "
	       "cut %llu overrun %llu\n",
	       (unsigned long long)n_in, (unsigned long long)n_out, (unsigned long long)n_drop,
	       (unsigned long long)n_dup, (unsigned long long)n_reorder,
	       (unsigned long long)n_corrupt, (unsigned long long)n_cut,
	       (unsigned long long)n_full);
	return 0;
}
