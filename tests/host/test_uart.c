/* guest/uart: the 16550A by its data sheet (PC16550D), and what Linux's 8250 driver probes for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "guest/uart.h"
#include "hv/base/types.h"

static struct uart u;

static uint8_t rd(unsigned reg)
{
	return uart_read(&u, reg, 1000);
}

static struct uart_tx wr(unsigned reg, uint8_t v)
{
	return uart_write(&u, reg, v, 1000);
}

/* As Linux leaves the port when it is opened: 8N1, FIFO with trigger 8, OUT2. */
static void open_port(void)
{
	uart_init(&u);
	wr(3, 0x83);
	wr(0, 1);
	wr(1, 0);
	wr(3, 0x03);
	wr(2, 0x87);
	wr(4, 0x0b);
}

static void reset_state(void **state)
{
	static const uint8_t expected[8] = {0, 0, 0x01, 0, 0, 0x60, 0xb0, 0};

	uart_init(&u);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(rd(i), expected[i]);
	assert_false(uart_irq(&u));
}

static void registers_hold(void **state)
{
	uart_init(&u);
	wr(7, 0x5a);
	assert_int_equal(rd(7), 0x5a);
	wr(3, 0x83);
	wr(0, 0x12);
	wr(1, 0x34);
	assert_int_equal(rd(0), 0x12);
	assert_int_equal(rd(1), 0x34);
	wr(3, 0x03);
	wr(1, 0xff);
	assert_int_equal(rd(1), 0x0f);
	wr(4, 0xff);
	assert_int_equal(rd(4), 0x1f);
	/* LSR and MSR are not written */
	wr(5, 0);
	assert_int_equal(rd(5), 0x60);
}

/* Linux's autoconfig: FIFO bits, loopback's modem lines. */
static void probe_says_16550a(void **state)
{
	uart_init(&u);
	wr(4, 0x1a);
	assert_int_equal(rd(6) & 0xf0, 0x90);
	wr(4, 0x15);
	assert_int_equal(rd(6) & 0xf0, 0x60);
	wr(4, 0);
	wr(2, 0x01);
	assert_int_equal(rd(2) >> 6, 3);
	wr(2, 0x00);
	assert_int_equal(rd(2) >> 6, 0);
}

static void bytes_leave_at_once(void **state)
{
	struct uart_tx tx;

	open_port();
	tx = wr(0, 'A');
	assert_true(tx.valid);
	assert_int_equal(tx.byte, 'A');
	assert_int_equal(rd(5), 0x60);
	/* the divisor latch is not sent */
	wr(3, 0x83);
	assert_false(wr(0, 'B').valid);
	assert_int_equal(u.sent, 1);
}

/* 8.6: IIR's read acknowledges; a byte written or the enable's rising edge raises it again. */
static void thre_interrupt(void **state)
{
	open_port();
	wr(1, 0x02);
	assert_true(uart_irq(&u));
	assert_int_equal(rd(2), 0xc2);
	assert_false(uart_irq(&u));
	assert_int_equal(rd(2), 0xc1);
	/* Linux's test for chips that don't reassert: off and on again */
	wr(1, 0x00);
	wr(1, 0x02);
	assert_int_equal(rd(2), 0xc2);
	assert_false(uart_irq(&u));
	wr(1, 0x02);
	assert_false(uart_irq(&u));
	wr(0, 'x');
	assert_true(uart_irq(&u));
	wr(1, 0x00);
	assert_false(uart_irq(&u));
}

static void out2_gates_the_line(void **state)
{
	open_port();
	wr(1, 0x02);
	wr(4, 0x03);
	assert_false(uart_irq(&u));
	assert_int_equal(u.thre_pending, true);
	wr(4, 0x0b);
	assert_true(uart_irq(&u));
}

static void receive_without_fifo(void **state)
{
	open_port();
	wr(2, 0);
	wr(1, 0x01);
	assert_int_equal(uart_receive(&u, (const uint8_t *)"ab", 2, 1000), 2);
	assert_true(uart_irq(&u));
	assert_int_equal(rd(2), 0x04);
	assert_int_equal(rd(5), 0x61);
	assert_int_equal(rd(0), 'a');
	/* the next one follows from the backlog */
	assert_true(uart_irq(&u));
	assert_int_equal(rd(0), 'b');
	assert_false(uart_irq(&u));
	assert_int_equal(rd(5), 0x60);
}

static void receive_trigger_and_timeout(void **state)
{
	uint64_t four_chars = 4 * 10 * NS_PER_S / 115200;

	open_port();
	wr(1, 0x01);
	uart_receive(&u, (const uint8_t *)"1234567", 7, 1000);
	assert_false(uart_irq(&u));
	assert_int_equal(uart_next_event(&u), 1000 + four_chars);
	uart_receive(&u, (const uint8_t *)"8", 1, 2000);
	assert_true(uart_irq(&u));
	assert_int_equal(rd(2), 0xc4);
	assert_int_equal(uart_read(&u, 0, 5000), '1');
	assert_false(uart_irq(&u));
	/* what is left comes with the timeout, and a read takes the timeout away */
	assert_int_equal(uart_next_event(&u), 5000 + four_chars);
	uart_tick(&u, 5000 + four_chars - 1);
	assert_false(uart_irq(&u));
	uart_tick(&u, 5000 + four_chars);
	assert_int_equal(rd(2), 0xcc);
	assert_int_equal(rd(0), '2');
	assert_false(uart_irq(&u));
	for (char c = '3'; c <= '8'; c++)
		assert_int_equal(rd(0), c);
	assert_int_equal(uart_next_event(&u), UINT64_MAX);
}

static void fifo_reset_and_backlog(void **state)
{
	uint8_t bytes[UART_BACKLOG + 100], b = 0;
	size_t n = 0;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	open_port();
	wr(1, 0x01);
	/* throttled when the backlog is full, but nothing is lost */
	assert_int_equal(uart_receive(&u, bytes, sizeof(bytes), 1000), UART_BACKLOG);
	n = UART_BACKLOG + uart_receive(&u, bytes + UART_BACKLOG, 100, 1000);
	assert_int_equal(n, UART_BACKLOG + 16);
	while (rd(5) & 1)
		assert_int_equal(rd(0), b++);
	assert_int_equal(b, (uint8_t)n);
	assert_int_equal(u.received, n);
	uart_receive(&u, bytes, 3, 1000);
	wr(2, 0x83);
	assert_int_equal(rd(5), 0x60);
	assert_int_equal(uart_next_event(&u), UINT64_MAX);
}

static void loopback(void **state)
{
	open_port();
	wr(1, 0x01);
	wr(4, 0x1b);
	assert_false(wr(0, 'z').valid);
	assert_int_equal(rd(5), 0x61);
	assert_int_equal(rd(0), 'z');
	/* outside bytes wait until it is over */
	uart_receive(&u, (const uint8_t *)"q", 1, 1000);
	assert_int_equal(rd(5), 0x60);
	for (unsigned i = 0; i < 17; i++)
		wr(0, (uint8_t)i);
	assert_int_equal(rd(5), 0x63);
	assert_int_equal(rd(5), 0x61);
	wr(2, 0x87);
	wr(4, 0x0b);
	assert_int_equal(rd(0), 'q');
}

static void priorities_and_modem_status(void **state)
{
	open_port();
	wr(4, 0x1b);
	for (unsigned i = 0; i < 17; i++)
		wr(0, (uint8_t)i);
	wr(4, 0x0b);
	rd(2);
	wr(1, 0x0f);
	assert_int_equal(rd(2), 0xc6);
	rd(5);
	assert_int_equal(rd(2), 0xc4);
	wr(2, 0x87);
	assert_int_equal(rd(2), 0xc2);
	/* loopback's outputs were DTR, RTS, OUT2 like the lines: nothing moved */
	assert_int_equal(rd(2), 0xc1);
	wr(4, 0x1f);
	/* RI's rising edge is none that counts */
	assert_int_equal(rd(6), 0xf0);
	wr(4, 0x1e);
	wr(4, 0x1b);
	assert_int_equal(rd(2), 0xc0);
	/* DSR fell and rose, RI's falling edge, CTS and DCD stayed */
	assert_int_equal(rd(6), 0xb6);
	assert_int_equal(rd(2), 0xc1);
}

static void reset_keeps_what_waits(void **state)
{
	open_port();
	uart_receive(&u, (const uint8_t *)"0123456789abcdefgh", 18, 1000);
	uart_reset(&u);
	wr(2, 0x01);
	assert_int_equal(rd(0), 'g');
	assert_int_equal(rd(1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reset_state),
		cmocka_unit_test(registers_hold),
		cmocka_unit_test(probe_says_16550a),
		cmocka_unit_test(bytes_leave_at_once),
		cmocka_unit_test(thre_interrupt),
		cmocka_unit_test(out2_gates_the_line),
		cmocka_unit_test(receive_without_fifo),
		cmocka_unit_test(receive_trigger_and_timeout),
		cmocka_unit_test(fifo_reset_and_backlog),
		cmocka_unit_test(loopback),
		cmocka_unit_test(priorities_and_modem_status),
		cmocka_unit_test(reset_keeps_what_waits),
	};

	return cmocka_run_group_tests_name("uart", tests, NULL, NULL);
}
