-- Signers, and every transaction they have signed.

create table signers (
    id uuid primary key,
    chain_id bigint not null check (chain_id > 0),
    address bytea not null check (octet_length(address) = 20),
    -- The nonce the next transaction gets; only the holder of the lease hands it out.
    next_nonce bigint not null default 0 check (next_nonce >= 0),
    lease_owner uuid,
    -- Rises with each take-over, so that a holder that slept through its lease can be told apart.
    lease_epoch bigint not null default 0 check (lease_epoch >= 0),
    lease_until timestamptz,
    paused_reason text,
    constraint signers_one_address unique (chain_id, address),
    constraint signers_lease_is_whole check ((lease_owner is null) = (lease_until is null))
);

-- One nonce of one signer. Any of its attempts may be the one that is mined.
create table chain_transactions (
    id uuid primary key,
    signer_id uuid not null references signers (id),
    chain_id bigint not null check (chain_id > 0),
    nonce bigint not null check (nonce >= 0),
    target bytea not null check (octet_length(target) = 20),
    input bytea not null,
    gas_limit bigint not null check (gas_limit > 0),
    state text not null,
    -- The chain's height when it was signed: what bumping counts from.
    signed_at_block bigint not null check (signed_at_block >= 0),
    mined_hash bytea check (octet_length(mined_hash) = 32),
    block_number bigint check (block_number >= 0),
    block_hash bytea check (octet_length(block_hash) = 32),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint chain_transactions_one_nonce unique (signer_id, nonce),
    constraint chain_transactions_unmined check (
        state not in ('open', 'dropped') or num_nonnulls(mined_hash, block_number, block_hash) = 0
    ),
    constraint chain_transactions_mined check (
        state not in ('mined', 'final') or num_nonnulls(mined_hash, block_number, block_hash) = 3
    ),
    constraint chain_transactions_state check (state in ('open', 'mined', 'final', 'dropped'))
);

create index chain_transactions_unfinished on chain_transactions (signer_id, nonce)
    where state in ('open', 'mined');

-- Every set of bytes ever signed for a nonce, stored before it is sent.
create table transaction_attempts (
    transaction_id uuid not null references chain_transactions (id),
    number integer not null check (number >= 1),
    -- 'payload' carries the items; 'filler' moves nothing and only uses the nonce up.
    kind text not null check (kind in ('payload', 'filler')),
    hash bytea not null unique check (octet_length(hash) = 32),
    raw bytea not null,
    max_fee_per_gas numeric(39, 0) not null check (max_fee_per_gas >= 0),
    max_priority_fee_per_gas numeric(39, 0) not null check (max_priority_fee_per_gas >= 0),
    signed_at_block bigint not null check (signed_at_block >= 0),
    created_at timestamptz not null,
    broadcast_at timestamptz,
    -- What the node last said to it.
    answer text,
    primary key (transaction_id, number)
);
