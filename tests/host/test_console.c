/* What the status console costs, whoever connects and however it reads. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/host/tcp_rig.h"

#define STATUS   9000
#define AT_ONCE  3
#define PATIENCE (10 * NS_PER_S)

static int start(void **state)
{
	tcp_rig_start(STATUS);
	return 0;
}

/* Reads to the end, and the last word is ours. */
static void read_and_close(unsigned n)
{
	end_read(n, 8192, 100);
	assert_true(tcp_ends[n].fin);
	end_send(n, RIG_ACK | RIG_FIN, 8192, 0, 0);
}

static void the_text_is_status_and_log(void **state)
{
	log_info(LOG_NET, "a line for all");
	log_private(LOG_NET, "append=secret");
	assert_true(end_connect(0, 8192));
	read_and_close(0);
	assert_true(tcp_ends[0].len > STATUS);
	assert_int_equal(tcp_ends[0].text[STATUS - 1], 's');
	assert_non_null(strstr(tcp_ends[0].text + STATUS, "a line for all\n"));
	assert_null(strstr(tcp_ends[0].text, "secret"));
}

static void a_text_is_made_once_a_second(void **state)
{
	unsigned made;

	tcp_rig_wait(2 * NS_PER_S);
	made = tcp_rig_texts;
	for (unsigned i = 0; i < 100; i++) {
		assert_true(end_connect(i % RIG_ENDS, 8192));
		read_and_close(i % RIG_ENDS);
		tcp_rig_wait(9 * NS_PER_MS);
	}
	assert_int_equal(tcp_rig_texts, made + 1);
	assert_int_equal(tcp_ends[3].len, tcp_ends[0].len);
	tcp_rig_wait(NS_PER_S);
	assert_true(end_connect(0, 8192));
	read_and_close(0);
	assert_int_equal(tcp_rig_texts, made + 2);
}

/* Each has its own place in what may be texts of different age. */
static void few_read_at_a_time(void **state)
{
	uint64_t refused = netip_stats_get(tcp_rig_stack)->console_refused;

	for (unsigned i = 0; i < AT_ONCE; i++) {
		log_info(LOG_NET, "the text of %u", i);
		tcp_rig_wait(NS_PER_S);
		assert_true(end_connect(i, 1100));
	}
	assert_false(end_connect(AT_ONCE, 8192));
	assert_int_equal(netip_stats_get(tcp_rig_stack)->console_refused, refused + 1);
	for (unsigned i = AT_ONCE; i-- > 0;) {
		char last[20] = "the text of ";

		last[12] = (char)('0' + i);
		read_and_close(i);
		assert_non_null(strstr(tcp_ends[i].text, last));
		last[12]++;
		assert_null(strstr(tcp_ends[i].text, last));
	}
	assert_true(end_connect(AT_ONCE, 8192));
	read_and_close(AT_ONCE);
}

/* One that takes a byte now and then is not waited for for ever. */
static void a_slow_reader_has_ten_seconds(void **state)
{
	uint64_t began = tcp_rig_now, cut = netip_stats_get(tcp_rig_stack)->console_cut;

	assert_true(end_connect(0, 8192));
	while (!tcp_ends[0].rst) {
		tcp_rig_wait(400 * NS_PER_MS);
		end_send(0, RIG_ACK, 10, 0, 0);
		assert_true(tcp_rig_now - began < PATIENCE + 2 * NS_PER_S);
	}
	assert_true(tcp_rig_now - began > PATIENCE / 2);
	assert_int_equal(netip_stats_get(tcp_rig_stack)->console_cut, cut + 1);
}

/* What lwIP can't cut its segments for: nothing comes, and the node goes on. */
static void a_window_may_open_a_little(void **state)
{
	assert_true(end_connect(0, 0));
	for (unsigned window = 1; window < 1000; window += 9) {
		end_send(0, RIG_ACK, window, 0, 0);
		tcp_rig_wait(50 * NS_PER_MS);
	}
	assert_int_equal(tcp_ends[0].len, 0);
	end_send(0, RIG_ACK, 8192, 0, 0);
	tcp_rig_wait(NS_PER_S);
	read_and_close(0);
}

/*
 * Frames stay in the card's buffers until lwIP is done with them, so it must not wait for what comes before.
 */
static void segments_out_of_order_keep_no_buffers(void **state)
{
	for (unsigned n = 0; n < AT_ONCE; n++) {
		assert_true(end_connect(n, 1100));
		for (int i = 0; i < NIC_RX_BUFFERS; i++)
			end_send(n, RIG_ACK, 1100, 2, 10 + 10 * i);
	}
	assert_int_equal(tcp_rig_held(), 0);
	for (unsigned n = 0; n < AT_ONCE; n++)
		read_and_close(n);
}

/* Data that comes with the last acknowledgement. */
static void who_talks_to_the_end_keeps_no_buffers(void **state)
{
	for (unsigned i = 0; i < 2 * RIG_ENDS; i++) {
		unsigned n = i % RIG_ENDS;

		assert_true(end_connect(n, 8192));
		for (unsigned turn = 0; turn < 100 && !tcp_ends[n].fin && !tcp_ends[n].rst; turn++)
			end_send(n, RIG_ACK, 8192, 100, 0);
		assert_true(tcp_ends[n].len > STATUS);
		assert_int_equal(tcp_rig_held(), 0);
	}
}

static void who_says_nothing_more_keeps_nobody_out(void **state)
{
	/* More than there is room for: half open, silent after the first byte, all read but the end. */
	for (unsigned i = 0; i < RIG_ENDS; i++) {
		assert_true(end_connect(i, 8192));
		while (tcp_ends[i].len < STATUS || !tcp_ends[i].fin)
			end_send(i, RIG_ACK, 8192, 0, 0);
		tcp_ends[i].theirs--; /* the end is not acknowledged */
	}
	for (unsigned i = 0; i < AT_ONCE; i++)
		assert_true(end_connect(i, 0));
	assert_false(end_connect(AT_ONCE, 8192));
	tcp_rig_wait(PATIENCE + NS_PER_S);
	assert_true(end_connect(AT_ONCE, 8192));
	read_and_close(AT_ONCE);
}

static void what_is_sent_to_it_is_not_looked_at(void **state)
{
	assert_true(end_connect(0, 8192));
	for (unsigned i = 0; i < 200; i++)
		end_send(0, RIG_ACK, 8192, 512, 0);
	/* Data behind their end is answered with a reset, as TCP has it. */
	end_read(0, 8192, 100);
	assert_true(tcp_ends[0].len > STATUS && (tcp_ends[0].fin || tcp_ends[0].rst));
	/* A connection that they end first. */
	assert_true(end_connect(1, 8192));
	end_send(1, RIG_ACK | RIG_FIN, 8192, 0, 0);
	end_read(1, 8192, 100);
	assert_true(tcp_ends[1].fin);
	/* And one that they reset. */
	for (unsigned i = 0; i < 2 * AT_ONCE; i++) {
		tcp_rig_wait(NS_PER_S);
		assert_true(end_connect(2, 10));
		end_send(2, RIG_RST, 0, 0, 0);
	}
	assert_true(end_connect(3, 8192));
	read_and_close(3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_text_is_status_and_log),
		cmocka_unit_test(a_text_is_made_once_a_second),
		cmocka_unit_test(few_read_at_a_time),
		cmocka_unit_test(a_slow_reader_has_ten_seconds),
		cmocka_unit_test(a_window_may_open_a_little),
		cmocka_unit_test(segments_out_of_order_keep_no_buffers),
		cmocka_unit_test(who_talks_to_the_end_keeps_no_buffers),
		cmocka_unit_test(who_says_nothing_more_keeps_nobody_out),
		cmocka_unit_test(what_is_sent_to_it_is_not_looked_at),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
