# What comes from outside: pins in tools/deps.lock, fetched by tools/deps into build/deps/NAME.

DEPS := $(BUILD)/deps
FETCH = $(PYTHON) tools/deps --cache $(CACHE) --deps $(DEPS) get

# The stamp of one unpacked dependency; a changed pin fetches it again.
$(DEPS)/%/.stamp: tools/deps.lock
	@$(FETCH) $*

##: Set-up
deps: $(foreach d,zydis zycore lwip lz4 linux linux-pae busybox memtest,$(DEPS)/$d/.stamp) ## fetch every source and guest image now
.PHONY: deps

# Sources from outside as libNAME.a, for the hypervisor and for host programs:
#   $(call library,NAME,FOLDER OF SOURCES,SOURCES,OUR HEADERS THEY TAKE,STAMPS OF WHAT IS UNPACKED)
# NAME_CFLAGS are for who includes it too, NAME_QUIET for itself alone: it is not our code, its warnings are not our
# errors, and the sanitizers watch our calls into it.
define library_rules
$6/$1/%.o: $2/%.c $4
	@mkdir -p $$(@D)
	$$(or $8,$$(CC)) $$(filter-out -MMD -MP -Werror,$$($7)) $$($1_CFLAGS) $$($1_QUIET) -c $$< -o $$@

$6/lib$1.a: $(patsubst %.c,$6/$1/%.o,$3)
	@rm -f $$@
	ar rcs $$@ $$^
endef

define library_users
HV_EXTRA_CFLAGS   += $($1_CFLAGS)
HOST_EXTRA_CFLAGS += $($1_CFLAGS)
HV_LIBS   += $(HV_OUT)/lib$1.a
HOST_LIBS += $(HOST_OUT)/lib$1.a
$(HV_OUT)/core.o: $(HV_OUT)/lib$1.a
$(HOST_TESTS): $(HOST_OUT)/lib$1.a
$(HV_OBJ) $(FUZZ_OBJ) $(HOST_OBJ) $(HOST_TESTS:$(HOST_OUT)/%=$(HOST_OUT)/tests/host/%.o): | $5
$(addprefix $2/,$3): $5 ;
endef

library = $(eval $(call library_users,$1,$2,$3,$4,$5)) \
          $(eval $(call library_rules,$1,$2,$3,$4,$5,$(HV_OUT),HV_CFLAGS)) \
          $(eval $(call library_rules,$1,$2,$3,$4,$5,$(HOST_OUT),HOST_CFLAGS))

# Zydis, the instruction decoder: decoder alone, without libc. Only the emulator includes it:
# `#include <Zydis/Zydis.h>` in hv/insn and in its host tests. AVX-512 and Knights Corner are most of the
# tables and nothing that reaches the emulator.
zydis_CFLAGS := -DZYAN_NO_LIBC -DZYCORE_STATIC_BUILD -DZYDIS_STATIC_BUILD -DZYDIS_DISABLE_ENCODER \
                -DZYDIS_DISABLE_FORMATTER -DZYDIS_DISABLE_AVX512 -DZYDIS_DISABLE_KNC \
                -isystem $(DEPS)/zydis/include -isystem $(DEPS)/zycore/usr/include
zydis_QUIET  := -w -I$(DEPS)/zydis/src -include hv/insn/zydis_libc.h
ZYDIS_SRC    := Decoder.c DecoderData.c MetaInfo.c Mnemonic.c Register.c SharedData.c Utils.c
ZYDIS_OURS   := hv/insn/zydis_libc.h
ZYDIS_STAMPS := $(DEPS)/zydis/.stamp $(DEPS)/zycore/.stamp
$(call library,zydis,$(DEPS)/zydis/src,$(ZYDIS_SRC),$(ZYDIS_OURS),$(ZYDIS_STAMPS))
# For the emulator's fuzzer, and for its comparison with this machine's CPU.
$(eval $(call library_rules,zydis,$(DEPS)/zydis/src,$(ZYDIS_SRC),$(ZYDIS_OURS),,$(FUZZ_OUT),FUZZ_CFLAGS,$(CLANG)))
$(eval $(call library_rules,zydis,$(DEPS)/zydis/src,$(ZYDIS_SRC),$(ZYDIS_OURS),,$(NATIVE_OUT),NATIVE_CFLAGS))
$(FUZZ_OBJ) $(FUZZ_OUT)/tests/fuzz/fuzz_emulate.o $(FUZZ_OUT)/tests/host/emulate_rig.o $(NATIVE_OBJ): | $(ZYDIS_STAMPS)

# LZ4, which packs pages for the wire: `#include <lz4.h>` in net/pages/pack.c. Its table has the size of what
# it packs: the usual 16 KiB take longer to clear than a page takes to pack.
lz4_CFLAGS := -isystem $(DEPS)/lz4/lib -DLZ4_FREESTANDING=1 -DLZ4_MEMORY_USAGE=12 \
              -DLZ4_STATIC_LINKING_ONLY_DISABLE_MEMORY_ALLOCATION
lz4_QUIET  := -w -include net/pages/lz4_libc.h
$(call library,lz4,$(DEPS)/lz4/lib,lz4.c,net/pages/lz4_libc.h,$(DEPS)/lz4/.stamp)
# For the fuzzer of what nodes send each other, and for the glue's programs.
LZ4_RULES = $(eval $(call library_rules,lz4,$(DEPS)/lz4/lib,lz4.c,net/pages/lz4_libc.h,,$1,$2,$3))
$(call LZ4_RULES,$(FUZZ_OUT),FUZZ_CFLAGS,$(CLANG))
$(foreach k,fast tsan cov,$(call LZ4_RULES,$(GLUE_OUT)/$k,GLUE_CFLAGS_$k))
# Sanitizers take ten times as long over all that LZ4 wants inlined. What has to be fast gets what it wants.
$(foreach o,$(HOST_OUT) $(FUZZ_OUT) $(GLUE_OUT)/tsan,$o/lz4/lz4.o): lz4_QUIET += '-DLZ4_FORCE_INLINE=static inline'
