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
# What CI runs: every part, even after one failed, side by side. tests/parts says which; other rooms may add targets
# to TEST_PARTS. Packages and sources come first, then all is built. It fails when it takes longer than TEST_MINUTES.
TEST_MINUTES ?= 40
RUN_PARTS = AMALGAM_BUILD=$(abspath $(BUILD)) MAKE="$(MAKE)" tools/test-parts

test: ## everything: checks, sanitizers, models, fuzzers, emulated clusters; 20 min on two CPUs
	@tools/packages build run check
	@$(MAKE) --no-print-directory -s deps
	@$(RUN_PARTS) --set test --first test-build --minutes $(TEST_MINUTES) $(BUILD)/test $(TEST_PARTS)

CHECKS := check-includes check-room-table check-vendor-doc check-lock-doc check-docs \
          check-format check-shell check-python check-static check-tidy check-tools check-host check-glue
check: $(CHECKS) ## fast: unit tests under ASan and UBSan, house rules, format, lint

# TESTS= some of tests/cluster instead of all
test-cluster: cluster-build ## netboot emulated clusters and run the guests (TESTS="debian_bios ...")
	@$(RUN_PARTS) --name test-cluster $(if $(TESTS),,--set test --cluster) $(BUILD)/test-cluster $(TESTS)

# Not in CI: emulators on a small host take these from minutes to an hour.
test-long: ## what `make test` leaves out or shortens: a million messages, soaks, each vendor; some 2 hours
	@tools/packages build run check
	@$(MAKE) --no-print-directory -s deps
	@TEST_LONG=1 $(RUN_PARTS) --name test-long --set long --first test-build --first debian-root $(BUILD)/test-long

cluster-build: all guest-images guests suite wire-tools netboot
# All that the parts run, so that they make nothing themselves: two that run at once would make the same.
test-build: cluster-build test-programs
.PHONY: test-long cluster-build test-build test-programs

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

check-lock-doc: ## docs/locks.md has each spinlock, by rank
	@tools/lockdoc --self-test
	@tools/lockdoc

vendor-share: ## how much code is in each CPU vendor's room and how much outside
	@tools/vendor-share

check-tools: ## the tools' own tests
	@$(PYTHON) -B -m unittest discover -q -s tools/tests -t tools
	@tools/coverage --self-test

.PHONY: test check test-cluster bench-cluster check-includes check-vendor-doc check-lock-doc vendor-share check-tools
