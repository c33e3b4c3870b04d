-- What all processes of an installation know and nobody else does. Made here, from PostgreSQL's strong random source:
-- two random UUIDs have 244 random bits.

create table installation_secrets (
    name text primary key check (length(name) between 1 and 100),
    secret bytea not null check (octet_length(secret) = 32)
);

insert into installation_secrets (name, secret)
values ('poll_tokens', sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));
