-- Where sellers want to be told, what they are told, and every attempt to tell them.

create table webhook_endpoints (
    id uuid primary key,
    account_id uuid not null references accounts (id),
    url text not null check (length(url) <= 2048),
    event_types text[] not null check (cardinality(event_types) > 0),
    secret bytea not null check (octet_length(secret) between 24 and 64),
    state text not null check (state in ('enabled', 'disabled', 'deleted')),
    disabled_reason text,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint webhook_endpoints_disabled check ((state = 'disabled') = (disabled_reason is not null))
);

create index webhook_endpoints_by_account on webhook_endpoints (account_id, id) where state <> 'deleted';

create table webhook_deliveries (
    id uuid primary key,
    endpoint_id uuid not null references webhook_endpoints (id),
    account_id uuid not null references accounts (id),
    event_id uuid not null references payment_events (id),
    payment_id uuid not null references payments (id),
    event_type text not null,
    -- The bytes that are signed and sent, the same each time.
    body bytea not null check (octet_length(body) <= 16384),
    state text not null,
    attempts integer not null default 0 check (attempts >= 0),
    due_at timestamptz,
    lease_until timestamptz,
    created_at timestamptz not null,
    finished_at timestamptz,
    constraint webhook_deliveries_once unique (event_id, endpoint_id),
    constraint webhook_deliveries_state check (
        state in ('pending', 'delivered', 'exhausted', 'aborted', 'held', 'canceled')
    ),
    constraint webhook_deliveries_pending check ((state = 'pending') = (due_at is not null)),
    constraint webhook_deliveries_leased check (lease_until is null or state = 'pending'),
    constraint webhook_deliveries_finished check (
        (finished_at is not null) = (state in ('delivered', 'exhausted', 'aborted', 'canceled'))
    )
);

create index webhook_deliveries_due on webhook_deliveries (due_at) where state = 'pending';
create index webhook_deliveries_by_endpoint on webhook_deliveries (endpoint_id, id);
create index webhook_deliveries_by_payment on webhook_deliveries (payment_id);

create table webhook_attempts (
    delivery_id uuid not null references webhook_deliveries (id),
    number integer not null check (number >= 1),
    at timestamptz not null,
    duration_ms integer not null check (duration_ms >= 0),
    outcome text not null,
    status smallint check (status between 100 and 999),
    error text,
    response text check (octet_length(response) <= 4096),
    primary key (delivery_id, number)
);
