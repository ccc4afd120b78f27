# SPDX-License-Identifier: Apache-2.0
#
#   make            the monitor and its helper, the guest's init, the guest kernel
#   make demo       set up this machine, build, boot a small OCI bundle, freeze it, thaw it thrice
#   make test       set up this machine, build, run every test
#   make bench      measure thaw and its peers here; build/bench/report.html is the result
#   make help       the rest

VERSION := 0.1.0
ARCH    := x86_64

O       ?= build
CC      := gcc
CLANG   := clang
MUSLCC  := musl-gcc

WARN     := -Wall -Wextra -Wconversion -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
            -Wvla -Wformat=2
HARDEN   := -fstack-protector-strong -D_FORTIFY_SOURCE=2
CPPFLAGS := -D_GNU_SOURCE -I. -Iguest/include -DTHAW_VERSION='"$(VERSION)"'
CFLAGS   := -std=gnu17 -O2 -g -pthread $(WARN) $(HARDEN) -ffunction-sections -fdata-sections
LDFLAGS  := -pthread -Wl,-z,relro,-z,now -Wl,-z,noexecstack
# Not for the tests: Criterion finds them in a section that nothing refers to.
GC       := -Wl,--gc-sections
LIBS     := -ljansson -lseccomp -lxxhash -luring -lzstd

# What is in which program. Architecture code is found by folder.
LIB_DIRS  := vmm/base vmm/core vmm/arch/$(ARCH) vmm/loader vmm/bundle devices devices/virtio \
             snapshot
LIB_SRC   := $(foreach d,$(LIB_DIRS),$(wildcard $(d)/*.c $(d)/*.S))
CLI_SRC   := $(wildcard vmm/cli/*.c)
IMAGE_SRC := $(wildcard vmm/image/*.c)
# What of thaw-image is not its front: the unit tests have it, too.
IMAGE_LIB_SRC := $(filter-out vmm/image/main.c vmm/image/verbs.c,$(IMAGE_SRC))
IMAGE_LIBS    := -larchive -lnettle
INIT_SRC  := $(wildcard guest/init-oci/*.c)
UNIT_SRC  := $(wildcard tests/unit/*.c)
# Parts of init that are pure enough to be tested on the host.
UNIT_INIT_SRC := $(patsubst %,guest/init-oci/%.c,spec requests cgroup_events sock_diag)
# Likewise of the command line.
UNIT_CLI_SRC := $(patsubst %,vmm/cli/%.c,bench_options bench_report bench_rows cli)
# Parts of the benchmarks' report: all but its main.
UNIT_BENCH_SRC := $(patsubst %,tests/bench/%.c,stats raw raws results text svg plot_series plot_rows \
                  plot_groups plot_curve plot_goals html style table)
GUEST_SRC := $(wildcard tests/guests/*.S)

# Short lines; `make V=1` shows the commands.
say   = $(if $(V),,@printf '  %-5s %s\n' '$(1)' '$(2)';)

objects = $(patsubst %,$(O)/$(1)/%.o,$(basename $(2)))

.PHONY: all
all: $(O)/thaw $(O)/thaw-image $(O)/jitvm $(O)/libjitvm.a kernel

# ---- the monitor: one static program, so that spawn to main costs as little as it can --------

$(O)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(CPPFLAGS) $(CFLAGS) $(OWN) -MMD -MP -c $< -o $@

# The guest's init travels inside the monitor: the two always agree on the wire.
$(O)/obj/vmm/loader/init_image.o: vmm/loader/init_image.S $(O)/init-oci
	@mkdir -p $(@D)
	$(call say,AS,$<)$(CC) -c -DINIT_OCI='"$(O)/init-oci"' $< -o $@

$(O)/libthaw.a: $(call objects,obj,$(LIB_SRC))
	@rm -f $@
	$(call say,AR,$@)ar rcs $@ $^

$(O)/thaw: $(call objects,obj,$(CLI_SRC)) $(O)/libthaw.a
	$(call say,LINK,$@)$(CC) -static $(CFLAGS) $(LDFLAGS) $(GC) $^ $(LIBS) -o $@

# Apart, because it needs libarchive, which is slow to start and which running a guest does not.
$(O)/thaw-image: $(call objects,obj,$(IMAGE_SRC)) $(O)/libthaw.a
	$(call say,LINK,$@)$(CC) $(CFLAGS) $(LDFLAGS) $(GC) $^ $(IMAGE_LIBS) $(LIBS) -o $@

# ---- the guest --------------------------------------------------------------------------------

# musl has no kernel headers of its own; the host's come last, so that libc's win.
MUSL_HEADERS := -idirafter /usr/include -idirafter /usr/include/$(ARCH)-linux-gnu
INIT_CFLAGS  := -std=gnu17 -Os -static -s $(WARN) -ffunction-sections -fdata-sections $(MUSL_HEADERS)
$(O)/init-oci: $(INIT_SRC) $(wildcard guest/init-oci/*.h guest/include/thaw/*.h) Makefile
	@mkdir -p $(@D)
	$(call say,MUSL,$@)$(MUSLCC) $(CPPFLAGS) $(INIT_CFLAGS) $(GC) $(INIT_SRC) -o $@

.PHONY: kernel
kernel:
	@kernel-config/build $(O)

# Freestanding test guests: 64-bit, position-dependent, no libc.
$(O)/guests/%.elf: tests/guests/%.S tests/guests/guest.ld tests/guests/guest.h
	@mkdir -p $(@D)
	$(call say,GUEST,$@)$(CC) -nostdlib -static -no-pie -Wl,-T,tests/guests/guest.ld -Wl,--build-id=none \
	    -Wl,-z,noexecstack -I. $< -o $@
GUESTS := $(patsubst tests/guests/%.S,$(O)/guests/%.elf,$(GUEST_SRC))
.PHONY: guests
guests: $(GUESTS)

# ---- jitvm: a library for any host, and a program for the guest ---------------------------------

JITVM_SRC     := $(wildcard $(addprefix guest/jitvm/,value/*.c chunk/*.c vm/*.c jit/*.c jit/$(ARCH)/*.c lang/*.c))
JITVM_CLI_SRC := $(wildcard guest/jitvm/cli/*.c)
# Floats are the same in every tier. The interpreter writes and reads values as two words: not as
# one vector, which would have to wait for both.
$(addsuffix /guest/jitvm/%.o,$(addprefix $(O)/,obj musl san fuzz/obj)): \
    OWN := -ffp-contract=off -fno-tree-slp-vectorize

# One object, in which only the names of jitvm.h are to be seen: a host's own do not clash.
$(O)/libjitvm.a: $(call objects,obj,$(JITVM_SRC))
	@rm -f $@
	$(call say,AR,$@)ld -r $^ -o $(O)/jitvm.o && \
	    objcopy --strip-debug --wildcard --keep-global-symbol='jitvm_*' --keep-global-symbol='__jit_debug_*' $(O)/jitvm.o && \
	    ar rcs $@ $(O)/jitvm.o

$(O)/musl/%.o: %.c
	@mkdir -p $(@D)
	$(call say,MUSL,$<)$(MUSLCC) $(CPPFLAGS) $(filter-out -g,$(CFLAGS)) $(OWN) $(MUSL_HEADERS) \
	    -MMD -MP -c $< -o $@
$(O)/jitvm: $(call objects,musl,$(JITVM_SRC) $(JITVM_CLI_SRC))
	$(call say,LINK,$@)$(MUSLCC) -static -s $(LDFLAGS) $(GC) $^ -lm -o $@

# ---- tests ------------------------------------------------------------------------------------

TEST_SRC := $(LIB_SRC) $(IMAGE_LIB_SRC) $(UNIT_SRC) $(UNIT_INIT_SRC) $(UNIT_CLI_SRC) $(UNIT_BENCH_SRC)

# Between the tests and KVM: tests/unit/fake_kvm.h.
UNIT_WRAP := -Wl,--wrap=ioctl
$(O)/unit-tests: $(call objects,obj,$(UNIT_SRC) $(UNIT_INIT_SRC) $(UNIT_CLI_SRC) $(UNIT_BENCH_SRC) \
                         $(IMAGE_LIB_SRC)) $(O)/libthaw.a
	$(call say,LINK,$@)$(CC) $(CFLAGS) $(LDFLAGS) $(UNIT_WRAP) $^ -lcriterion $(IMAGE_LIBS) $(LIBS) -lm -o $@

SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
$(O)/san/%.o: %.c
	@mkdir -p $(@D)
	$(call say,SAN,$<)$(CLANG) $(CPPFLAGS) -std=gnu17 -O1 -g -pthread $(OWN) $(SANITIZE) -MMD -MP -c $< -o $@
$(O)/san/vmm/loader/init_image.o: $(O)/obj/vmm/loader/init_image.o
	@mkdir -p $(@D)
	@cp $< $@
$(O)/unit-tests-san: $(call objects,san,$(TEST_SRC))
	$(call say,LINK,$@)$(CLANG) -pthread $(SANITIZE) $(UNIT_WRAP) $^ -lcriterion $(IMAGE_LIBS) $(LIBS) -lm -o $@

JITVM_TEST_SRC := $(wildcard tests/jitvm/*.c)
$(O)/jitvm-tests: $(call objects,obj,$(JITVM_TEST_SRC) $(JITVM_SRC))
	$(call say,LINK,$@)$(CC) $(CFLAGS) $(LDFLAGS) $^ -lcriterion -lm -o $@
$(O)/jitvm-tests-san: $(call objects,san,$(JITVM_TEST_SRC) $(JITVM_SRC))
	$(call say,LINK,$@)$(CLANG) -pthread $(SANITIZE) $^ -lcriterion -lm -o $@

# The hold-and-resume handshake, driven through the library.
$(O)/hold: tests/integration/hold.c $(O)/libthaw.a
	$(call say,LINK,$@)$(CC) $(CPPFLAGS) $(CFLAGS) -static $(LDFLAGS) $^ $(LIBS) -o $@

# Makes of a snapshot one that somebody has tampered with.
$(O)/edit-state: tests/integration/edit_state.c $(O)/libthaw.a
	$(call say,LINK,$@)$(CC) $(CPPFLAGS) $(CFLAGS) -static $(LDFLAGS) $(GC) $^ $(LIBS) -o $@

# Flips the bits of one, with the sanitizers watching.
$(O)/flip-bits: $(call objects,san,tests/integration/flip_bits.c $(LIB_SRC))
	$(call say,LINK,$@)$(CLANG) -pthread $(SANITIZE) $^ $(LIBS) -o $@

# Either end of a virtio socket: the same program in the guest and on the host.
$(O)/vsock-peer: tests/integration/vsock_peer.c Makefile
	@mkdir -p $(@D)
	$(call say,MUSL,$@)$(MUSLCC) $(CPPFLAGS) $(INIT_CFLAGS) $(GC) $< -o $@

# What a guest sees of its identity and its clocks.
$(O)/probe: tests/integration/probe.c Makefile
	@mkdir -p $(@D)
	$(call say,MUSL,$@)$(MUSLCC) $(CPPFLAGS) $(INIT_CFLAGS) $(GC) $< -o $@

$(O)/bench-workingset: tests/bench/workingset.c $(O)/libthaw.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(GC) $^ $(LIBS) -o $@
$(O)/bench-series: tests/bench/series.c
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $< -ljansson -o $@
# Static like thaw, and no more in it than it needs.
$(O)/bench-floor: tests/bench/floor.c tests/bench/floor.h
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) -static $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(GC) $< -o $@
# Static: its start is part of what a peer is charged.
$(O)/bench-ask: tests/bench/ask.c
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) -static $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(GC) $< -o $@
$(O)/bench-pages: tests/bench/pages.c
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $< -o $@
$(O)/bench-clones: tests/bench/clones.c
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $< -ljansson -o $@
$(O)/bench-guest: tests/bench/guest.c Makefile
	@mkdir -p $(@D)
	$(call say,MUSL,$@)$(MUSLCC) $(CPPFLAGS) $(INIT_CFLAGS) $(GC) $< -o $@
$(O)/bench-times: tests/bench/times.c Makefile
	@mkdir -p $(@D)
	$(call say,MUSL,$@)$(MUSLCC) $(CPPFLAGS) $(INIT_CFLAGS) $(GC) $< -o $@
# The programs that jitvm is measured with, in C.
$(O)/bench-jit/%: tests/bench/jitvm/%.c
	@mkdir -p $(@D)
	$(call say,CC,$@)$(CC) -O2 $< -lm -o $@
$(O)/bench-faults: tests/bench/faults.c
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $< -o $@
# thaw, saying what it took to get to KVM_RUN.
COUNT_WRAP := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=posix_memalign,--wrap=ioctl
$(O)/thaw-counted: $(call objects,obj,$(CLI_SRC) tests/bench/counted.c) $(O)/libthaw.a
	$(call say,LINK,$@)$(CC) -static $(CFLAGS) $(LDFLAGS) $(GC) $(COUNT_WRAP) $^ $(LIBS) -o $@
$(O)/bench-scale-bandwidth: tests/bench/scale_bandwidth.c
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $< -o $@
$(O)/bench-scale-touch: tests/bench/scale_touch.c
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $< -o $@
# Of the raw figures that the others leave, the report.
$(O)/bench-report: $(call objects,obj,tests/bench/report.c $(UNIT_BENCH_SRC)) $(O)/libthaw.a
	$(call say,LINK,$@)$(CC) $(CFLAGS) $(LDFLAGS) $(GC) $^ $(LIBS) -lm -o $@
$(O)/bench-floor-state: tests/bench/floor_state.c tests/bench/floor.h $(O)/libthaw.a
	$(call say,LINK,$@)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(GC) $< $(O)/libthaw.a $(LIBS) -o $@

.PHONY: unit unit-san
unit: $(O)/unit-tests $(O)/jitvm-tests $(O)/thaw-image
	$(O)/unit-tests
	$(O)/jitvm-tests
unit-san: $(O)/unit-tests-san $(O)/jitvm-tests-san $(O)/thaw-image
	$(O)/unit-tests-san
	$(O)/jitvm-tests-san

# Fuzz targets (docs/fuzzing.md), one program each.
FUZZ_SRC     := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_TARGETS := $(patsubst tests/fuzz/fuzz_%.c,$(O)/fuzz/%,$(FUZZ_SRC))
FUZZ_LIB_SRC := $(filter-out devices/machine.c,$(wildcard vmm/base/*.c devices/*.c devices/virtio/*.c)) \
                vmm/core/loop.c vmm/core/bus.c $(wildcard snapshot/*.c) \
                $(patsubst %,vmm/arch/$(ARCH)/%.c,vm state state_check msr page) $(UNIT_INIT_SRC)
$(O)/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,FUZZ,$<)$(CLANG) $(CPPFLAGS) -std=gnu17 -O1 -g -pthread $(OWN) $(FUZZ_WARN) $(SANITIZE) \
	    -fsanitize=fuzzer-no-link -MMD -MP -c $< -o $@
$(O)/fuzz/obj/tests/%.o: FUZZ_WARN := $(WARN)
$(O)/fuzz/libjitvm.a: $(call objects,fuzz/obj,$(JITVM_SRC))
	@rm -f $@
	$(call say,AR,$@)ar rcs $@ $^
# What a target of jitvm shares with its tests.
FUZZ_JITVM := $(filter $(O)/fuzz/jitvm_%,$(FUZZ_TARGETS))
$(FUZZ_JITVM): $(O)/fuzz/%: $(O)/fuzz/obj/tests/fuzz/fuzz_%.o \
        $(call objects,fuzz/obj,$(wildcard tests/jitvm/random_*.c tests/jitvm/run_*.c)) $(O)/fuzz/libjitvm.a
	$(call say,LINK,$@)$(FUZZ_LINK) $^ -lm -o $@
$(O)/fuzz/libthaw.a: $(call objects,fuzz/obj,$(FUZZ_LIB_SRC))
	@rm -f $@
	$(call say,AR,$@)ar rcs $@ $^
FUZZ_LINK = $(CLANG) -pthread $(SANITIZE) -fsanitize=fuzzer
# The harness of the virtio devices counts what goes through their queues.
FUZZ_WRAP := -Wl,--wrap=virtq_pop,--wrap=virtq_unpop,--wrap=virtq_push,--wrap=virtq_reset
FUZZ_HARNESSED := $(filter $(O)/fuzz/virtio_% $(O)/fuzz/device_state,$(FUZZ_TARGETS))
$(FUZZ_HARNESSED): $(O)/fuzz/%: $(O)/fuzz/obj/tests/fuzz/fuzz_%.o \
        $(O)/fuzz/obj/tests/fuzz/virtio_harness.o $(O)/fuzz/libthaw.a
	$(call say,LINK,$@)$(FUZZ_LINK) $(FUZZ_WRAP) $^ $(LIBS) -o $@
# A KVM that is always the same.
$(O)/fuzz/arch_state: FUZZ_WRAP := -Wl,--wrap=ioctl
$(filter-out $(FUZZ_HARNESSED) $(FUZZ_JITVM) $(O)/fuzz/arch_state,$(FUZZ_TARGETS)): FUZZ_WRAP :=
$(filter-out $(FUZZ_HARNESSED) $(FUZZ_JITVM),$(FUZZ_TARGETS)): $(O)/fuzz/%: \
        $(O)/fuzz/obj/tests/fuzz/fuzz_%.o $(O)/fuzz/libthaw.a
	$(call say,LINK,$@)$(FUZZ_LINK) $(FUZZ_WRAP) $^ $(LIBS) -o $@
.PHONY: fuzz
fuzz: $(FUZZ_TARGETS)

# ---- everything at once -----------------------------------------------------------------------

.PHONY: setup demo test bench format tidy install clean help
setup:
	@scripts/setup

demo: setup
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@scripts/demo

UNIT_TESTS := $(addprefix $(O)/,unit-tests unit-tests-san jitvm-tests jitvm-tests-san)
TEST_TOOLS := $(addprefix $(O)/,hold vsock-peer probe edit-state flip-bits)
test: setup
	@$(MAKE) --no-print-directory -j$$(nproc) all guests fuzz $(UNIT_TESTS) $(TEST_TOOLS)
	@scripts/test

# The whole set; `make bench PART=load` or `make bench-load` one part, QUICK=1 or N=5 fewer rounds.
BENCH_TOOLS := $(addprefix $(O)/bench-,series times ask floor floor-state pages clones guest workingset \
               report scale-bandwidth scale-touch) \
               $(patsubst tests/bench/jitvm/%.c,$(O)/bench-jit/%,$(wildcard tests/bench/jitvm/*.c))
BENCH_PARTS := $(addprefix bench-,$(filter-out %.sh,$(notdir $(wildcard scripts/bench.d/*))))
bench: setup
	@$(MAKE) --no-print-directory -j$$(nproc) all guests $(BENCH_TOOLS)
	@scripts/bench $(if $(N),--n $(N)) $(if $(QUICK),--quick) $(PART)
.PHONY: $(BENCH_PARTS)
$(BENCH_PARTS): bench-%:
	@$(MAKE) --no-print-directory bench PART=$*

# Fails when a figure that was counted is worse than tests/bench/baseline.json has it.
GATE_TOOLS := $(addprefix $(O)/,thaw-counted \
              $(addprefix bench-,faults series times floor floor-state pages clones guest))
.PHONY: bench-gate
bench-gate: setup
	@$(MAKE) --no-print-directory -j$$(nproc) all guests $(GATE_TOOLS)
	@scripts/bench-gate

SOURCES := $(shell git ls-files '*.c' '*.h' 2>/dev/null)
format:
	clang-format -i $(SOURCES)

tidy:
	scripts/tidy

PREFIX ?= /usr/local
install: all
	install -D -m 755 $(O)/thaw $(DESTDIR)$(PREFIX)/bin/thaw
	install -D -m 755 $(O)/thaw-image $(DESTDIR)$(PREFIX)/bin/thaw-image
	install -D -m 755 $(O)/jitvm $(DESTDIR)$(PREFIX)/bin/jitvm
	install -D -m 644 $(O)/libjitvm.a $(DESTDIR)$(PREFIX)/lib/libjitvm.a
	install -D -m 644 guest/jitvm/jitvm.h $(DESTDIR)$(PREFIX)/include/jitvm.h
	install -D -m 644 $(O)/vmlinux $(DESTDIR)$(PREFIX)/share/thaw/vmlinux
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 docs/*.1 $(DESTDIR)$(PREFIX)/share/man/man1

clean:
	rm -rf $(O)

help:
	@sed -n 's/^#   //p' Makefile

-include $(shell find $(O) -name '*.d' 2>/dev/null)
