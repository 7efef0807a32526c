# The front door. Everything real happens in CMake; these are the words to say to it.
#
#   make                  build/liblucid.so  build/liblucid.a  build/lucid.o  build/lucid
#   make demo             set up, build, run real programs under lucid
#                         and under the C library's malloc
#   make check            set up, build with gcc and clang, lint, run every test
#   make bench            the benchmarks; make bench-quick is the short form
#   make portability      build and test for musl, aarch64 (also under kernels of it), clang and
#                         other page sizes
#   make soak MINUTES=n   real programs and the stress tests at work for n minutes
#   make coverage         the lines of src/ and tools/ that the tests reach; fails below 90% of src/
#   make mutate           seeds bugs one at a time; the tests must notice each
#   make install          PREFIX=/usr/local  DESTDIR=
#   make format           rewrite the sources in the house style
#   make clean

BUILD   ?= build
PREFIX  ?= /usr/local
DESTDIR ?=
MINUTES ?= 10
JOBS    ?= $(shell nproc)
CMAKE   ?= cmake

# Extra -D options for CMake, for example OPTIONS="-DLUCID_CHECKED=ON".
OPTIONS ?=

MAKEFLAGS += --no-print-directory

.PHONY: all configure demo check portability bench bench-quick soak coverage mutate install clean \
        format

all: configure
	@$(CMAKE) --build $(BUILD) --parallel $(JOBS)

configure:
	@command -v $(CMAKE) >/dev/null || { \
		echo 'lucid: cmake is missing; scripts/bootstrap build installs what a build needs' >&2; \
		exit 2; \
	}
	@$(CMAKE) -S . -B $(BUILD) -DCMAKE_INSTALL_PREFIX=$(PREFIX) $(OPTIONS) --log-level=NOTICE

demo:
	@scripts/bootstrap build demo
	@$(MAKE) configure
	@$(CMAKE) --build $(BUILD) --parallel $(JOBS) --target lucid_shared lucid_command measure
	@scripts/demo $(BUILD)

check:
	@scripts/bootstrap build demo check
	@scripts/check

portability:
	@scripts/bootstrap build check portability
	@python3 -B tests/portability/matrix.py $(BUILD) --all

bench: all
	@bench/run

bench-quick: all
	@bench/run --quick

soak: all
	@scripts/soak $(BUILD) $(MINUTES)

coverage:
	@scripts/bootstrap build demo check coverage
	@scripts/coverage

mutate:
	@scripts/mutate

install: all
	@DESTDIR=$(DESTDIR) $(CMAKE) --install $(BUILD)

format:
	@scripts/format

clean:
	@$(CMAKE) -E rm -rf $(BUILD)
