# The quick test of each room, less than two minutes: `make check-dsm`. It runs the host tests and fuzzers that include
# a header of the room's folder, and those that its row names, % standing for anything, and the row's other targets.

ROOM_TABLE := \
  base::test_base,test_log%,test_spin%,fuzz_cmdline \
  boot:boot:test_boot,test_memmap,check-panic \
  x86:hv/x86:check-panic \
  virt:hv/virt:check-vendor-doc \
  vmx:hv/vmx:test_vmx_% \
  svm:hv/svm:test_svm_% \
  insn:hv/insn:test_zydis \
  cpu:hv/cpu:test_cpu_policy \
  image:hv/image:test_lapic_state,test_vmx_image,test_svm_image \
  core:hv/core:test_vtlb \
  cluster:hv/cluster:test_pagewire,check-glue,check-glue \
  dev:hv/dev:test_netcard,test_netdisk,test_virtdev,test_devices,test_lan_rules \
  place:hv/place:check-placement \
  apic:apic:test_apic_%,test_lapic%,test_ioapic,fuzz_lapic,check-tsan \
  guest:guest:test_virt%,fuzz_virtio \
  dsm:dsm:test_dsm%,fuzz_dsm,check-sim,check-explore-short \
  net:net/%:test_cluster%,test_console,fuzz_console,test_frame,test_ip,test_net%,test_nic,fuzz_nic,check-wire-doc,check-sim

comma      := ,
# A row's fields; the second may be empty.
room_field  = $(subst $(comma), ,$(patsubst _%,%,$(word $2,$(subst :, _,$(filter $1:%,$(ROOM_TABLE))))))
ROOMS      := $(foreach row,$(ROOM_TABLE),$(firstword $(subst :, ,$(row))))
ROOM_FILES := $(wildcard tests/host/test_*.c tests/fuzz/fuzz_*.c)

# Tests that include a header of folder $1, and those that room $1 has.
including   = $(if $1,$(basename $(notdir $(shell grep -l '\#include "$(subst %,,$1)' $(ROOM_FILES)))))
room_tests  = $(sort $(filter $(call room_field,$1,3),$(basename $(notdir $(ROOM_FILES)))) \
              $(call including,$(call room_field,$1,2)))
# As targets: a host test is run by run-test_NAME, a fuzzer by check-fuzz-NAME.
room_targets = $(patsubst test_%,run-test_%,$(patsubst fuzz_%,check-fuzz-%,$(room_tests))) \
               $(filter-out test_% fuzz_%,$(call room_field,$1,3))

run-test_%: $(HOST_OUT)/test_%
	@echo "== $<"; $<

$(ROOMS:%=check-%): check-%:
	@$(MAKE) --no-print-directory -s $(call room_targets,$*)

# One line of `make help` for all of them.
check-ROOM: ## quick test of one room: @ROOMS@

check-room-table: ## each host test and fuzzer belongs to a room's quick test
	@lost="$(filter-out $(foreach room,$(ROOMS),$(call room_tests,$(room))),$(basename $(notdir $(ROOM_FILES))))"; \
	[ -z "$$lost" ] || { echo "no room of tests/rooms.mk runs $$lost"; false; }

.PHONY: check-ROOM check-room-table $(ROOMS:%=check-%)
