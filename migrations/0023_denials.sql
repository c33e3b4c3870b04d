-- Whom and what operators let nobody pay, or be paid by.
create table denials (
    kind text not null check (kind in ('payer', 'pay_to', 'asset', 'host')),
    -- An address in lower case, or a host: exact, or *. and the name that it is below.
    value text not null check (length(value) between 1 and 255 and value = lower(value)),
    reason text not null check (length(reason) between 1 and 500),
    created_at timestamptz not null,
    primary key (kind, value)
);
