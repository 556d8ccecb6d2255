# The stock guests: Debian's 686 kernel with a small initrd, and memtest86+.

IMAGES_OUT := $(BUILD)/guest

guest-images: $(IMAGES_OUT)/initrd.gz $(IMAGES_OUT)/linux $(IMAGES_OUT)/linux-pae $(IMAGES_OUT)/memtest ## the guests that `make run` and the tests boot
.PHONY: guest-images

$(IMAGES_OUT)/initrd.gz: tools/mkinitrd tools/initrd/init $(DEPS)/busybox/.stamp $(DEPS)/linux/.stamp
	@mkdir -p $(@D)
	$(PYTHON) tools/mkinitrd --busybox $(DEPS)/busybox/bin/busybox --init tools/initrd/init \
	  --modules $(DEPS)/linux -o $@

$(IMAGES_OUT)/linux $(IMAGES_OUT)/linux-pae: $(IMAGES_OUT)/%: $(DEPS)/%/.stamp
	@mkdir -p $(@D)
	cp $(DEPS)/$*/boot/vmlinuz-* $@

$(IMAGES_OUT)/memtest: $(DEPS)/memtest/.stamp
	@mkdir -p $(@D)
	cp $(DEPS)/memtest/boot/memtest86+ia32.bin $@
