-- Switches that operators throw. A scope without a row runs.

create table controls (
    -- 'all', 'network:eip155:<id>' or 'account:<uuid>'.
    scope text primary key check (length(scope) between 1 and 100),
    paused boolean not null,
    reason text not null,
    updated_at timestamptz not null
);
