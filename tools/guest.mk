# The stock guests: Debian's 686 kernel with a small initrd, and memtest86+.

GUEST_OUT := $(BUILD)/guest

guest-images: $(GUEST_OUT)/initrd.gz $(GUEST_OUT)/linux $(GUEST_OUT)/linux-pae $(GUEST_OUT)/memtest ## the guests that `make run` and the tests boot
.PHONY: guest-images

$(GUEST_OUT)/initrd.gz: tools/mkinitrd tools/initrd/init $(DEPS)/busybox/.stamp
	@mkdir -p $(@D)
	$(PYTHON) tools/mkinitrd --busybox $(DEPS)/busybox/bin/busybox --init tools/initrd/init -o $@

$(GUEST_OUT)/linux $(GUEST_OUT)/linux-pae: $(GUEST_OUT)/%: $(DEPS)/%/.stamp
	@mkdir -p $(@D)
	cp $(DEPS)/$*/boot/vmlinuz-* $@

$(GUEST_OUT)/memtest: $(DEPS)/memtest/.stamp
	@mkdir -p $(@D)
	cp $(DEPS)/memtest/boot/memtest86+ia32.bin $@
