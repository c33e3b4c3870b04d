-- Sellers and the keys they call us with.

create table accounts (
    id uuid primary key,
    name text not null check (length(name) between 1 and 200),
    created_at timestamptz not null
);

create table api_keys (
    id uuid primary key,
    account_id uuid not null references accounts (id),
    -- A key is 256 random bits, so a plain digest is enough: there is nothing to guess.
    token_sha256 bytea not null unique check (octet_length(token_sha256) = 32),
    last_four text not null check (length(last_four) = 4),
    scopes text[] not null check (
        scopes <@ array['payments:write', 'payments:read', 'webhooks', 'ops'] and cardinality(scopes) > 0
    ),
    created_at timestamptz not null,
    revoked_at timestamptz
);

create index api_keys_by_account on api_keys (account_id);
