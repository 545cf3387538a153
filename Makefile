# Holdfast: a thin front of meson. `make` builds, `make demo` shows, `make test` checks.
#
#   make              build/holdfastd and build/holdfast, hardened
#   make demo         installs what is missing (Debian), builds, runs the main job on real input
#   make demo-cluster three sites on this machine lose their parts one by one, under clients that never stop
#   make test         everything that Debian alone can check; ends with 'N passed, N failed, N skipped'
#   make test-long    the long figures: 2,000 kills, 100,000 simulations, 30 minutes of faults, long fuzzing (hours)
#   make interop      against real Hadoop, fetched by name from Maven Central; needs Java and Maven
#   make interop-chaos three nodes broken at random under load, of Hadoop's own client too; needs the same
#   make bench        prints figures beside stated limits
#   make fuzz         libFuzzer on every parser, FUZZ_SECONDS (60) each
#   make coverage     line coverage of the unit, contract and integration suites
#   make install      to DESTDIR and PREFIX

PREFIX ?= /usr/local
FUZZ_SECONDS ?= 60
JOBS ?= $(shell nproc)

all: build/build.ninja
	@ninja -C build -j$(JOBS) src/daemon/holdfastd src/cli/holdfast
	@ln -sf src/daemon/holdfastd src/cli/holdfast build/

build/build.ninja:
	@meson setup build -Dtests=false >/dev/null || (echo "Something is missing: try 'make deps' (Debian, as root)"; false)

deps:
	@tests/deps

demo: deps
	@$(MAKE) --no-print-directory all
	@bench/demo

demo-cluster: deps
	@$(MAKE) --no-print-directory all
	@bench/demo-cluster

test: deps
	@tests/run

test-long: deps
	@tests/run --long

interop: deps
	@$(MAKE) --no-print-directory all
	@tests/interop/run

interop-chaos: deps
	@$(MAKE) --no-print-directory all
	@tests/interop/chaos
	@tests/interop/chaos partitions

bench: deps
	@$(MAKE) --no-print-directory all
	@bench/run

fuzz: deps
	@tests/run --only fuzz --fuzz-seconds $(FUZZ_SECONDS)

coverage: deps
	@tests/coverage

install: all
	@meson configure build --prefix $(PREFIX)
	@meson install -C build

clean:
	rm -rf build build-*

.PHONY: all deps demo demo-cluster test test-long interop interop-chaos bench fuzz coverage install clean
