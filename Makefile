# headwatch's Makefile. `make help` lists what people use.

GO       ?= go
PREFIX   ?= /usr/local
VERSION  := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -s -w
AGENTS   := $(foreach p,linux-amd64 linux-arm64 freebsd-amd64 freebsd-arm64,runners/build/agents/headwatch-agent-$(p))
AGENTSRC := $(shell find cmd/headwatch-agent runners/guest suites -name '*.go' ! -name '*_test.go') go.mod go.sum
FUZZTIME ?= 10s

.PHONY: help run test test-race test-long test-vfio setup setup-freebsd agents build lint bench fuzz cover install clean
.DEFAULT_GOAL := build

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# On a terminal the dashboard stays up until Ctrl-C; a script gets its prompt back.
run: setup build ## set up, build, and run the main job on the built-in demo
	@if [ -t 1 ]; then exec bin/headwatch demo; else exec bin/headwatch demo --once; fi

test: setup agents lint ## set up and run every test; prints what was skipped and why
	@$(GO) run ./.ci/testreport -timeout 30m ./...

test-race: setup agents ## the same under the race detector
	@$(GO) run ./.ci/testreport -race -timeout 40m ./...

test-long: setup agents ## the long forms of the tests too
	@HEADWATCH_LONG=1 $(GO) run ./.ci/testreport -timeout 80m ./...

test-vfio: setup ## pass a NIC through in a guest that has an IOMMU: a minute
	@HEADWATCH_VFIO=1 $(GO) run ./.ci/testreport -timeout 10m -run 'TestPassthrough' ./runners/nic/

setup: ## install what this machine lacks, by its package manager
	@.ci/setup

setup-freebsd: ## the same, and what building FreeBSD from source needs
	@.ci/setup --freebsd

agents: $(AGENTS) ## the guest agents, which travel inside headwatch

runners/build/agents/headwatch-agent-%: $(AGENTSRC)
	@echo "==> agent $*"
	@CGO_ENABLED=0 GOOS=$(word 1,$(subst -, ,$*)) GOARCH=$(word 2,$(subst -, ,$*)) \
		$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/headwatch-agent

build: agents ## bin/headwatch
	@echo "==> bin/headwatch"
	@$(GO) build -trimpath -ldflags '$(LDFLAGS) -X main.version=$(VERSION)' -o bin/headwatch ./cmd/headwatch

lint: ## gofmt, vet for both systems, staticcheck
	@bad=$$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l); \
		if [ -n "$$bad" ]; then echo "not gofmt-ed: $$bad" >&2; exit 1; fi
	@echo "==> vet, staticcheck"
	@$(GO) vet ./...
	@GOOS=freebsd GOARCH=amd64 CGO_ENABLED=0 $(GO) vet ./...
	@$(GO) tool staticcheck ./...

bench: setup build ## the measured promises, as ratios
	bin/headwatch bench demo

fuzz: ## each fuzz target for a while: FUZZTIME=10s
	@$(GO) list -f '{{$$p := .ImportPath}}{{range .TestGoFiles}}{{$$p}} {{end}}{{range .XTestGoFiles}}{{$$p}} {{end}}' ./... | tr ' ' '\n' | sort -u | grep . | while read -r p; do \
		for f in $$($(GO) test -list '^Fuzz' "$$p" | grep '^Fuzz'); do \
			echo "==> $$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) "$$p" || exit 1; \
		done; done

cover: agents ## test coverage per package
	@$(GO) test -cover ./...

install: build ## bin, manual pages and completion below PREFIX=/usr/local
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -m 755 bin/headwatch $(DESTDIR)$(PREFIX)/bin/
	bin/headwatch man $(DESTDIR)$(PREFIX)/share/man/man1
	bin/headwatch completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/headwatch

clean: ## what make made
	rm -rf bin $(AGENTS)
