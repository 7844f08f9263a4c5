# The project's ways, for people. CMake does the work; presets are in CMakePresets.json.
#
#   make build     the program and the modules, in build/
#   make run       the same, then serves on 127.0.0.1:50051 with build/imctl.conf, which is a copy of
#                  packaging/imctl-dev.conf and yours to change
#   make test      builds and runs the tests
#   make bench     builds and runs the benchmarks, writes build/bench.json
#   make install   to PREFIX (default /usr/local), under DESTDIR if given
#   make deps      the Debian packages that building needs; the others call it
#   make clean     removes build/

PREFIX ?= /usr/local
DESTDIR ?=
CONFIG ?= build/imctl.conf
JOBS ?= $(shell nproc)

configure = cmake --preset release
# Tests and benchmarks need packages of their own, so a first build goes without. A build folder that
# has them keeps them; ninja itself notices when CMake must run again.
configure_once = test -f build/build.ninja || $(configure) -DIMCTL_TESTS=OFF -DIMCTL_BENCH=OFF
compile = cmake --build --preset release --parallel $(JOBS)

.PHONY: build run test test-build bench install deps clean

build: deps
	@$(configure_once)
	@$(compile)

run: build build/imctl.conf
	build/bin/imctl serve --config $(CONFIG)

build/imctl.conf:
	@mkdir -p build
	@cp packaging/imctl-dev.conf $@

test: test-build
	ctest --preset release --no-tests=error

test-build:
	@packaging/install-deps test
	@$(configure) -DIMCTL_TESTS=ON
	@$(compile)

bench:
	@packaging/install-deps test bench
	@$(configure) -DIMCTL_TESTS=ON -DIMCTL_BENCH=ON
	@$(compile)
	build/bin/imctl-bench

install: deps
	@$(configure_once)
	@$(configure) -DCMAKE_INSTALL_PREFIX=$(PREFIX)
	@$(compile)
	DESTDIR=$(DESTDIR) cmake --install build

deps:
	@packaging/install-deps build

clean:
	rm -rf build
