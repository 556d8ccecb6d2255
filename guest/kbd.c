#include "guest/kbd.h"
#include "hv/base/bits.h"

#define DATA_PORT 0x60
#define PORT_A    0x92

/* Status port 64h */
#define STATUS_OUT_FULL 0x01
#define STATUS_SYSTEM   0x04
#define STATUS_COMMAND  0x08
#define STATUS_UNLOCKED 0x10
#define STATUS_AUX      0x20
#define STATUS_TIMEOUT  0x40

/* Command byte, controller RAM 0 */
#define BYTE_IRQ1        0x01
#define BYTE_IRQ12       0x02
#define BYTE_SYSTEM      0x04
#define BYTE_NO_KEYBOARD 0x10
#define BYTE_NO_AUX      0x20
#define BYTE_TRANSLATE   0x40

#define OUTPUT_NOT_RESET 0x01
#define OUTPUT_A20       0x02
#define PORT_A_RESET     0x01
#define PORT_A_A20       0x02

/* What a device that is not there "answers": resend, with the timeout flag. */
#define NO_DEVICE 0xfe

enum {
	CMD_READ_RAM = 0x20,  /* .. 0x3f */
	CMD_WRITE_RAM = 0x60, /* .. 0x7f */
	CMD_AUX_OFF = 0xa7,
	CMD_AUX_ON = 0xa8,
	CMD_AUX_TEST = 0xa9,
	CMD_SELF_TEST = 0xaa,
	CMD_KEYBOARD_TEST = 0xab,
	CMD_KEYBOARD_OFF = 0xad,
	CMD_KEYBOARD_ON = 0xae,
	CMD_READ_INPUT = 0xc0,
	CMD_READ_OUTPUT = 0xd0,
	CMD_WRITE_OUTPUT = 0xd1,
	CMD_LOOP_KEYBOARD = 0xd2,
	CMD_LOOP_AUX = 0xd3,
	CMD_WRITE_AUX = 0xd4,
	CMD_A20_OFF = 0xdd,
	CMD_A20_ON = 0xdf,
	CMD_PULSE = 0xf0, /* .. 0xff: low bits name the lines that stay high */
};

void kbd_init(struct kbd *k)
{
	*k = (struct kbd){.output_port = OUTPUT_NOT_RESET | OUTPUT_A20, .port92 = PORT_A_A20};
	k->ram[0] = BYTE_SYSTEM | BYTE_TRANSLATE | BYTE_NO_KEYBOARD | BYTE_NO_AUX;
}

static void answer(struct kbd *k, uint8_t byte)
{
	k->out = byte;
	k->out_full = true;
	k->out_aux = k->out_timeout = false;
}

static void answer_aux(struct kbd *k, uint8_t byte)
{
	answer(k, byte);
	k->out_aux = true;
}

static void write_output_port(struct kbd *k, uint8_t value)
{
	if (!(value & OUTPUT_NOT_RESET))
		k->reset_wanted = true;
	k->output_port = value | OUTPUT_NOT_RESET;
	k->port92 = value & OUTPUT_A20 ? PORT_A_A20 : 0;
}

static void set_a20(struct kbd *k, bool on)
{
	write_output_port(k,
			  on ? k->output_port | OUTPUT_A20 : k->output_port & (uint8_t)~OUTPUT_A20);
}

static void command(struct kbd *k, uint8_t c)
{
	k->pending = 0;
	switch (c) {
	case CMD_READ_RAM ... CMD_READ_RAM + 31:
		answer(k, k->ram[c & 31]);
		break;
	case CMD_AUX_OFF:
		k->ram[0] |= BYTE_NO_AUX;
		break;
	case CMD_AUX_ON:
		k->ram[0] &= (uint8_t)~BYTE_NO_AUX;
		break;
	case CMD_AUX_TEST:
	case CMD_KEYBOARD_TEST:
		answer(k, 0x00);
		break;
	case CMD_SELF_TEST:
		k->ram[0] |= BYTE_SYSTEM;
		answer(k, 0x55);
		break;
	case CMD_KEYBOARD_OFF:
		k->ram[0] |= BYTE_NO_KEYBOARD;
		break;
	case CMD_KEYBOARD_ON:
		k->ram[0] &= (uint8_t)~BYTE_NO_KEYBOARD;
		break;
	case CMD_READ_INPUT:
		answer(k, 0x80); /* the keyboard is not locked */
		break;
	case CMD_READ_OUTPUT:
		answer(k, k->output_port);
		break;
	case CMD_WRITE_RAM ... CMD_WRITE_RAM + 31:
	case CMD_WRITE_OUTPUT:
	case CMD_LOOP_KEYBOARD:
	case CMD_LOOP_AUX:
	case CMD_WRITE_AUX:
		k->pending = c;
		break;
	case CMD_A20_OFF:
	case CMD_A20_ON:
		set_a20(k, c == CMD_A20_ON);
		break;
	case CMD_PULSE ... CMD_PULSE + 15:
		if (!(c & OUTPUT_NOT_RESET))
			k->reset_wanted = true;
		break;
	default:
		break;
	}
}

/* A data byte belongs to the command before it, else to the keyboard. */
static void data(struct kbd *k, uint8_t value)
{
	uint8_t c = k->pending;

	k->pending = 0;
	if (c >= CMD_WRITE_RAM && c < CMD_WRITE_RAM + 32) {
		k->ram[c & 31] = value;
	} else if (c == CMD_WRITE_OUTPUT) {
		write_output_port(k, value);
	} else if (c == CMD_LOOP_KEYBOARD) {
		answer(k, value);
	} else if (c == CMD_LOOP_AUX) {
		answer_aux(k, value);
	} else if (c == CMD_WRITE_AUX) {
		answer_aux(k, NO_DEVICE);
		k->out_timeout = true;
	} else {
		k->ram[0] &= (uint8_t)~BYTE_NO_KEYBOARD;
		answer(k, NO_DEVICE);
		k->out_timeout = true;
	}
}

static uint8_t status(const struct kbd *k)
{
	return (uint8_t)(STATUS_UNLOCKED | (k->out_full ? STATUS_OUT_FULL : 0) |
			 (k->ram[0] & BYTE_SYSTEM ? STATUS_SYSTEM : 0) |
			 (k->last_was_command ? STATUS_COMMAND : 0) |
			 (k->out_full && k->out_aux ? STATUS_AUX : 0) |
			 (k->out_full && k->out_timeout ? STATUS_TIMEOUT : 0));
}

uint8_t kbd_read(struct kbd *k, uint16_t port)
{
	if (port == PORT_A)
		return k->port92;
	if (port != DATA_PORT)
		return status(k);
	k->out_full = false;
	return k->out;
}

void kbd_write(struct kbd *k, uint16_t port, uint8_t value)
{
	if (port == PORT_A) {
		if (value & PORT_A_RESET)
			k->reset_wanted = true;
		set_a20(k, value & PORT_A_A20);
		return;
	}
	k->last_was_command = port != DATA_PORT;
	if (port == DATA_PORT)
		data(k, value);
	else
		command(k, value);
}

bool kbd_irq1(const struct kbd *k)
{
	return k->out_full && !k->out_aux && k->ram[0] & BYTE_IRQ1;
}

bool kbd_irq12(const struct kbd *k)
{
	return k->out_full && k->out_aux && k->ram[0] & BYTE_IRQ12;
}

bool kbd_take_reset(struct kbd *k)
{
	bool wanted = k->reset_wanted;

	k->reset_wanted = false;
	return wanted;
}
