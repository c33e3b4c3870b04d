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

check-ops: ## checks alerts, dashboards and log queries with Prometheus' and Alertmanager's own programs
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

sqlx: ## writes .sqlx anew: what PostgreSQL says about every query in the code
	@compose/sqlx-fresh

clean-local: ## stops everything and removes its data
	@compose/stack destroy
