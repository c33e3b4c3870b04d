-- What ledger and chain are compared by, and the comparisons that were made.
--
-- While the two indexes are built, their tables take no writes; with millions of payments that is some seconds. Whoever
-- cannot spare them makes both beforehand, with `create index concurrently` and the same names.

create index if not exists payments_by_block on payments (chain_id, block_number, id)
    where block_number is not null;
create index if not exists chain_transactions_by_block on chain_transactions (chain_id, block_number, id)
    where block_number is not null;

create table audit_runs (
    id uuid primary key,
    chain_id bigint not null check (chain_id > 0),
    -- Who makes it, and until when nobody else may take it over.
    owner uuid not null,
    lease_until timestamptz not null,
    started_at timestamptz not null,
    finished_at timestamptz,
    from_block bigint check (from_block >= 0),
    to_block bigint,
    -- Whether `to_block` was the newest final block then.
    caught_up boolean,
    payments bigint check (payments >= 0),
    uses bigint check (uses >= 0),
    differences bigint check (differences >= 0),
    constraint audit_runs_range check (to_block >= from_block),
    constraint audit_runs_finished check (
        num_nonnulls(finished_at, from_block, to_block, caught_up, payments, uses, differences) in (0, 7)
    )
);

create unique index audit_runs_one_open on audit_runs (chain_id) where finished_at is null;
create index audit_runs_newest on audit_runs (chain_id, finished_at) where finished_at is not null;
