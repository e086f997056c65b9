# The few commands a person types. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help run demo bench bench-signer fuzz test lint format types unit e2e docs lock clean
SHELL := /bin/bash
python := .venv/bin/python
typed := notary_common notary_server notary_signer migrations deploy bench tests

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Start signer and server here, in the foreground; PORT=4444 make run takes another port
	@deploy/local/bootstrap run
	@$(python) -m deploy.local.run

demo: ## Publish, list and verify with the real notary client, while `make run` runs in another terminal
	@deploy/local/bootstrap demo
	@$(python) -m deploy.local.demo

bench: ## Measure against Notary 0.7.0, all rows of bench/README.md, about 25 minutes
	@deploy/local/bootstrap bench
	$(python) -m bench

fuzz: ## Try INPUTS=20000 inputs on each reader of what strangers send, and say how many; about 20 minutes
	@deploy/local/bootstrap test
	$(python) -m tests.fuzz --inputs $(or $(INPUTS),20000)

bench-signer: ## Signatures per second of 1, 2 and 4 signers beside the token alone, about three minutes
	@deploy/local/bootstrap test
	$(python) -m bench.signer

test: ## Everything: installs what it needs, then lint, types, all tests
	@deploy/local/bootstrap test
	@$(MAKE) --no-print-directory lint types
	$(python) -m pytest -n 2 tests/unit --cov notary_server.tuf --cov-branch --cov-report term-missing:skip-covered --cov-fail-under 100
	$(python) -m pytest -n 2 --dist loadfile --ignore tests/unit

lint: ## Style and formatting
	$(python) -m ruff check .
	$(python) -m ruff format --check .

types: ## Static types
	$(python) -m mypy --strict $(typed)

format: ## Rewrite the sources in the project's format
	$(python) -m ruff check --fix .
	$(python) -m ruff format .

unit: ## The tests that start nothing and need nothing
	$(python) -m pytest tests/unit

e2e: ## The scenarios through the real notary and docker clients
	@deploy/local/bootstrap test
	$(python) -m pytest -n 2 --dist loadfile tests/e2e

docs: ## Build the documentation as a site in site/, links checked
	@deploy/local/bootstrap test
	$(python) -m mkdocs build --strict --quiet
	@echo 'open site/index.html'

lock: ## Choose and pin the newest versions that pyproject.toml allows
	@deploy/local/bootstrap test
	deploy/local/lock

clean: ## Remove .venv, .run (with its keys and data) and all caches
	rm -rf .venv .run build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
