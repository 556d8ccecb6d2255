/*
 * The status console over TCP, whatever its readers do: segments of any flags, lengths, windows and numbers
 * on some connections, time that passes, raw frames. Input: records of an operation byte and its bytes. One
 * lwIP lives through all inputs, so each begins with a while in which everything of the one before ends.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/host/tcp_rig.h"

#define SETTLE (30 * NS_PER_S) /* more than a connection keeps its place without a word */

static uint8_t at(const uint8_t *data, size_t size, size_t i)
{
	return i < size ? data[i] : 0;
}

/* What a reader got is the text's beginning. */
static void check(const struct tcp_end *e)
{
	for (size_t i = 0; i < e->len && i < 9000; i++)
		if (e->text[i] != 's')
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (tcp_rig_stack == NULL)
		tcp_rig_start(9000);
	while (size > 0) {
		unsigned op = data[0] & 7, n = data[0] >> 4, used = 1;
		unsigned value = at(data, size, 1) | at(data, size, 2) << 8;

		if (op <= 1) {
			end_connect(n, value);
			used = 3;
		} else if (op == 2) {
			end_read(n, value, at(data, size, 3));
			used = 4;
		} else if (op == 3) {
			tcp_rig_wait((value & 0x3fff) * NS_PER_MS);
			used = 3;
		} else if (op == 4) {
			size_t len = MIN((size_t)at(data, size, 1) + 14, size);

			tcp_rig_frame(data, len);
			used = (unsigned)len;
		} else {
			/* Numbers that are right, a little beside, and far off. */
			int32_t shift = (int8_t)at(data, size, 4) * (op == 7 ? 10000000 : op == 6);

			end_send(n, at(data, size, 3), value, at(data, size, 5) * 2u, shift);
			used = 6;
		}
		check(&tcp_ends[n]);
		used = MIN(used, (unsigned)size);
		data += used;
		size -= used;
	}
	tcp_rig_wait(SETTLE);
	if (tcp_rig_held() > 0)
		abort(); /* 192 of those, and the node hears nothing any more */
	if (!end_connect(0, 8192))
		abort(); /* nobody is kept out for ever */
	end_read(0, 8192, 200);
	if (!tcp_ends[0].fin || tcp_ends[0].len < 9000)
		abort();
	check(&tcp_ends[0]);
	return 0;
}
