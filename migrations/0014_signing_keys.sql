-- What the installation signs with, Ed25519: receipts of settled payments. No key is ever deleted, because what it signed
-- must verify for ever. The one that signs is the newest whose time has come.

create table signing_keys (
    id uuid primary key,
    seed bytea not null unique check (octet_length(seed) = 32),
    created_at timestamptz not null,
    -- Later than it is made, so that everybody has fetched it before anything is signed with it.
    active_from timestamptz not null
);

-- The first one, from PostgreSQL's strong random source: two random UUIDs have 244 random bits. Nobody waits for it.
insert into signing_keys (id, seed, created_at, active_from)
values (gen_random_uuid(), sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), now(), now());
