-- What tenants allow, what their payments take up of it, and why each payment was decided on as it was.

-- The newest version counts; none is ever changed.
create table risk_policies (
    account_id uuid not null references accounts (id),
    version integer not null check (version >= 1),
    document jsonb not null,
    created_at timestamptz not null,
    -- The key that wrote it.
    created_by uuid not null references api_keys (id),
    primary key (account_id, version)
);

-- Payments that were approved: what other payments of the same payer have to leave. Few at a time.
create table open_approvals (
    payment_id uuid primary key references payments (id),
    chain_id bigint not null,
    asset bytea not null check (octet_length(asset) = 20),
    payer bytea not null check (octet_length(payer) = 20),
    amount numeric(78, 0) not null check (amount >= 0),
    -- Since when a block holds it. A balance of before then does not show it; later it is swept.
    left_at timestamptz
);

create index open_approvals_left on open_approvals (left_at) where left_at is not null;

create index open_approvals_by_purse on open_approvals (chain_id, asset, payer);

-- What a bound has counted in one stretch of time: what is on its way, and what was paid.
create table budgets (
    id bigint generated always as identity primary key,
    account_id uuid not null references accounts (id),
    chain_id bigint not null,
    asset bytea not null check (octet_length(asset) = 20),
    -- Empty where all payers are counted together.
    payer bytea not null check (octet_length(payer) in (0, 20)),
    period text not null check (length(period) between 1 and 50),
    reserved numeric(78, 0) not null default 0 check (reserved >= 0),
    spent numeric(78, 0) not null default 0 check (spent >= 0),
    constraint budgets_once unique (account_id, chain_id, asset, payer, period)
);

-- What each payment has taken up; gone when it is over.
create table budget_reservations (
    payment_id uuid not null references payments (id),
    budget_id bigint not null references budgets (id),
    amount numeric(78, 0) not null check (amount >= 0),
    primary key (payment_id, budget_id)
);

-- Why each payment was decided on as it was; never updated.
create table risk_evaluations (
    id uuid primary key,
    payment_id uuid not null references payments (id),
    account_id uuid not null,
    at timestamptz not null,
    decision text not null check (decision in ('allow', 'deny', 'review')),
    reasons text[] not null,
    -- The version of the policy that was read; none where the tenant has none.
    policy_version integer,
    -- What the chain said: the time of its block, and what the payer had.
    as_of timestamptz not null,
    balance numeric(78, 0) not null,
    -- What the payer's other open payments wanted of it.
    exposure numeric(78, 0) not null,
    -- Of everything that was decided on.
    inputs_sha256 bytea not null check (octet_length(inputs_sha256) = 32)
);

create index risk_evaluations_by_payment on risk_evaluations (payment_id, id);

-- What somebody decided on a payment that was held.
create table hold_decisions (
    payment_id uuid primary key references payments (id),
    approved boolean not null,
    reason text not null check (length(reason) between 1 and 500),
    decided_by uuid not null references api_keys (id),
    decided_at timestamptz not null
);

-- The host of what is paid for, where the payment names it.
alter table payments
    add column resource_host text,
    add constraint payments_resource_host check (length(resource_host) <= 253) not valid;

alter table api_keys
    drop constraint api_keys_scopes_check,
    add constraint api_keys_scopes check (
        scopes <@ array['payments:write', 'payments:read', 'webhooks', 'risk', 'ops'] and cardinality(scopes) > 0
    );
