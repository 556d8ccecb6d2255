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

# Too long to make for those who only want a shell; only the tests of it ask for it.
debian-root: $(IMAGES_OUT)/debian-root.img ## a small Debian on an ext4 image, to be the guest's disk with root=/dev/vda
.PHONY: debian-root

$(IMAGES_OUT)/debian-root.img: tools/debian-root
	$(PYTHON) tools/debian-root --cache $(CACHE) -o $@

$(IMAGES_OUT)/memtest: $(DEPS)/memtest/.stamp
	@mkdir -p $(@D)
	cp $(DEPS)/memtest/boot/memtest86+ia32.bin $@
