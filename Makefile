# What a change must pass is in .ci/run; these are the steps by name.

.PHONY: help check test full race lint prose bench fuzz conformance api seams mutants

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

check: ## everything that CI checks, as CI does
	.ci/run

test: ## the tests, with the servers that can be had
	go test ./...

full: ## the slow suites too, as in CI
	SLUICE_FULL=1 go test ./...

race: ## the tests under the race detector, with one set of servers for all
	.ci/run race

lint: ## format, golangci-lint with go vet, and prose
	.ci/run tools format lint

prose: ## the style of comments and Markdown
	.ci/run tools prose

bench: ## the benchmarks, for measuring
	go run ./internal/test/testserver/withservers -optional go test -run '^$$' -bench . -benchmem ./...

FUZZTIME ?= 10s
fuzz: ## each fuzz target for FUZZTIME (10s)
	@set -e; for p in $$(go list ./...); do \
		for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
			echo "== $$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p; \
		done; \
	done

conformance: ## docs/conformance.md anew, from real runs
	go run ./drivers/drivertest/internal/conformance/cmd/conformance -write

api: ## api/sluice.txt anew, after a wanted change of exported names
	go test ./internal/archtest -run TestExportedNames -update

DURATION ?= 10m
SEAMS ?= mem,sqlite,sqs,sqsfifo,pubsub
seams: ## programs of faults on fresh seeds for DURATION (10m)
	go test ./internal/test/seams -run '^(TestSeams|TestStores)$$' -count=1 -timeout 0 -v -seams.duration=$(DURATION) -seams.queue=$(SEAMS) -seams.goon

mutants: ## put mended faults back, and check that a test catches each
	go run ./internal/test/seams/mutants
