/* guest/pci: configuration mechanism 1, BAR sizing and decoding, interrupt lines. PCI 3.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "guest/layout.h"
#include "guest/pci.h"

static struct pci bus;
static struct pci_device dev;
static unsigned written, resets;

static void config_written(struct pci_device *d, unsigned offset, unsigned size)
{
	written = offset << 8 | size;
}

static void reset(struct pci_device *d)
{
	resets++;
}

static const struct pci_device_ops ops = {.config_written = config_written, .reset = reset};

static void select_reg(unsigned slot, unsigned offset)
{
	pci_io_write(&bus, 0xcf8, 4, 0x80000000 | slot << 11 | (offset & 0xfc));
}

static uint32_t get(unsigned slot, unsigned offset, unsigned size)
{
	select_reg(slot, offset);
	return pci_io_read(&bus, (uint16_t)(0xcfc + offset % 4), size);
}

static void set(unsigned slot, unsigned offset, unsigned size, uint32_t v)
{
	select_reg(slot, offset);
	pci_io_write(&bus, (uint16_t)(0xcfc + offset % 4), size, v);
}

static void add(void)
{
	struct why why;

	pci_init(&bus);
	pci_device_init(&dev, "test", 0x1af4, 0x1042, 0x010000, 1);
	dev.ops = &ops;
	dev.bar[0] = (struct pci_bar){PCI_BAR_IO, 64, false};
	dev.bar[1] = (struct pci_bar){PCI_BAR_MEM32, 4096, false};
	dev.bar[2] = (struct pci_bar){PCI_BAR_MEM64, 0x10000, true};
	dev.config[PCI_INTERRUPT_PIN] = 1;
	assert_int_equal(pci_add(&bus, &dev, 3, &why), 0);
}

static void bridges_are_there_and_nothing_else(void **state)
{
	pci_init(&bus);
	/* Linux's check for mechanism 1 */
	pci_io_write(&bus, 0xcf8, 4, 0x80000000);
	assert_int_equal(pci_io_read(&bus, 0xcf8, 4), 0x80000000);
	assert_int_equal(get(0, PCI_CLASS + 1, 2), 0x0600);
	assert_int_equal(get(1, PCI_CLASS + 1, 2), 0x0601);
	assert_int_equal(get(0, PCI_VENDOR_ID, 2), 0x8086);
	for (unsigned slot = 2; slot < 32; slot++)
		assert_int_equal(get(slot, 0, 4), 0xffffffff);
	/* another bus, another function, not enabled, reserved bits */
	pci_io_write(&bus, 0xcf8, 4, 0x80010000);
	assert_int_equal(pci_io_read(&bus, 0xcfc, 4), 0xffffffff);
	pci_io_write(&bus, 0xcf8, 4, 0x80000100);
	assert_int_equal(pci_io_read(&bus, 0xcfc, 4), 0xffffffff);
	pci_io_write(&bus, 0xcf8, 4, 0x00000000);
	assert_int_equal(pci_io_read(&bus, 0xcfc, 4), 0xffffffff);
	pci_io_write(&bus, 0xcf8, 4, 0xffffffff);
	assert_int_equal(pci_io_read(&bus, 0xcf8, 4), 0x80fffffc);
	/* bytes and words of the address register are none of PCI's */
	pci_io_write(&bus, 0xcf8, 1, 0);
	assert_int_equal(pci_io_read(&bus, 0xcf8, 4), 0x80fffffc);
}

static void only_writable_bits_change(void **state)
{
	add();
	set(3, PCI_VENDOR_ID, 4, 0);
	assert_int_equal(get(3, PCI_VENDOR_ID, 4), 0x10421af4);
	assert_int_equal(get(3, PCI_DEVICE_ID, 2), 0x1042);
	assert_int_equal(get(3, PCI_DEVICE_ID + 1, 1), 0x10);
	set(3, PCI_COMMAND, 2, 0xffff);
	assert_int_equal(get(3, PCI_COMMAND, 2), 0x0407);
	assert_int_equal(written, PCI_COMMAND << 8 | 2);
	set(3, PCI_INTERRUPT_LINE, 1, 0x55);
	assert_int_equal(get(3, PCI_INTERRUPT_LINE, 2), 0x0155);
	dev.config[PCI_STATUS + 1] = 0xff;
	dev.clearable[PCI_STATUS + 1] = 0xf9;
	set(3, PCI_STATUS, 2, 0x8100);
	assert_int_equal(get(3, PCI_STATUS, 2), 0x7e00);
	/* an access over the end of the data port is nobody's */
	select_reg(3, 0);
	assert_int_equal(pci_io_read(&bus, 0xcfe, 4), 0xffffffff);
}

/* 6.2.5.1: write ones, read back the size. */
static void bars_are_placed_and_sized(void **state)
{
	add();
	assert_int_equal(get(3, 0x10, 4), LAYOUT_PCI_IO | 1);
	assert_int_equal(get(3, 0x14, 4), 0xc0000000);
	assert_int_equal(get(3, 0x18, 4), 0xc001000c);
	assert_int_equal(get(3, 0x1c, 4), 0);
	for (unsigned i = 0; i < 6; i++)
		set(3, 0x10 + 4 * i, 4, 0xffffffff);
	assert_int_equal(get(3, 0x10, 4), 0xffffffc1);
	assert_int_equal(get(3, 0x14, 4), 0xfffff000);
	assert_int_equal(get(3, 0x18, 4), 0xffff000c);
	assert_int_equal(get(3, 0x1c, 4), 0xffffffff);
	assert_int_equal(get(3, 0x20, 4), 0);
}

static void bars_decode(void **state)
{
	uint32_t offset;
	unsigned bar;

	add();
	assert_ptr_equal(pci_decode(&bus, true, LAYOUT_PCI_IO + 60, 4, &bar, &offset), &dev);
	assert_int_equal(bar, 0);
	assert_int_equal(offset, 60);
	assert_null(pci_decode(&bus, true, LAYOUT_PCI_IO + 61, 4, &bar, &offset));
	assert_null(pci_decode(&bus, true, LAYOUT_PCI_IO - 1, 1, &bar, &offset));
	assert_null(pci_decode(&bus, false, LAYOUT_PCI_IO, 4, &bar, &offset));
	assert_ptr_equal(pci_decode(&bus, false, 0xc0000ffc, 4, &bar, &offset), &dev);
	assert_int_equal(bar, 1);
	/* moved by the guest, above 4 GiB */
	set(3, 0x18, 4, 0);
	set(3, 0x1c, 4, 8);
	assert_ptr_equal(pci_decode(&bus, false, 0x800000008ull, 8, &bar, &offset), &dev);
	assert_int_equal(bar, 2);
	assert_int_equal(offset, 8);
	assert_null(pci_decode(&bus, false, 0xc0010000, 4, &bar, &offset));
	set(3, PCI_COMMAND, 2, PCI_COMMAND_IO);
	assert_null(pci_decode(&bus, false, 0xc0000000, 4, &bar, &offset));
	assert_non_null(pci_decode(&bus, true, LAYOUT_PCI_IO, 4, &bar, &offset));
	/* a bus reset brings all back */
	resets = 0;
	pci_reset(&bus);
	assert_int_equal(resets, 1);
	assert_non_null(pci_decode(&bus, false, 0xc0010000, 4, &bar, &offset));
}

static void interrupt_pin(void **state)
{
	add();
	assert_int_equal(get(3, PCI_INTERRUPT_LINE, 1), layout_pci_irq(3, 0));
	pci_set_intx(&dev, true);
	assert_true(pci_intx(&dev));
	assert_int_equal(get(3, PCI_STATUS, 2) & PCI_STATUS_INTX, PCI_STATUS_INTX);
	set(3, PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
	assert_false(pci_intx(&dev));
	assert_int_equal(get(3, PCI_STATUS, 2) & PCI_STATUS_INTX, PCI_STATUS_INTX);
}

static void bad_devices_are_refused(void **state)
{
	static struct pci_device d;
	struct why why;

	add();
	pci_device_init(&d, "d", 1, 1, 0, 0);
	assert_int_equal(pci_add(&bus, &d, 3, &why), ERR_BUSY);
	assert_string_equal(why.text, "PCI slot 3 for device d is taken");
	assert_int_equal(pci_add(&bus, &d, 32, &why), ERR_BUSY);
	d.bar[0] = (struct pci_bar){PCI_BAR_MEM32, 48, false};
	assert_int_equal(pci_add(&bus, &d, 4, &why), ERR_INVALID);
	d.bar[0] = (struct pci_bar){PCI_BAR_IO, 0x8000, false};
	assert_int_equal(pci_add(&bus, &d, 4, &why), ERR_NOMEM);
	assert_string_equal(why.text,
			    "BAR 0 of PCI device d needs 32768 bytes of I/O space, which is full");
	d.bar[0] = (struct pci_bar){PCI_BAR_MEM32, 0x40000000, false};
	assert_int_equal(pci_add(&bus, &d, 4, &why), ERR_NOMEM);
	d.bar[0].kind = PCI_BAR_NONE;
	d.bar[5] = (struct pci_bar){PCI_BAR_MEM64, 64, false};
	assert_int_equal(pci_add(&bus, &d, 4, &why), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bridges_are_there_and_nothing_else),
		cmocka_unit_test(only_writable_bits_change),
		cmocka_unit_test(bars_are_placed_and_sized),
		cmocka_unit_test(bars_decode),
		cmocka_unit_test(interrupt_pin),
		cmocka_unit_test(bad_devices_are_refused),
	};

	return cmocka_run_group_tests_name("pci", tests, NULL, NULL);
}
