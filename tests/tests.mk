# Host tests: portable code under sanitizers, one cmocka program per tests/host/test_*.c.

# What a backtrace needs, a tenth faster to build than all; for gdb: make HOST_DEBUG=-g.
HOST_DEBUG  := -g1
HOST_CHECKS := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all
host_flags   = -std=gnu17 $(HOST_DEBUG) $1 -I. -I$(BUILD)/include $(WARNINGS) -MMD -MP
HOST_CFLAGS := $(call host_flags,$(HOST_CHECKS) -fno-omit-frame-pointer)
FAST_CFLAGS := $(call host_flags,-O2 -D_GNU_SOURCE) -Wno-missing-field-initializers

# It links in a third of the time (with clang it has hundreds of warnings).
HOST_LINKER := $(if $(shell command -v ld.gold),-fuse-ld=gold)

HOST_LIB   := $(HOST_OUT)/libportable.a
# Files outside the portable rooms that need no hardware below them.
HOST_CORE  += boot/config.c boot/coreload.c boot/ranges.c \
              $(addprefix hv/core/,exits.c options.c sched.c vtlb.c) \
              $(addprefix hv/cpu/,cpu_policy.c cpu_words.c cr.c kvm_pv.c) \
              $(addprefix hv/cluster/,life.c parts.c) \
              hv/image/image.c $(wildcard hv/insn/*.c) \
              $(addprefix hv/virt/,asid.c preflight.c fault.c nested.c reset.c state.c) \
              $(addprefix hv/dev/,devices.c virtdev.c netcard.c netdisk.c frame_ring.c tty.c) \
              $(addprefix hv/svm/,npt.c svm_caps.c svm_check.c svm_event.c svm_exit.c svm_image.c svm_regs.c) \
              $(addprefix hv/vmx/,ept.c vmx_caps.c vmx_check.c vmx_event.c vmx_exit.c vmx_image.c vmx_regs.c) \
              $(addprefix hv/x86/,acpi.c buddy.c memmap.c mptable.c)
HOST_OBJ   := $(PORTABLE_SRC:%.c=$(HOST_OUT)/%.o) $(HOST_CORE:%.c=$(HOST_OUT)/%.o)
HOST_TESTS := $(patsubst tests/host/%.c,$(HOST_OUT)/%,$(wildcard tests/host/test_*.c))
# Host-testable files outside the portable folders, linked into the tests that name them below.
HOST_COMMON := $(HOST_OUT)/tests/host/plat.o $(HOST_OUT)/tests/host/fake_virt.o $(HOST_OUT)/tests/host/virtio_rig.o

# The tests themselves run for a moment: what the compiler takes for them is what they cost.
$(HOST_OUT)/tests/host/test_%.o: HOST_EXTRA_CFLAGS += -O0

# Those of hv/vmx that have VMX instructions get an array in place of a VMCS.
$(patsubst %,$(HOST_OUT)/hv/vmx/%.o,vmx_event vmx_exit vmx_image vmx_regs): \
  HOST_EXTRA_CFLAGS += -include tests/host/test_vmx_fake.h

$(HOST_OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(HOST_CFLAGS) $(HOST_EXTRA_CFLAGS) -c $< -o $@

$(FAST_OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(FAST_CFLAGS) -c $< -o $@

$(HOST_LIB): $(HOST_OBJ) tests/tests.mk
	@rm -f $@
	ar rcs $@ $(filter %.o,$^)

$(HOST_OUT)/test_%: $(HOST_OUT)/tests/host/test_%.o $(HOST_COMMON) $(HOST_LIB)
	$(CC) $(HOST_CFLAGS) $(HOST_LINKER) $(filter %.o,$^) $(HOST_LIB) $(HOST_LIBS) -lcmocka -lpthread -o $@

# Serial ports and a network for hv/dev.
$(addprefix $(HOST_OUT)/test_,devices virtdev netcard netdisk): $(HOST_OUT)/tests/host/dev_double.o
# Not in the library: other tests have doubles of it.
$(HOST_OUT)/test_intr: $(HOST_OUT)/hv/core/intr.o
# The emulator's surroundings.
$(HOST_OUT)/test_emulate $(HOST_OUT)/test_emulate_exits $(HOST_OUT)/test_exits: $(HOST_OUT)/tests/host/emulate_rig.o

##: Tests
test-programs: $(HOST_TESTS)

check-host: $(HOST_TESTS) ## unit tests of the portable code under ASan and UBSan
	@set -e; for t in $(HOST_TESTS); do echo "== $$t"; $$t; done

# The same programs in a folder of their own, which count what they run. All of them, even after a failure.
COVERAGE_OUT := $(BUILD)/coverage
coverage: ## lines of each room that the unit tests run (gcov)
	@tools/coverage --self-test
	@find $(COVERAGE_OUT) -name '*.gcda' -delete 2>/dev/null || true
	@$(MAKE) --no-print-directory -s HOST_OUT=$(COVERAGE_OUT) HOST_CHECKS="-O0 --coverage" \
	  GLUE_OUT=$(COVERAGE_OUT)/glue coverage-run
	@tools/coverage --portable "$(PORTABLE_DIRS)" $(COVERAGE_OUT)
coverage-run: $(HOST_TESTS)
	@$(GLUE_OUT)/glue-cov runs 200
	@for t in $(HOST_TESTS); do $$t >$$t.log 2>&1 || { echo "$$t failed:"; tail -n 20 $$t.log; }; done

# Tests that start threads, once more under the thread sanitizer: lock-free code with its memory order.
TSAN_OUT   := $(BUILD)/tsan
TSAN_TESTS := $(addprefix $(TSAN_OUT)/,test_apic_post)
$(TSAN_OUT)/test_apic_post: $(wildcard apic/*.c)

$(TSAN_OUT)/test_%: tests/host/test_%.c tests/host/plat.c $(addprefix hv/base/,err.c fmt.c spinlock.c)
	@mkdir -p $(@D)
	$(CC) -std=gnu17 -O1 -g -fsanitize=thread -I. $(WARNINGS) $^ -lcmocka -lpthread -o $@

test-programs: $(TSAN_TESTS)
check-tsan: $(TSAN_TESTS) ## tests with threads under TSan
	@set -e; for t in $(TSAN_TESTS); do echo "== $$t"; $$t; done

.PHONY: check-host check-tsan coverage coverage-run
.SECONDARY:

-include $(shell find $(HOST_OUT) $(FAST_OUT) -name '*.d' 2>/dev/null)

include tests/fuzz/fuzz.mk
include tests/guest/guest.mk
include tests/model/model.mk
include tests/sim/sim.mk
include tests/place/place.mk
include tests/glue/glue.mk
include tests/hosted/hosted.mk
include tests/rooms.mk
