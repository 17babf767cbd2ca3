# What there is to do; `make` alone prints it.
.DEFAULT_GOAL := help
SHELL := /bin/sh

export CGO_ENABLED ?= 0
TOOL := go tool -modfile=tools/go.mod
GO_DIRS := bench cmd consumer detector internal producer queryapi schemas
# How long make soak goes on.
SOAK ?= 10m
# The fuzz targets run this long each.
FUZZTIME ?= 30s
# How many events `make bench-pipeline` and `make bench-consumer` send.
EVENTS ?= 1000000

.PHONY: help up build libchdb test test-slow soak race lint fuzz bench bench-pipeline bench-consumer generate clean

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: build ## Build and run the whole pipeline on this machine
	bin/audittrail up

build: libchdb ## Build bin/audittrail and fetch the embedded ClickHouse
	go build -trimpath -o bin/audittrail ./cmd/audittrail

libchdb:
	@sh internal/embedded/libchdb/fetch.sh

test: build ## Run all tests
	go test ./...

test-slow: build ## Run all tests, also those that take longer: random faults, every step's crash
	AUDITTRAIL_SLOW=1 go test -timeout 20m ./...
	AUDITTRAIL_SLOW=1 go test -timeout 10m -tags failpoints -run 'FaultTable|Needed|CommitUnderWay' ./consumer

soak: libchdb ## Kill, freeze and restart consumers under load for SOAK (10m)
	AUDITTRAIL_SLOW=1 SOAK=$(SOAK) go test -timeout 2h -count=1 -v -run 'TestSoak$$' ./consumer

race: libchdb ## Run all tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race ./...

lint: ## Check form, vet, staticcheck, and that generated files are up to date
	@out=$$($(TOOL) gofumpt -l $(GO_DIRS) *.go); if [ -n "$$out" ]; then echo "gofumpt would change:"; echo "$$out"; exit 1; fi
	go vet ./... && go vet -tags failpoints ./consumer
	$(TOOL) staticcheck ./... && $(TOOL) staticcheck -tags failpoints ./consumer
	go mod verify >/dev/null
	@cp go.mod go.mod.before && cp go.sum go.sum.before && go mod tidy && cmp -s go.mod go.mod.before && cmp -s go.sum go.sum.before; \
	  same=$$?; mv go.mod.before go.mod; mv go.sum.before go.sum; [ $$same -eq 0 ] || { echo "go.mod is not tidy: run go mod tidy"; exit 1; }
	@$(MAKE) --no-print-directory generate
	@if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then git diff --exit-code --stat -- .env.example || { echo "generated files were out of date: commit them"; exit 1; }; fi

generate: ## Write the generated files anew
	go test ./cmd/audittrail -run 'TestEnvExample$$' -update >/dev/null

fuzz: ## Run each fuzz target for FUZZTIME
	@for pkg in $$(go list ./...); do \
	  for f in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do echo "$$pkg $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; done; done

bench: ## Run the Go benchmarks
	go test -run '^$$' -bench . -benchmem ./...

bench-pipeline: build ## Send EVENTS generated events through the whole embedded pipeline and print rate, memory and disk
	go run ./bench/pipeline -binary bin/audittrail -events $(EVENTS)

# The binary with failpoints can leave out the intents; the consumer's tests hold the benchmark of columns. BENCH takes more flags.
bench-consumer: build ## Measure CPU and memory from Kafka into ClickHouse, layer by layer, with EVENTS events
	go build -trimpath -tags failpoints -o bin/audittrail-failpoints ./cmd/audittrail
	go test -c -o bin/consumer.test ./consumer
	go build -o bin/bench-consumer ./bench/consumer
	bin/bench-consumer -binary bin/audittrail -failpoints bin/audittrail-failpoints -columns bin/consumer.test -events $(EVENTS) $(BENCH)

clean: ## Remove what was built (not the data, not the fetched library)
	rm -rf bin
