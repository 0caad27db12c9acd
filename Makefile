# make demo | test | test-long | lint | bench | bench-views | bench-features | bench-train | bench-exchange |
# bench-compare | methods-check | downstream-check | reproduce | soak | sanitize | static | gpu-check | gpu-pack |
# results | architecture | wheels | matrix: each first makes the virtual environment .venv and builds the extensions
# there, with the torch that is in it. make site and make audit need neither. TORCH=cpu: PyTorch's CPU build, for
# `make demo` only.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-long lint bench bench-views bench-features bench-train bench-exchange bench-compare methods-check
.PHONY: downstream-check reproduce soak sanitize static gpu-check gpu-pack results architecture site wheels matrix lock audit clean

demo: .venv/built
	$(BIN)/sslfast pretrain moco_v2_shapes --out runs/demo --overwrite
	$(BIN)/sslfast evaluate knn runs/demo --data shapes --random-baseline
	$(BIN)/sslfast evaluate linear runs/demo --data shapes --random-baseline
	$(BIN)/sslfast report runs/demo

# The same on every machine, with GPUs hidden: what they can do, gpu-check tests. A thread for each process, as there
# are as many of these as cores, up to four.
test: .venv/built
	CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 -m "not long"

# What takes too long for every change: all architectures, all barriers, a whole run on CIFAR-10, ...
test-long: .venv/built
	CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 -m long

bench: .venv/built
	$(BIN)/sslfast bench

# The input pipelines beside torchvision's; ARGS="--data photographs/ --json views.json"
bench-views: .venv/built
	$(BIN)/python -m sslfast.benchmarks.views.bench $(ARGS)

# The extraction of features beside torchvision and a DataLoader; ARGS="--photographs photographs/ --json features.json"
bench-features: .venv/built
	$(BIN)/python -m sslfast.benchmarks.features.bench $(ARGS)

# Training steps of every method beside other packages'; ARGS="--method moco_v2 --json train.json"
bench-train: .venv/built
	$(BIN)/python -m sslfast.benchmarks.train.bench $(ARGS)

# Steps of 2 and 4 ranks on the CPU beside plain DistributedDataParallel's, about 3 minutes on 2 cores; ARGS="--json FILE"
bench-exchange: .venv/built
	$(BIN)/python -m sslfast.benchmarks.exchange.bench $(ARGS)

# Every method on the same images, about an hour on 2 CPU cores; ARGS="--method moco_v2 --seeds 3"
methods-check: .venv/built
	$(BIN)/python -m sslfast.benchmarks.methods.check $(ARGS)

# MNCL's tables on CIFAR-10 in small, under two hours on 2 CPU cores; SCALE=full: as published; ARGS=--quick: a try
reproduce: .venv/built
	SCALE=$(SCALE) $(BIN)/python -m sslfast.benchmarks.reproduce.run $(ARGS)

# Every protocol of evaluation on one small encoder
downstream-check: .venv/built
	$(BIN)/python -m sslfast.benchmarks.downstream.check $(ARGS)

# A run of two processes that is killed 52 times, and one of 2,000 steps; ARGS="--kills 8 --steps 200"
soak: .venv/built
	$(BIN)/python -m sslfast.benchmarks.soak.check $(ARGS)

# make bench-compare BASE=<git ref> [OP=<op>]: the kernels of that commit beside this tree's
bench-compare: .venv/built
	$(BIN)/python -m sslfast.benchmarks.ops.compare $(BASE) $(if $(OP),--op $(OP))

# ARGS=--dry-run tries it without a GPU.
gpu-check: .venv/built
	$(BIN)/python -m sslfast.benchmarks.gpu_check $(ARGS)

# Wheels for a machine with a GPU and without a network; ARGS="--present list.txt" of what it has.
gpu-pack: .venv/built
	$(BIN)/python -m sslfast.benchmarks.gpu_pack $(ARGS)

# The C++ kernels, and on an emulator the CUDA C++ kernels, under the address, undefined and thread sanitizers; ARGS="-x"
sanitize: .venv/built
	$(BIN)/python -m tests.kernels.emulator.sanitize $(ARGS)

# What the compiler says of the Triton kernels on every architecture: ARGS="info_nce sup_con" for some of the ops.
static: .venv/built
	$(BIN)/python -m tests.kernels.static $(ARGS)

# The tables of README.md and docs/, from the ops and benchmarks/results/
results: .venv/built
	$(BIN)/python -m sslfast.benchmarks.tables

# The drawing and the table of docs/architecture.md, from the imports and CONTRIBUTING.md
architecture: .venv/built
	$(BIN)/python tests/layers.py

# site/: docs/, with a page for each op, method and module. Its environment has no torch: the code is not imported.
site: .venv-site/installed
	NO_MKDOCS_2_WARNING=1 PATH=$(CURDIR)/.venv-site/bin:$$PATH mkdocs build --strict

.venv-site/installed: pyproject.toml
	$(PYTHON) -m venv .venv-site
	.venv-site/bin/pip install --quiet "pip>=25.1"  # knows --group
	.venv-site/bin/pip install --quiet --group docs
	touch $@

# dist/: a wheel with the compiled kernels, for every Python and torch of pyproject.toml, and a pure one for other
# platforms. The compiled kernels find torch's libraries where Python has loaded them.
wheels: .venv/built
	rm -rf build dist
	$(BIN)/pip wheel --quiet --no-build-isolation --no-deps --wheel-dir build/compiled .
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/auditwheel repair --exclude 'libtorch*' --exclude 'libc10*' --exclude 'libcudart*' \
		--wheel-dir dist build/compiled/*.whl
	rm -rf build
	SSLFAST_PURE=1 $(BIN)/pip wheel --quiet --no-build-isolation --no-deps --wheel-dir dist .

# A script of examples/ and the op tests on that wheel, with the oldest and the newest Python and torch: an hour on 2
# CPU cores, 20 GB. ARGS="-k contract" for some of the tests, ARGS="--python 3.12 --torch torch==2.14.1" for one pair
matrix: wheels
	$(BIN)/python -m tests.matrix $(ARGS)

lint: .venv/built
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Built again when the C++ or CUDA sources change; Python sources are used where they are.
.venv/built: .venv/installed setup.py pyproject.toml $(wildcard csrc/*/* csrc/*/*/*)
	$(BIN)/pip install --quiet --no-build-isolation --no-deps --editable .
	touch $@

.venv/installed: requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
ifeq ($(TORCH),cpu)
	$(BIN)/pip install --quiet uv
	sed -E '/^ +--hash/d; s/ \\$$//' $< | grep -vE '^(cuda|nvidia|triton)\b' | $(BIN)/uv pip install --quiet --python $(BIN)/python --torch-backend cpu -r -
else
	$(BIN)/pip install --quiet --requirement $<
endif
	touch $@

# Resolves the newest versions, with torch, torchvision and DALI held at the versions in constraints.txt, each with
# the hashes of its files.
lock:
	uv pip compile pyproject.toml --extra train --extra dali13 --extra detection --extra report --extra logging \
		--extra dev --universal --python-version 3.10 --constraint constraints.txt --no-header --no-annotate \
		--generate-hashes --upgrade --output-file requirements.lock

# Asks for known weaknesses of the locked versions; needs a network
audit: .venv-audit/installed
	.venv-audit/bin/pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock

.venv-audit/installed:
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/pip install --quiet pip-audit
	touch $@

clean:
	rm -rf .venv .venv-site .venv-audit build site *.egg-info sslfast/*.so
