# Thin: what takes more than a line is in hack/.
.DEFAULT_GOAL := help
.NOTPARALLEL:

target = $(or $(CARGO_TARGET_DIR),target)
# Time for each target of make fuzz.
FUZZ_SECONDS ?= 60
# Numbers of keys for make scale, and how long make soak runs.
N ?= 1000 10000
MINUTES ?= 30
# Profile of what both measure; dev uses what the tests have built.
PROFILE ?= bench
# Objects of each kind for make large; keys and pairs of starts for make streams.
OBJECTS ?= 200
KEYS ?= 10000
PAIRS ?= 5
# Pairs of faults of make faults.
FAULTS_PAIRS ?= 300
# What make run uses of the control plane; the others use all of it.
RUN_TOOLS = etcd kube-apiserver kube-controller-manager kubectl helm
# A KUBECONFIG of the environment is not taken: it may be that of a cluster of importance.
own_cluster = $(if $(filter command,$(origin KUBECONFIG)),--kubeconfig '$(KUBECONFIG)')

.PHONY: help
help: ## Print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: need ## Walk through what the operator does, on a control plane of its own
	@hack/build-both.sh all cargo build --locked --workspace --bins
	$(target)/debug/controlplane exec -- hack/demo.sh

.PHONY: run
run: need ## Run the operator until Ctrl-C (make run KUBECONFIG=FILE: on that cluster)
	@$(if $(own_cluster),,hack/build-both.sh '$(RUN_TOOLS)') cargo build --locked --workspace --bins
	@hack/run.sh $(own_cluster)

.PHONY: test
test: need ## Run all tests, against a real control plane
	@hack/build-both.sh all cargo test --locked --workspace --no-run
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-4} cargo test --locked --workspace

.PHONY: consumers
consumers: need controlplane ## Let JWT and OAuth clients, a fuzzer and nginx use the token server
	cargo build --locked --workspace --bins
	@hack/consumers.sh

.PHONY: gitops
gitops: need controlplane ## Run the health checks and actions for Argo CD and Flux on live objects (needs Lua)
	@hack/gitops.sh

.PHONY: flux
flux: need controlplane ## Keep keys by the kustomize-controller of Flux, and check what docs/gitops.md says (builds it, once)
	tests/flux/build.sh
	cargo build --locked --workspace --bins
	$(target)/debug/controlplane exec -- hack/flux.sh

.PHONY: observability
observability: need controlplane ## Check alerts, dashboard and metrics with Prometheus
	cargo build --locked --workspace --bins
	@hack/observability.sh

.PHONY: manifests
manifests: need controlplane ## Lint YAML, the rendered chart and Dockerfiles (needs Python)
	@hack/manifests.sh

.PHONY: lint
lint: need controlplane ## Check formatting, code, chart and scripts
	hack/lint.sh

.PHONY: chart
chart: need controlplane ## Check the Helm chart, against a real control plane
	cargo build --locked --workspace --bins
	$(target)/debug/controlplane exec -- hack/chart.sh
	$(target)/debug/controlplane exec -- hack/install-yaml.sh --check

.PHONY: install-yaml
install-yaml: controlplane ## Write dist/install.yaml, the chart for kubectl (INSTALL_OPTIONS='--set ...')
	@mkdir -p dist
	hack/install-yaml.sh $(INSTALL_OPTIONS) >dist/install.yaml

.PHONY: docs-commands
docs-commands: need controlplane ## Run the commands of docs/installation.md, against a real control plane
	cargo build --locked --workspace --bins
	$(target)/debug/controlplane exec -- hack/docs.sh

.PHONY: static
static: need ## Build static binaries, for images and archives
	@hack/static.sh

.PHONY: sbom
sbom: need ## Write dist/apikey-operator.cdx.json: what the binaries are made of (fetches cargo-cyclonedx)
	@hack/sbom.sh

.PHONY: e2e
e2e: need ## Use the chart on a cluster with nodes: make e2e KUBECONFIG=FILE LOAD_IMAGE='CMD' [UPGRADE_FROM=REV]
	@KUBECONFIG='$(if $(own_cluster),$(KUBECONFIG))' LOAD_IMAGE='$(LOAD_IMAGE)' UPGRADE_FROM='$(UPGRADE_FROM)' hack/e2e.sh

.PHONY: chart-readme
chart-readme: need ## Write the table of values in the chart's README
	cargo xtask chart-readme

.PHONY: fmt
fmt: need ## Format the code
	cargo fmt --all

.PHONY: crds
crds: need ## Generate the CustomResourceDefinitions from crates/api
	cargo xtask crds

.PHONY: openapi
openapi: need ## Generate the OpenAPI description from src/token_server/routes
	cargo xtask openapi

.PHONY: api-docs
api-docs: need ## Generate the reference of the kinds from crates/api
	cargo xtask api-docs

.PHONY: cli-docs
cli-docs: need ## Generate the reference of the kubectl plugin from crates/kubectl-apikey
	cargo xtask cli-docs

.PHONY: cli-tour
cli-tour: need controlplane ## Write docs/cli-tour.md from real calls of the kubectl plugin
	cargo build --locked --workspace --bins
	$(target)/debug/controlplane exec -- hack/cli-tour.sh >docs/cli-tour.md.new
	mv docs/cli-tour.md.new docs/cli-tour.md

.PHONY: verify
verify: need ## Check that generated files and versions are up to date
	cargo xtask verify
	hack/book.sh --links

.PHONY: docs
docs: need ## Build the code's documentation; warnings are errors
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --workspace

.PHONY: book
book: ## Check links and build docs/ as a book, in dist/book (installs mdbook from crates.io, once)
	hack/book.sh

.PHONY: bench
bench: need controlplane ## Measure everything; writes the numbers of docs/performance.md and README.md (half an hour on two idle cores)
	cargo bench --locked --bench lifecycle --
	cargo bench --locked --bench token --
	$(MAKE) scale PROFILE=bench
	cargo xtask numbers

.PHONY: fuzz
fuzz: need ## Fuzz what is sent and stored (FUZZ_SECONDS=60 for each target; needs nightly and cargo-fuzz)
	FUZZ_SECONDS='$(FUZZ_SECONDS)' hack/fuzz.sh

.PHONY: model
model: need ## Explore what two controllers can do to each other, with the operator's own decisions
	cargo test --locked --release --test model -- --ignored --nocapture

.PHONY: faults
faults: need controlplane ## Fail every API call of every scenario in every way (FAULTS_PAIRS=300 FAULTS_SEED=N)
	@FAULTS_PAIRS='$(FAULTS_PAIRS)' FAULTS_SEED='$(FAULTS_SEED)' hack/faults.sh

.PHONY: scale
scale: need controlplane ## Measure how the operator grows with the number of keys (N="1000 10000 50000")
	cargo bench --locked --profile $(PROFILE) --bench scale -- $(N)

.PHONY: large
large: need controlplane ## Measure memory with objects as large as the API server takes (OBJECTS=200)
	cargo bench --locked --profile $(PROFILE) --bench scale -- large $(OBJECTS)

.PHONY: streams
streams: need controlplane ## Measure restarts with lists as a stream and in pages, in pairs (KEYS=10000 PAIRS=5)
	cargo bench --locked --profile $(PROFILE) --bench scale -- streams $(KEYS) $(PAIRS)

.PHONY: organizations
organizations: need ## Measure an edit of an Organization beside many others (ORGANIZATIONS="100 1000 10000")
	cargo bench --locked --profile $(PROFILE) --bench organizations -- $(ORGANIZATIONS)

.PHONY: soak
soak: need controlplane ## Load the operator while things break, for MINUTES=30
	cargo bench --locked --profile $(PROFILE) --bench soak -- $(MINUTES)

.PHONY: deny
deny: need ## Check licences, sources and banned crates of the dependencies
	hack/deny.sh bans licenses sources

.PHONY: audit
audit: need ## Check the dependencies for known vulnerabilities (fetches the advisory database)
	hack/deny.sh advisories

.PHONY: ci
ci: lint deny verify chart docs-commands docs test demo ## Everything that has to pass before a merge
	hack/deny.sh --if-reachable advisories
	$(MAKE) scale N=300 PROFILE=dev
	$(MAKE) soak MINUTES=1 PROFILE=dev
	@hack/manifests.sh --if-installed
	@hack/gitops.sh --if-installed
	@hack/observability.sh --if-installed
	@hack/consumers.sh --if-installed

.PHONY: controlplane
controlplane: ## Build or find etcd, kube-apiserver, kube-controller-manager and their tools (once)
	@tests/controlplane/build.sh

.PHONY: clean
clean: ## Remove what cargo built
	cargo clean

.PHONY: need
need:
	@hack/need.sh
