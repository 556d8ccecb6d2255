/* How a node of another protocol version looks: the same words with another number at the front. */
#ifndef TESTS_WIRE_VERSION_H
#define TESTS_WIRE_VERSION_H

#include <string.h>

#include "net/transport/frame.h"

/* Sets the version of a sealed frame and seals it again. */
static inline void version_set(void *frame, uint8_t version)
{
	struct wire_head *head = (struct wire_head *)((uint8_t *)frame + WIRE_ETH);
	uint64_t sum;

	head->version = version;
	sum = wire_frame_sum(frame);
	memcpy(head->tag, &sum, sizeof(sum));
}

/* To a node of version `version` its own frames are of WIRE_VERSION, and those of WIRE_VERSION are not. */
static inline void version_swap(void *frame, uint8_t version)
{
	struct wire_head *head = (struct wire_head *)((uint8_t *)frame + WIRE_ETH);

	version_set(frame, head->version == WIRE_VERSION ? version : WIRE_VERSION);
}

#endif
