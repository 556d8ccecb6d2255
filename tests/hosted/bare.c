#include "tests/hosted/bare.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hv/base/compiler.h"
#include "tests/hosted/hosted.h"

#define ETHERTYPE 0x88b6
#define ROUND_LEN 64u          /* a request, when only the round trip counts */
#define SMALL_LEN 130u         /* an engine's message in the transport's frame */
#define PART_LEN  (14u + 1460) /* of a page's three frames */

static struct port port;
/*
 * The requester's page, then the home's, then the sharers'; each a mapping of its own, as hosted nodes have.
 */
static uint8_t *pages[2 + BARE_SHARERS];
static volatile unsigned fan; /* how many sharers the fault handler asks for */

void bare_open(const char *interface)
{
	port_open(&port, interface, ETHERTYPE);
	for (unsigned i = 0; i < ARRAY_LEN(pages); i++) {
		pages[i] = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (pages[i] == MAP_FAILED) {
			perror("bench: mmap");
			exit(2);
		}
	}
}

static void protect(unsigned page, int prot)
{
	if (mprotect(pages[page], PAGE_SIZE, prot) < 0) {
		perror("bench: mprotect");
		exit(2);
	}
}

static void queue(const uint8_t *dst, const uint8_t *src, size_t len)
{
	static const uint8_t data[PAGE_SIZE];
	uint8_t *out = port_room(&port);

	memcpy(out, dst, 6);
	memcpy(out + 6, src, 6);
	out[12] = ETHERTYPE >> 8;
	out[13] = ETHERTYPE & 0xff;
	memcpy(out + 14, data, len - 14);
	port_queue(&port, len);
}

void bare_serve(void)
{
	size_t len;
	const uint8_t *frame = port_peek(&port, &len);
	unsigned sharers;

	if (!frame)
		return;
	sharers = frame[14];
	for (unsigned i = 0; sharers && i < 1 + sharers; i++)
		protect(1 + i, PROT_NONE);
	for (unsigned i = 0; i < 3; i++)
		queue(frame + 6, frame, PART_LEN);
	for (unsigned i = 0; i < sharers; i++)
		queue(frame + 6, frame, SMALL_LEN);
	port_done(&port);
	port_flush(&port);
	for (unsigned i = 0; sharers && i < 1 + sharers; i++)
		protect(1 + i, PROT_READ);
}

static void exchange(size_t len, unsigned sharers)
{
	static const uint8_t dst[6] = {2, 0, 0, 0, 0, 1}, src[6] = {2};

	queue(dst, src, len);
	port.out[port.queued - 1][14] = (uint8_t)sharers;
	port_flush(&port);
	for (unsigned i = 0; i < 3 + sharers; i++) {
		while (!port_peek(&port, &len))
			;
		port_done(&port);
	}
}

uint64_t bare_round(void)
{
	uint64_t start = hosted_now();

	exchange(ROUND_LEN, 0);
	return hosted_now() - start;
}

static void on_fault(int sig)
{
	if (fan)
		exchange(SMALL_LEN, fan);
	protect(0, PROT_READ | PROT_WRITE);
}

uint64_t bare_fan(unsigned sharers)
{
	struct sigaction own = {.sa_handler = on_fault}, before;
	uint64_t start, end;

	sigaction(SIGSEGV, &own, &before);
	fan = sharers;
	protect(0, PROT_NONE);
	start = hosted_now();
	*(volatile uint8_t *)pages[0] = 1;
	end = hosted_now();
	sigaction(SIGSEGV, &before, NULL);
	return end - start;
}

uint64_t bare_fault(void)
{
	return bare_fan(0);
}
