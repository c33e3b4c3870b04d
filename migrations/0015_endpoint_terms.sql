-- How each endpoint wants to be told, what is known of those that fail, and events that tell of an endpoint instead of a
-- payment.

alter table webhook_endpoints
    add column payload_version text not null default '2026-11-01',
    add column ordering text not null default 'none' check (ordering in ('none', 'per_payment')),
    add column max_in_flight integer check (max_in_flight between 1 and 64),
    add column max_per_second integer check (max_per_second between 1 and 1000),
    -- Whether its deliveries are signed with Ed25519 (v1a) besides.
    add column ed25519 boolean not null default false;

create index webhook_endpoints_ed25519 on webhook_endpoints (id) where ed25519;

-- Endpoints at which nothing has succeeded since their first failure. A success deletes the row, so that whoever is
-- well costs nothing but a look into a table that is nearly empty.
create table webhook_endpoint_failures (
    endpoint_id uuid primary key references webhook_endpoints (id),
    since timestamptz not null,
    last_at timestamptz not null,
    -- Attempts in a row that led to an address that nothing may be sent to.
    blocked integer not null check (blocked >= 0),
    -- How often the seller was warned of it.
    warnings smallint not null default 0 check (warnings between 0 and 2),
    constraint webhook_endpoint_failures_order check (last_at >= since)
);

create table endpoint_events (
    id uuid primary key,
    account_id uuid not null references accounts (id),
    endpoint_id uuid not null references webhook_endpoints (id),
    type text not null,
    at timestamptz not null
);

-- A delivery's event is a payment's or an endpoint's; either is written in the delivery's own transaction and never
-- deleted. Where it is an endpoint's, payment_id is the nil UUID, which every version of the program can read.
alter table webhook_deliveries
    drop constraint webhook_deliveries_event_id_fkey,
    add column kind text not null default 'live',
    -- Whether it was sent although an earlier one of its payment had not arrived.
    add column overtook boolean not null default false,
    add constraint webhook_deliveries_kind check (kind in ('live', 'replay', 'test')) not valid;
