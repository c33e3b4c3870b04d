# What can be done here: `make` lists it. Everything needs Rust and Node; the rest is installed, or named if it cannot be.

.DEFAULT_GOAL := help
.PHONY: help demo test check check-ops bench bench-quick chaos faults up down status sqlx clean-local

help: ## lists these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## starts everything, posts 200 payments, good and bad, and compares ledger and chain
	@compose/stack demo

test: ## runs every test, on PostgreSQL, Redis and a chain of its own
	@compose/test

check: ## checks form, lints and documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --workspace --features quittance/fail-points --bins --test faults -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

check-ops: ## checks what it is run with: alerts, dashboards, image, compose, chart, workflows; needs no Docker and no cluster
	@ops/check

bench: ## measures the pipeline on this machine, in a release build, and checks that nothing was lost; writes target/bench/report.md
	@compose/bench

bench-quick: ## the same, shorter: what is accepted, what is settled, and a payment alone
	@compose/bench --quick

chaos: ## runs the demo once for each service and role, and kills that in the middle
	@compose/drill

faults: ## kills real processes at every crash point, and compares ledger and chain; SEED=… MINUTES=… for faults at random
	@compose/faults $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(POINTS),--points $(POINTS))

up: ## starts everything, leaves it running, and prints URLs, a key and requests to try
	@compose/stack up
	@compose/stack hello

down: ## stops it; data, ports and keys are kept
	@compose/stack down

status: ## says what runs
	@compose/stack status

.PHONY: scale smoke
scale: ## Docker: runs N containers of a role; ROLE=settlement N=3
	@test -n "$(ROLE)" -a -n "$(N)" || { echo "usage: make scale ROLE=settlement N=3" >&2; exit 2; }
	docker compose up --detach --no-recreate --no-deps --scale $(ROLE)=$(N) $(ROLE)

smoke: ## Docker: posts a payment to the stack of compose.yaml with its development chain, and waits until it is settled
	@compose/docker/smoke

sqlx: ## writes .sqlx anew: what PostgreSQL says about every query in the code
	@compose/sqlx-fresh

clean-local: ## stops everything and removes its data
	@compose/stack destroy
