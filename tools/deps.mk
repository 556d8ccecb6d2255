# What comes from outside: pins in tools/deps.lock, fetched by tools/deps into build/deps/NAME.

DEPS := $(BUILD)/deps
FETCH = $(PYTHON) tools/deps --cache $(CACHE) --deps $(DEPS) get

# The stamp of one unpacked dependency; a changed pin fetches it again.
$(DEPS)/%/.stamp: tools/deps.lock
	@$(FETCH) $*

##: Set-up
deps: $(foreach d,zydis zycore lwip lz4 linux linux-pae busybox memtest,$(DEPS)/$d/.stamp) ## fetch every source and guest image now
.PHONY: deps

# Zydis, the instruction decoder: decoder alone, without libc. Only the emulator includes it:
# `#include <Zydis/Zydis.h>` in hv/core and in its host tests.
ZYDIS_SRC := $(addprefix $(DEPS)/zydis/src/,Decoder.c DecoderData.c MetaInfo.c Mnemonic.c Register.c \
             SharedData.c Utils.c)
ZYDIS_READY := $(DEPS)/zydis/.stamp $(DEPS)/zycore/.stamp
# AVX-512 and Knights Corner are most of the tables and nothing that reaches the emulator.
ZYDIS_CFLAGS := -DZYAN_NO_LIBC -DZYCORE_STATIC_BUILD -DZYDIS_STATIC_BUILD -DZYDIS_DISABLE_ENCODER \
                -DZYDIS_DISABLE_FORMATTER -DZYDIS_DISABLE_AVX512 -DZYDIS_DISABLE_KNC \
                -isystem $(DEPS)/zydis/include -isystem $(DEPS)/zycore/usr/include
# It is not our code: its warnings are not our errors, and the sanitizers watch our calls into it.
ZYDIS_QUIET := -w -I$(DEPS)/zydis/src -include hv/core/zydis_libc.h

HV_EXTRA_CFLAGS   += $(ZYDIS_CFLAGS)
HOST_EXTRA_CFLAGS += $(ZYDIS_CFLAGS)

HV_ZYDIS   := $(HV_OUT)/libzydis.a
HOST_ZYDIS := $(HOST_OUT)/libzydis.a
HV_LIBS    += $(HV_ZYDIS)
HOST_LIBS  += $(HOST_ZYDIS)
$(CORE_ELF) $(HV_OUT)/core1.elf: $(HV_ZYDIS)
$(HOST_TESTS): $(HOST_ZYDIS)
$(HV_OBJ) $(HOST_OBJ): | $(ZYDIS_READY)
$(HOST_TESTS:$(HOST_OUT)/%=$(HOST_OUT)/tests/host/%.o): | $(ZYDIS_READY)

$(ZYDIS_SRC): $(ZYDIS_READY) ;

$(HV_OUT)/zydis/%.o: $(DEPS)/zydis/src/%.c hv/core/zydis_libc.h
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP -Werror,$(HV_CFLAGS)) $(ZYDIS_CFLAGS) $(ZYDIS_QUIET) -c $< -o $@

$(HOST_OUT)/zydis/%.o: $(DEPS)/zydis/src/%.c hv/core/zydis_libc.h
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP -Werror,$(HOST_CFLAGS)) $(ZYDIS_CFLAGS) $(ZYDIS_QUIET) -c $< -o $@

$(HV_ZYDIS): $(ZYDIS_SRC:$(DEPS)/zydis/src/%.c=$(HV_OUT)/zydis/%.o)
$(HOST_ZYDIS): $(ZYDIS_SRC:$(DEPS)/zydis/src/%.c=$(HOST_OUT)/zydis/%.o)
$(HV_ZYDIS) $(HOST_ZYDIS):
	@rm -f $@
	ar rcs $@ $^

# LZ4, which packs pages for the wire: `#include <lz4.h>` in hv/core/pack.c. Its table has the size of what
# it packs: the usual 16 KiB take longer to clear than a page takes to pack.
LZ4_SRC    := $(DEPS)/lz4/lib/lz4.c
LZ4_CFLAGS := -isystem $(DEPS)/lz4/lib -DLZ4_FREESTANDING=1 -DLZ4_MEMORY_USAGE=12 \
              -DLZ4_STATIC_LINKING_ONLY_DISABLE_MEMORY_ALLOCATION
LZ4_QUIET  := -w -include hv/core/lz4_libc.h

HV_EXTRA_CFLAGS   += $(LZ4_CFLAGS)
HOST_EXTRA_CFLAGS += $(LZ4_CFLAGS)

HV_LZ4    := $(HV_OUT)/liblz4.a
HOST_LZ4  := $(HOST_OUT)/liblz4.a
HV_LIBS   += $(HV_LZ4)
HOST_LIBS += $(HOST_LZ4)
$(CORE_ELF) $(HV_OUT)/core1.elf: $(HV_LZ4)
$(HOST_TESTS): $(HOST_LZ4)
$(HV_OBJ) $(HOST_OBJ): | $(DEPS)/lz4/.stamp
$(HOST_TESTS:$(HOST_OUT)/%=$(HOST_OUT)/tests/host/%.o): | $(DEPS)/lz4/.stamp

$(LZ4_SRC): $(DEPS)/lz4/.stamp ;

$(HV_OUT)/lz4.o: $(LZ4_SRC) hv/core/lz4_libc.h
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP -Werror,$(HV_CFLAGS)) $(LZ4_CFLAGS) $(LZ4_QUIET) -c $< -o $@

$(HOST_OUT)/lz4.o: $(LZ4_SRC) hv/core/lz4_libc.h
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP -Werror,$(HOST_CFLAGS)) $(LZ4_CFLAGS) $(LZ4_QUIET) -c $< -o $@

$(HV_OUT)/liblz4.a $(HOST_OUT)/liblz4.a: %/liblz4.a: %/lz4.o
	@rm -f $@
	ar rcs $@ $^
