#include "guest/aml.h"
#include "hv/base/string.h"

/* Opcodes. ACPI 6.5, table 20.3 */
enum {
	OP_ZERO = 0x00,
	OP_ONE = 0x01,
	OP_NAME = 0x08,
	OP_BYTE = 0x0a,
	OP_WORD = 0x0b,
	OP_DWORD = 0x0c,
	OP_SCOPE = 0x10,
	OP_BUFFER = 0x11,
	OP_PACKAGE = 0x12,
	OP_METHOD = 0x14,
	OP_EXT = 0x5b,
	OP_EXT_DEVICE = 0x82,
	OP_ARG0 = 0x68,
	OP_STORE = 0x70,
	OP_IF = 0xa0,
	OP_RETURN = 0xa4,
};

/* Resource descriptors. 6.4.2, 6.4.3.5 */
#define RES_IRQ         0x22
#define RES_IO          0x47
#define RES_DECODE_16   0x01
#define RES_END         0x79
#define RES_DWORD       0x87
#define RES_WORD        0x88
#define RANGE_MEMORY    0
#define RANGE_IO        1
#define RANGE_BUS       2
#define RANGE_FIXED     0x0c /* both ends are; the device produces the range */
#define IO_ENTIRE       0x03
#define MEMORY_WRITABLE 0x01

/* A PkgLength of three bytes, whatever the length will be: 20.2.4 allows it. */
#define PKG_LENGTH_BYTES 3

static struct aml_block open_block(struct gmem_out *o)
{
	struct aml_block block = {.length = o->at};

	gmem_out_int(o, 0, PKG_LENGTH_BYTES);
	return block;
}

/* The length counts itself: 4 bits in the first byte, whose top bits tell that two more follow. */
void aml_close(struct gmem_out *o, struct aml_block block)
{
	uint32_t n = (uint32_t)(o->at - block.length);
	uint8_t bytes[PKG_LENGTH_BYTES] = {
		(uint8_t)(0x80 | (n & 15)),
		(uint8_t)(n >> 4),
		(uint8_t)(n >> 12),
	};

	gmem_out_patch(o, block.length, bytes, sizeof(bytes));
}

void aml_ref(struct gmem_out *o, const char *name)
{
	gmem_out_put(o, name, strlen(name));
}

struct aml_block aml_scope(struct gmem_out *o, const char *name)
{
	struct aml_block block;

	gmem_out_u8(o, OP_SCOPE);
	block = open_block(o);
	aml_ref(o, name);
	return block;
}

struct aml_block aml_device(struct gmem_out *o, const char *name)
{
	struct aml_block block;

	gmem_out_u8(o, OP_EXT);
	gmem_out_u8(o, OP_EXT_DEVICE);
	block = open_block(o);
	aml_ref(o, name);
	return block;
}

struct aml_block aml_method(struct gmem_out *o, const char *name, unsigned args)
{
	struct aml_block block;

	gmem_out_u8(o, OP_METHOD);
	block = open_block(o);
	aml_ref(o, name);
	gmem_out_u8(o, (uint8_t)args);
	return block;
}

struct aml_block aml_package(struct gmem_out *o, uint8_t elements)
{
	struct aml_block block;

	gmem_out_u8(o, OP_PACKAGE);
	block = open_block(o);
	gmem_out_u8(o, elements);
	return block;
}

struct aml_block aml_if(struct gmem_out *o)
{
	gmem_out_u8(o, OP_IF);
	return open_block(o);
}

void aml_name(struct gmem_out *o, const char *name)
{
	gmem_out_u8(o, OP_NAME);
	aml_ref(o, name);
}

void aml_integer(struct gmem_out *o, uint32_t v)
{
	if (v <= 1) {
		gmem_out_u8(o, v ? OP_ONE : OP_ZERO);
	} else if (v <= 0xff) {
		gmem_out_u8(o, OP_BYTE);
		gmem_out_int(o, v, 1);
	} else if (v <= 0xffff) {
		gmem_out_u8(o, OP_WORD);
		gmem_out_int(o, v, 2);
	} else {
		gmem_out_u8(o, OP_DWORD);
		gmem_out_int(o, v, 4);
	}
}

void aml_return(struct gmem_out *o)
{
	gmem_out_u8(o, OP_RETURN);
}

void aml_store_arg0(struct gmem_out *o, const char *name)
{
	gmem_out_u8(o, OP_STORE);
	gmem_out_u8(o, OP_ARG0);
	aml_ref(o, name);
}

static uint32_t hex_digit(char c)
{
	return (uint32_t)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* Three letters of five bits and four hex digits, most significant byte first. 19.3.4 */
void aml_hid(struct gmem_out *o, const char *id)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < 3; i++)
		v = v << 5 | ((uint32_t)id[i] & 31);
	for (unsigned i = 3; i < 7; i++)
		v = v << 4 | hex_digit(id[i]);
	aml_name(o, "_HID");
	aml_integer(o, __builtin_bswap32(v));
}

struct aml_block aml_resources(struct gmem_out *o)
{
	struct aml_block block;

	aml_name(o, "_CRS");
	gmem_out_u8(o, OP_BUFFER);
	block = open_block(o);
	gmem_out_u8(o, OP_WORD);
	block.size = o->at;
	gmem_out_int(o, 0, 2);
	return block;
}

void aml_resources_end(struct gmem_out *o, struct aml_block block)
{
	uint8_t size[2];

	gmem_out_u8(o, RES_END);
	gmem_out_u8(o, 0); /* no checksum */
	size[0] = (uint8_t)(o->at - block.size - 2);
	size[1] = (uint8_t)((o->at - block.size - 2) >> 8);
	gmem_out_patch(o, block.size, size, sizeof(size));
	aml_close(o, block);
}

void aml_io(struct gmem_out *o, uint16_t base, uint8_t length)
{
	gmem_out_u8(o, RES_IO);
	gmem_out_u8(o, RES_DECODE_16);
	gmem_out_int(o, base, 2);
	gmem_out_int(o, base, 2);
	gmem_out_u8(o, 1); /* alignment */
	gmem_out_u8(o, length);
}

void aml_irq(struct gmem_out *o, unsigned irq)
{
	gmem_out_u8(o, RES_IRQ);
	gmem_out_int(o, 1u << irq, 2);
}

/* Address space descriptors: granularity, first, last, translation, length. */
static void range(struct gmem_out *o, uint8_t kind, uint8_t flags, unsigned width, uint32_t first,
		  uint32_t last)
{
	gmem_out_u8(o, width == 4 ? RES_DWORD : RES_WORD);
	gmem_out_int(o, 3 + 5 * width, 2);
	gmem_out_u8(o, kind);
	gmem_out_u8(o, RANGE_FIXED);
	gmem_out_u8(o, flags);
	gmem_out_int(o, 0, width);
	gmem_out_int(o, first, width);
	gmem_out_int(o, last, width);
	gmem_out_int(o, 0, width);
	gmem_out_int(o, last - first + 1, width);
}

void aml_bus_range(struct gmem_out *o, uint16_t first, uint16_t last)
{
	range(o, RANGE_BUS, 0, 2, first, last);
}

void aml_io_range(struct gmem_out *o, uint16_t first, uint16_t last)
{
	range(o, RANGE_IO, IO_ENTIRE, 2, first, last);
}

void aml_memory_range(struct gmem_out *o, uint32_t first, uint32_t last)
{
	range(o, RANGE_MEMORY, MEMORY_WRITABLE, 4, first, last);
}
