-- Payments: one row for each authorization, for ever.

create table payments (
    id uuid primary key,
    account_id uuid not null references accounts (id),
    chain_id bigint not null check (chain_id > 0),
    asset bytea not null check (octet_length(asset) = 20),
    payer bytea not null check (octet_length(payer) = 20),
    nonce bytea not null check (octet_length(nonce) = 32),
    pay_to bytea not null check (octet_length(pay_to) = 20),
    amount numeric(78, 0) not null check (amount >= 0),
    valid_after bigint not null check (valid_after >= 0),
    valid_before bigint not null,
    signature bytea not null check (octet_length(signature) between 1 and 8192),
    x402_version smallint not null check (x402_version in (1, 2)),
    finality text not null check (finality in ('confirmed', 'safe', 'finalized')),
    reference text check (length(reference) <= 200),
    -- Kept as text, so that every number reads back as the seller wrote it. Together with the limits
    -- above and below, its length bounds the body of a webhook.
    metadata json check (json_typeof(metadata) = 'object' and octet_length(metadata::text) <= 8192),
    request_id text not null check (length(request_id) <= 200),
    created_at timestamptz not null,
    updated_at timestamptz not null,

    version integer not null check (version >= 1),
    state text not null,
    -- When its bell is rung again if nothing happened; the only timer a payment has.
    due_at timestamptz,
    -- Bells since the last change.
    rings integer not null default 0 check (rings >= 0),

    held_until timestamptz,
    approved_until timestamptz,
    transaction_id uuid references chain_transactions (id),
    tx_hash bytea check (octet_length(tx_hash) = 32),
    log_index bigint check (log_index >= 0),
    block_number bigint check (block_number >= 0),
    block_hash bytea check (octet_length(block_hash) = 32),
    failure_code text,

    constraint payments_one_authorization unique (chain_id, asset, payer, nonce),
    constraint payments_window check (valid_before > valid_after),
    constraint payments_state check (state in (
        'accepted', 'held', 'approved', 'submitted', 'confirmed',
        'settled', 'rejected', 'canceled', 'expired', 'failed'
    )),
    -- What is known in each state, and nothing else.
    constraint payments_accepted check (state <> 'accepted' or num_nonnulls(
        held_until, approved_until, transaction_id, tx_hash, log_index, block_number, block_hash, failure_code
    ) = 0),
    constraint payments_held check (state <> 'held' or (held_until is not null and num_nonnulls(
        approved_until, transaction_id, tx_hash, log_index, block_number, block_hash, failure_code
    ) = 0)),
    constraint payments_approved check (state <> 'approved' or (approved_until is not null and num_nonnulls(
        held_until, transaction_id, tx_hash, log_index, block_number, block_hash, failure_code
    ) = 0)),
    constraint payments_submitted check (state <> 'submitted' or (
        num_nonnulls(approved_until, transaction_id) = 2
        and num_nonnulls(held_until, tx_hash, log_index, block_number, block_hash, failure_code) = 0
    )),
    constraint payments_confirmed check (state <> 'confirmed' or (
        num_nonnulls(tx_hash, log_index, block_number, block_hash) = 4
        and num_nonnulls(approved_until, transaction_id) in (0, 2)
        and num_nonnulls(held_until, failure_code) = 0
    )),
    constraint payments_settled check (state <> 'settled' or (
        num_nonnulls(tx_hash, log_index, block_number, block_hash) = 4
        and num_nonnulls(held_until, approved_until, transaction_id, failure_code) = 0
    )),
    constraint payments_rejected_or_failed check (state not in ('rejected', 'failed') or (
        failure_code is not null and num_nonnulls(
            held_until, approved_until, transaction_id, tx_hash, log_index, block_number, block_hash
        ) = 0
    )),
    constraint payments_canceled_or_expired check (state not in ('canceled', 'expired') or num_nonnulls(
        held_until, approved_until, transaction_id, tx_hash, log_index, block_number, block_hash, failure_code
    ) = 0),
    -- Whatever is not over is looked at again some time.
    constraint payments_due check (
        (due_at is null) = (state in ('settled', 'rejected', 'canceled', 'expired', 'failed'))
    )
);

create index payments_due_now on payments (due_at) where due_at is not null;
-- Ids are time-ordered, so this is also the order of submission.
create index payments_by_account on payments (account_id, id);
create index payments_by_account_and_state on payments (account_id, state, id);

-- Every change, in order; never updated.
create table payment_events (
    payment_id uuid not null references payments (id),
    version integer not null check (version >= 1),
    id uuid not null unique,
    account_id uuid not null references accounts (id),
    type text not null,
    state text not null,
    at timestamptz not null,
    -- What the change brought to light: hashes, heights, the reason of a failure.
    detail jsonb not null,
    primary key (payment_id, version)
);

-- Which payments a transaction carries. While an item is open, no other transaction may carry
-- the same payment.
create table transaction_items (
    transaction_id uuid not null references chain_transactions (id),
    position integer not null check (position >= 0),
    payment_id uuid not null references payments (id),
    open boolean not null,
    primary key (transaction_id, position)
);

create unique index transaction_items_one_open on transaction_items (payment_id) where open;
create index transaction_items_by_payment on transaction_items (payment_id);

-- Answers to a repeated Idempotency-Key; scoped to the account.
create table idempotency_keys (
    account_id uuid not null references accounts (id),
    key text not null check (length(key) between 1 and 255),
    body_sha256 bytea not null check (octet_length(body_sha256) = 32),
    -- Deferred, because the key is claimed before the payment is written.
    payment_id uuid not null references payments (id) deferrable initially deferred,
    created_at timestamptz not null,
    primary key (account_id, key)
);

create index idempotency_keys_by_age on idempotency_keys (created_at);
