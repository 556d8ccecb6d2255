# The simulator: many nodes of the engine on one clock.

SIM_OUT   := $(BUILD)/sim
SIM_SRC   := $(wildcard tests/sim/*.c) $(wildcard dsm/*.c) $(wildcard net/transport/*.c) tests/host/plat.c \
             $(filter-out hv/base/string.c,$(wildcard hv/base/*.c))
SIM_HEADS := $(wildcard tests/sim/*.h dsm/*.h net/transport/*.h hv/base/*.h)
SIM_RUNS  ?= $(if $(TEST_LONG),10000,1000)

$(SIM_OUT)/sim: $(SIM_SRC) $(SIM_HEADS)
	@mkdir -p $(@D)
	$(CC) -std=gnu17 -O2 $(HOST_DEBUG) -I. $(WARNINGS) -Wno-missing-field-initializers $(SIM_SRC) -o $@

$(SIM_OUT)/sim-san: $(SIM_SRC) $(SIM_HEADS)
	@mkdir -p $(@D)
	$(CC) -std=gnu17 -O1 -g -I. -fsanitize=address,undefined -fno-sanitize-recover=all $(WARNINGS) \
	  -Wno-missing-field-initializers $(SIM_SRC) -o $@

check-sim: $(SIM_OUT)/sim-san ## seeded clusters over the real transport, with faults in the network
	$< runs $(SIM_RUNS)

sim-report: $(SIM_OUT)/sim ## cost against nodes and patterns: build/sim/report.csv and report.svg
	$< report > $(SIM_OUT)/report.csv
	$(PYTHON) tests/sim/plot.py < $(SIM_OUT)/report.csv > $(SIM_OUT)/report.svg
	@echo "wrote $(SIM_OUT)/report.csv and $(SIM_OUT)/report.svg"

test-programs: $(SIM_OUT)/sim-san

.PHONY: check-sim sim-report
