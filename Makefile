# Everything a newcomer needs, two commands first: make run, make test. `make` alone prints this list.
#
#   make run ARGS="--port 8000 ~/experiments"     options of plotsrv
#   make test ARGS="-k forms"                     options of pytest
#   make bench ARGS="live large"                  groups of rows
#   make siege ARGS="slow signals"                trials, by name
#   make run PYTHON=python3.12                    another Python than python3

PYTHON ?= python3
ARGS ?=
VENV := .venv
IN_VENV := $(VENV)/bin/python
DEMO_LOG := runs/demo.csv
DEMO_PAGE := training/convergence?file_path=$(DEMO_LOG)&refresh_every=live

# Stamps: pip is asked again only when pyproject.toml has changed.
RUNTIME := $(VENV)/.installed
TEST := $(VENV)/.installed-test
DEV := $(VENV)/.installed-dev

# One line of pyproject.toml's requirements each; the extras to add are arguments. No egg-info is left behind.
LIST_REQUIREMENTS := import sys, tomllib; \
	project = tomllib.load(open("pyproject.toml", "rb"))["project"]; extras = project["optional-dependencies"]; \
	print(*project["dependencies"], *(line for extra in sys.argv[1:] for line in extras[extra]), sep="\n")

# Tests of a file share their servers; the files that take longest do not stand at the end of the alphabet.
BY_FILE := --dist loadfile --no-loadscope-reorder

# The port plotsrv would take by itself: from 9999 on, the first where nobody answers.
FREE_PORT := import socket; \
	print(next(port for port in range(9999, 11000) if socket.socket().connect_ex(("127.0.0.1", port))))

# Waits up to 20 s for the server, then shows the page.
OPEN_PAGE := import socket, sys, time, webbrowser; port, url = sys.argv[1:]; \
	up = lambda: socket.socket().connect_ex(("127.0.0.1", int(port))) == 0; \
	any(up() or time.sleep(0.1) for _ in range(200)) and webbrowser.open(url)

.DEFAULT_GOAL := help
.PHONY: help run test check demo bench siege picture clean

help: ## Show this list.
	@echo 'usage: make TARGET [ARGS="..."]'
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F'\t' '{ printf "  make %-8s %s\n", $$1, $$2 }'

run: $(RUNTIME) ## Serve this folder's plots and open the browser (ARGS: plotsrv's options).
	@$(IN_VENV) plotsrv.py $(ARGS)

test: $(TEST) ## Run every test (ARGS: pytest's options).
	@$(IN_VENV) -m pytest -q -n 3 $(BY_FILE) $(ARGS) # many wait for processes: two cores have room for three

check: test $(DEV) ## Run the tests, ruff and mypy.
	@$(IN_VENV) -m ruff check .
	@$(IN_VENV) -m mypy

# Both are started in the background and waited for, so that Ctrl-C, a closed terminal and a plain kill end both.
demo: $(RUNTIME) ## Train a small, real classifier and watch its curves in the browser.
	@trap 'exit 0' INT TERM HUP; \
	trap 'trap "" INT TERM HUP; kill $$started 2>/dev/null; wait' EXIT; \
	$(IN_VENV) plots/demo.py --csv $(DEMO_LOG) & started=$$!; \
	port=$$($(IN_VENV) -c '$(FREE_PORT)'); page="http://127.0.0.1:$$port/$(DEMO_PAGE)"; \
	echo "The training's page: $$page"; \
	desktop="$$DISPLAY$$WAYLAND_DISPLAY"; [ "$$(uname)" != Darwin ] || desktop=yes; \
	if [ -n "$$desktop" ] && [ -z "$$SSH_CONNECTION" ]; then \
		$(IN_VENV) -c '$(OPEN_PAGE)' $$port "$$page" & started="$$started $$!"; \
	fi; \
	$(IN_VENV) plotsrv.py --no-browser --port $$port & server=$$!; started="$$started $$server"; \
	wait $$server

bench: $(TEST) ## Measure speed, memory and freshness against a plain http.server (5 minutes; ARGS: groups of rows).
	@$(IN_VENV) tests/bench.py $(ARGS)

siege: $(TEST) ## Attack a server in every way that is known, and print the scorecard (40 minutes; ARGS: names of trials).
	@$(IN_VENV) tests/siege.py $(ARGS)

picture: $(TEST) ## Make the README's picture, tests/page.png, with Chromium.
	@$(IN_VENV) tests/picture.py

clean: ## Remove what make and Python have written, but for runs/.
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUNTIME): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "plotsrv needs Python 3.11 or newer, $(PYTHON) is not: try make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(IN_VENV) -c 'import pip' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV) || { \
		echo "No virtual environment could be made: on Debian and Ubuntu, apt install python3-venv"; exit 1; }
	@echo "Installing what the plots need into $(VENV) (once)"
	@$(call install,)
	@MPLBACKEND=Agg $(IN_VENV) -c 'import matplotlib.pyplot' # builds the font cache, once
	@touch $@

$(TEST): $(RUNTIME)
	@echo "Installing what the tests need into $(VENV) (once)"
	@$(call install,test)
	@touch $@

$(DEV): $(TEST)
	@echo "Installing ruff and mypy into $(VENV) (once)"
	@$(call install,test dev)
	@touch $@

define install
$(IN_VENV) -c '$(LIST_REQUIREMENTS)' $(1) > $(VENV)/requirements.txt && \
	$(IN_VENV) -m pip install --quiet --disable-pip-version-check -r $(VENV)/requirements.txt
endef
