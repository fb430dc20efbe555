# Needs Python 3.11 to 3.13 and make. `make run` and `make test` set everything up by themselves.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

READY := .venv/.ready
PYTEST := .venv/bin/python -m pytest
WORKERS := 3
SELECTED := not long and not slow
# Workers must collect the same tests in the same order, so they share the seed of hashes.
SPREAD := PYTHONHASHSEED=$$$$ $(PYTEST) -n $(WORKERS) --dist loadfile
export PYTHON SEED HOURS

.PHONY: help
help: ## List every target
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' Makefile

$(READY): pyproject.toml uv.lock deploy/local/set-up.sh
	@sh deploy/local/set-up.sh

.PHONY: set-up
set-up: $(READY) ## Make .venv and install everything in the lock

.PHONY: run
run: $(READY) ## Start everything, run the demonstration, stay until Ctrl-C
	@exec .venv/bin/pashe up --demo

.PHONY: up
up: $(READY) ## Start everything in the background
	@.venv/bin/pashe up --detach

.PHONY: down
down: $(READY) ## End everything
	@.venv/bin/pashe down

.PHONY: status
status: $(READY) ## Show each part, lag, unsent events, parked records
	@.venv/bin/pashe status || [ $$? -eq 3 ]

.PHONY: test
test: $(READY) ## Run the tests: unit, contract, integration, faults in their short form
	@$(SPREAD) tests/unit tests/contract tests/fuzz tests/simulation -m "$(SELECTED)"
	@$(SPREAD) --no-loadscope-reorder tests/integration tests/browser -m "$(SELECTED)"
	@$(PYTEST) tests/bench tests/faults -m "$(SELECTED)"

.PHONY: test-slow
test-slow: $(READY) ## Run the tests that kill, restore and look at every page, which make test leaves out
	@$(SPREAD) --no-loadscope-reorder tests/integration tests/browser -m "slow and not long"

.PHONY: test-all
test-all: $(READY) ## Run every test, the long ones too
	@$(PYTEST) tests

.PHONY: test-unit
test-unit: $(READY) ## Run the tests that need no process
	@$(PYTEST) tests/unit tests/contract

.PHONY: test-integration
test-integration: $(READY) ## Run the tests on a real Kafka and PostgreSQL
	@$(PYTEST) tests/integration

.PHONY: test-browser
test-browser: $(READY) ## Walk through the pages in a real Chromium
	@$(PYTEST) tests/browser

.PHONY: screenshots
screenshots: $(READY) ## Leave a picture of every page in FOLDER (screenshots), as the tests see them
	@PASHE_SCREENSHOTS=$(or $(FOLDER),screenshots) $(PYTEST) tests/browser

.PHONY: texts
texts: $(READY) ## Add texts that no catalogue has yet, take out what nobody says any more
	@.venv/bin/python -m tests.support.texts

.PHONY: test-keycloak
test-keycloak: $(READY) ## Sign in at a real Keycloak (fetches 159 MB once)
	@PASHE_TEST_KEYCLOAK=1 $(PYTEST) tests/keycloak -s

.PHONY: prometheus
prometheus: ## Install Debian's Prometheus with promtool, if it is missing (needs root)
	@sh deploy/prometheus/install.sh

.PHONY: test-rules
test-rules: ## Try every alert with promtool
	@command -v promtool > /dev/null || { echo "promtool is missing: make prometheus"; exit 1; }
	@promtool check rules deploy/prometheus/rules/*.yaml
	@promtool test rules deploy/prometheus/tests/*.yaml

.PHONY: dashboards
dashboards: $(READY) ## Write Grafana's dashboards anew from its boards
	@.venv/bin/python -m deploy.grafana.write
	@.venv/bin/python -m deploy.chart_files

.PHONY: test-independent
test-independent: $(READY) ## Verify the log with verifiers that are not ours (needs Go)
	@$(PYTEST) tests/independent -rs

.PHONY: test-deploy
test-deploy: $(READY) ## Check image, Compose files, chart and gateway with the tools that are there
	@sh deploy/tools.sh
	@$(PYTEST) tests/deploy -rs

.PHONY: faults
faults: $(READY) ## Try every fault under load, then restore and upgrade; one table, kept in FOLDER (faults)
	@.venv/bin/python -m tests.faults --out $(or $(FOLDER),faults) $(if $(ONLY),--only "$(ONLY)")

.PHONY: faults-long
faults-long: $(READY) ## Soak with random faults: SEED=… HOURS=… (1)
	@.venv/bin/python -m tests.faults.soak --out $(or $(FOLDER),faults)

.PHONY: simulation
simulation: $(READY) ## Live through COUNT (5000) schedules from SEED on, under a virtual clock
	@.venv/bin/python -m tests.simulation.run $(or $(SEED),1) $(or $(COUNT),5000)
	@.venv/bin/python -m tests.simulation.run $(or $(SEED),1) $(or $(COUNT),5000) small

.PHONY: fuzz
fuzz: $(READY) ## Give each reader a million odd inputs, for SECONDS (600) at most, from SEED
	@.venv/bin/python -m tests.fuzz.run $(or $(SECONDS),600) $(or $(SEED),1)
	@$(PYTEST) tests/integration/test_openapi.py -m long

.PHONY: bench
bench: $(READY) ## Measure speed beside the peers, on stacks of its own
	@exec .venv/bin/pashe bench

.PHONY: check
check: $(READY) ## Lint, formatting, types, borders between modules
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy
	@.venv/bin/lint-imports

.PHONY: prompts
prompts: $(READY) ## Make placeholders of what the voice channel says, with espeak-ng
	@.venv/bin/python -m services.intake.talk.prompts $(or $(PASHE_HOME),.pashe)/prompts

.PHONY: format
format: $(READY) ## Format the code
	@.venv/bin/ruff check --fix
	@.venv/bin/ruff format

.PHONY: clean
clean: ## End everything, remove .pashe (its data!), .venv and caches
	@if [ -x .venv/bin/pashe ]; then .venv/bin/pashe down --erase; fi
	@rm -rf .pashe .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
