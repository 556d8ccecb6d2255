# Placement simulated: loads, machines and what a remote page costs are in tests/place.

PLACE_OUT := $(BUILD)/place

$(PLACE_OUT)/sim: $(call fast,$(wildcard tests/place/*.c hv/place/*.c))
	@mkdir -p $(@D)
	$(CC) $(FAST_CFLAGS) $^ -lm -o $@

check-placement: $(PLACE_OUT)/sim ## vCPUs placed in a simulation of a minute: never slower than one node, nothing oscillates
	@$< 60 >$(PLACE_OUT)/check.csv || { grep -e machine -e MISSED $(PLACE_OUT)/check.csv; false; }

placement: $(PLACE_OUT)/sim ## the same as a table, and as docs/placement.svg (python3-matplotlib)
	@tools/packages plot
	@$< 60 >$(PLACE_OUT)/placement.csv; code=$$?; \
	tests/place/plot.py docs/placement.svg <$(PLACE_OUT)/placement.csv && exit $$code

test-programs: $(PLACE_OUT)/sim

.PHONY: check-placement placement
