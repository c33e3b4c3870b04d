-- What the owner of an endpoint wants to be told again, or at last: a job that goes on where it stopped, whoever died.

create table recoveries (
    id uuid primary key,
    account_id uuid not null references accounts (id),
    endpoint_id uuid not null references webhook_endpoints (id),
    since timestamptz not null,
    until timestamptz not null,
    -- Deliveries that arrived are made again as well.
    delivered_too boolean not null,
    -- Events are told of which the endpoint was never told.
    untold_too boolean not null,
    state text not null check (state in ('running', 'done', 'canceled')),
    -- The last delivery that was looked at; then, when there is none left, the place in the account's feed.
    after_delivery uuid not null,
    deliveries_done boolean not null default false,
    after_written_by xid8 not null default '0',
    after_event uuid not null,
    -- Deliveries that are on their way because of it, or were.
    recovered bigint not null default 0 check (recovered >= 0),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    finished_at timestamptz,
    constraint recoveries_range check (since < until),
    constraint recoveries_finished check ((state = 'running') = (finished_at is null))
);

create unique index recoveries_one_at_a_time on recoveries (endpoint_id) where state = 'running';
create index recoveries_by_turn on recoveries (updated_at) where state = 'running';
