# Downloads, the lab runner and the checkers.

include tools/deps.mk
include tools/guest.mk
include tests/suite/suite.mk
include pxe/pxe.mk
include tools/lint.mk

##: Set-up
packages: ## install the Debian packages that building, running and testing need
	@tools/packages build run check
.PHONY: packages

##: Build and run
# LAB= more options of tools/lab, which win: make run LAB="--nodes 3"; the lab takes the fastest emulator there is
run: ## boot two emulated nodes into one machine and sit at the guest's console (Ctrl-A X leaves)
	@tools/packages build run
	@$(MAKE) --no-print-directory -s all guest-images
	@tools/lab run --build $(BUILD) --interactive --nodes 2 $(LAB)
.PHONY: run

##: Tests
# What CI runs: every part, even after one failed. Other rooms add theirs to TEST_PARTS. Packages and
# sources come first; then the quick parts, the emulated clusters last.
test: ## everything: checks, sanitizers, models, fuzzers, emulated clusters
	@tools/packages build run check
	@$(MAKE) --no-print-directory -s deps
	@MAKE="$(MAKE)" tools/test-parts $(BUILD)/test all check check-tsan $(TEST_PARTS) check-fuzz \
	  test-cluster

CHECKS := check-includes check-room-table check-vendor-doc check-docs check-format check-shell check-python \
          check-static check-tidy check-tools check-host
check: $(CHECKS) ## fast: unit tests under ASan and UBSan, house rules, format, lint

# TESTS= some of tests/cluster instead of all
test-cluster: all guest-images guests suite wire-tools netboot ## netboot emulated clusters and run the guests (TESTS="debian_bios ...")
	@AMALGAM_BUILD=$(abspath $(BUILD)) tests/cluster/run $(TESTS)

# Not in CI: emulators on a small host take these from minutes to an hour.
test-long: all guest-images guests suite wire-tools netboot debian-root ## the emulated clusters that `make test` leaves out
	@AMALGAM_BUILD=$(abspath $(BUILD)) tests/cluster/run long
.PHONY: test-long

# EMU= qemu, bochs or kvm; without it the fastest there is. BENCH= more options of the tool
bench-cluster: all guest-images suite ## times of one emulated node against two, in one run (EMU=bochs BENCH="--nodes 3")
	@AMALGAM_BUILD=$(abspath $(BUILD)) tools/bench-cluster $(if $(EMU),--emu $(EMU)) $(BENCH)

check-includes: ## who may include whom, what portable code must not do, how large rooms and circles may be
	@tools/check-includes --self-test
	@tools/check-includes
	@tools/check-rooms --self-test
	@tools/check-rooms
	@tools/housedoc --self-test
	@tools/housedoc

check-vendor-doc: ## docs/vendors.md has a row for each entry of struct virt_ops
	@tools/vendordoc --self-test
	@tools/vendordoc

check-docs: ## files, functions, links and targets that documents and comments name are there
	@tools/check-docs --self-test
	@tools/check-docs
.PHONY: check-docs

vendor-share: ## how much code is in each CPU vendor's room and how much outside
	@tools/vendor-share

check-tools: ## the tools' own tests
	@$(PYTHON) -B -m unittest discover -q -s tools/tests -t tools
	@tools/coverage --self-test

.PHONY: test check test-cluster bench-cluster check-includes check-vendor-doc vendor-share check-tools
