# What there is to do with this repository. Continuous integration (.ci/run)
# calls these same targets. `make` alone lists them.

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
# Counted in runs: at the end of a time, Go 1.26 may call a target failed that
# isn't (go.dev/issue/75804).
FUZZTIME    = 500000x

COVERED     = ./internal/fsm ./internal/mediator ./internal/wire ./internal/journal .

.DEFAULT_GOAL = help
.PHONY: help build test race lint format vet staticcheck audit cover bench simulate explore mutants power damage crash network clients generate soak fuzz demo chaos vectors

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the daemon and command line into bin/
	go build -o bin/ ./cmd/...

test: ## run all tests, as the README has it
	go test ./...

# A simulation is one goroutine, the trials are processes of their own, and the signing
# session runs as the demonstration, under the race detector too.
race: ## run all other tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race -timeout 25m $$(go list ./... | grep -v -e /trials/ -e /internal/simulate -e /examples/)

lint: format vet staticcheck ## gofmt, go vet and staticcheck (staticcheck.conf)

format:
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then \
		echo "run gofmt -w on:"; echo "$$unformatted"; exit 1; fi

vet:
	go vet ./...

staticcheck:
	go run $(STATICCHECK) ./...

audit: ## verify the modules, look for known vulnerabilities, run gosec
	.ci/audit

cover: ## count the statements that tests reach, of the packages that hold the promise
	@mkdir -p bin
	go test -coverpkg=$$(echo $(COVERED) | tr ' ' ,) -coverprofile=bin/cover.txt $(COVERED)
	.ci/coverage bin/cover.txt 95 $$(go list $(COVERED))

bench: ## run all benchmarks
	go test -run '^$$' -bench . -benchmem ./...

simulate: SEEDS = 10000
simulate: ## run SEEDS whole groups of nodes on virtual time, amid failures
	go run ./cmd/parley simulate --seeds $(SEEDS)

explore: BOUNDS = ci
explore: ## explore every state of two nodes within BOUNDS, ci or long
	go test -count 1 -timeout 3h -run Explor -v ./internal/fsm -explore=$(BOUNDS)

mutants: MUTANTS = all
mutants: ROTATION = 0
mutants: ## put bugs into the code, which the suite must find: all, or a sample
	go test -count 1 -timeout 5h -v ./trials/mutants -mutants $(MUTANTS) -rotation $(ROTATION)

power: CUTS = 100000
power: ## cut the power of a journal's disk CUTS times
	go test -count 1 -timeout 2h -run PowerCuts -v ./internal/journal -cuts $(CUTS)

damage: ## damage a journal's files at every byte, and refuse each operation on them
	go test -count 1 -timeout 20m -run 'EveryKind|AnyRefused|FaultyDisk' -v ./internal/journal -everybyte

crash: KILLS = 700
crash: ## kill KILLS processes at random, and more at each named place
	go test -count 1 -timeout 1h -v ./trials/crash -kills $(KILLS) -thorough

network: ## try nodes on networks at their worst (Linux, as root)
	go test -count 1 -timeout 1h -v ./trials/network -crossings 1000 -exchanges 200 -points-for 45s

clients: EXCHANGES = 1000
clients: ## have curl, Python and Rust work with daemons that are killed
	go test -count 1 -timeout 1h -v ./trials/clients -exchanges $(EXCHANGES) -every 20

generate: ## write the code of proto/parley/v1 anew
	go run github.com/bufbuild/buf/cmd/buf@v1.75.0 generate --path proto/parley/v1

soak: FOR = 1h
soak: ## let nodes work FOR an hour, and see whether anything grows
	go run ./trials/soak --for $(FOR)

fuzz: ## run every fuzz target, FUZZTIME runs of each
	@grep -rH --include='*_test.go' '^func Fuzz' . | \
	sed -E 's|^(.*)/[^/]+:func (Fuzz[A-Za-z0-9_]*).*|\1 \2|' | sort -u | \
	while read -r folder target; do \
		echo "$$target in $$folder"; \
		(cd "$$folder" && go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x .) || exit 1; \
	done

demo: ## run a small group on this machine, with exchanges and a crash
	go run ./cmd/parley demo
	go run ./cmd/parley demo --crash --seed 7

chaos: SEEDS = 20
chaos: ## run SEEDS demonstrations amid crashes, cut connections and attackers
	@go build -o bin/ ./cmd/parley
	@failed=; for seed in $$(seq $(SEEDS)); do \
		if bin/parley demo --chaos --seed $$seed >bin/chaos.txt 2>&1; \
		then echo "seed $$seed:$$(grep '^  exchanges' bin/chaos.txt)"; \
		else cat bin/chaos.txt; failed="$$failed $$seed"; fi; \
	done; if [ -n "$$failed" ]; then echo "these seeds failed:$$failed"; exit 1; fi

vectors: ## write the golden files anew (then read the difference)
	@grep -rl --include='*_test.go' 'flag.Bool("rewrite"' . | xargs -n 1 dirname | sort -u | \
	while read -r folder; do go test -count 1 "$$folder" -rewrite || exit 1; done
