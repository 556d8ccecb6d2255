# The netboot folder: everything a TFTP server has to offer, in one place and one archive.

NETBOOT := $(BUILD)/netboot
NETBOOT_PARTS := $(BOOT_OUT)/amalgam.elf $(BOOT_OUT)/amalgam.efi pxe/boot.ipxe pxe/settings.ipxe \
                 pxe/amalgam.cfg pxe/dnsmasq-own.conf pxe/dnsmasq-proxy.conf

netboot: $(NETBOOT_PARTS) guest-images ## for a real lab: build/netboot for its TFTP server, netboot.tar.gz, and amalgam-usb.img
	@tools/packages run
	@rm -rf $(NETBOOT)
	@mkdir -p $(NETBOOT)
	@cp $(NETBOOT_PARTS) /boot/ipxe.efi /usr/lib/ipxe/undionly.kpxe $(NETBOOT)
	@cp $(IMAGES_OUT)/linux $(NETBOOT)/guest
	@cp $(IMAGES_OUT)/initrd.gz $(NETBOOT)/initrd
	@tar -C $(BUILD) --owner=0 --group=0 -czf $(BUILD)/netboot.tar.gz netboot
	@tools/usb-image $(NETBOOT) $(BUILD)/amalgam-usb.img
	@echo "netboot: $(NETBOOT), $(BUILD)/netboot.tar.gz and $(BUILD)/amalgam-usb.img are ready;" \
	  "pxe/README.md says what for"
.PHONY: netboot
